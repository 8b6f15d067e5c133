"""Statements that would end a transaction, recognized by their first words."""

from __future__ import annotations

import re
from functools import lru_cache

#: What would end the transaction; and DDL, which belongs in a migration.
_WORDS = (
    r"COMMIT|ROLLBACK(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b)|ABORT|END|BEGIN"
    r"|START\s+TRANSACTION|PREPARE\s+TRANSACTION"
    r"|CREATE|ALTER|DROP|TRUNCATE|GRANT|REVOKE|VACUUM"
)
#: Further ones that commit on MariaDB (https://mariadb.com/kb/en/sql-statements-that-cause-an-
#: implicit-commit/), that can hide such a statement, or that take the end of each out of our hands.
_MARIADB_WORDS = (
    r"|SET\b[^;]*?\bautocommit|LOCK\s+TABLES?|UNLOCK\s+TABLES?|RENAME|XA|PREPARE|EXECUTE"
    r"|ANALYZE\s+(?:\w+\s+)?TABLES?|OPTIMIZE|REPAIR|CHECK\s+TABLES?|CACHE\s+INDEX|FLUSH|RESET"
    r"|INSTALL|UNINSTALL"
)


def _beginning(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|;)(?:\s|--[^\n]*\n|#[^\n]*\n|\()*(?P<word>{words})\b", re.IGNORECASE)


_CONTROL = _beginning(_WORDS)
_MARIADB_CONTROL = _beginning(_WORDS + _MARIADB_WORDS)
_INNERMOST_COMMENT = re.compile(r"/\*(?:(?!/\*|\*/).)*\*/", re.DOTALL)
#: MariaDB runs what stands in such a comment.
_RUN_COMMENT = re.compile(r"/\*M?!\d*|\*/")


def control_word(statement: str, dialect: str) -> str | None:
    """The word by which a statement would end the transaction, or None.

    Looked for as it stands and without its comments, which nest on PostgreSQL: either alone could
    be hidden from. What is hidden all the same, the proof at the end finds.
    """
    return (_remembered if len(statement) <= _REMEMBERED else _found)(statement, dialect)


def _found(statement: str, dialect: str) -> str | None:
    if dialect == "mariadb":
        pattern = _MARIADB_CONTROL
        if "/*!" in statement or "/*M!" in statement:
            statement = _RUN_COMMENT.sub(" ", statement)
    else:
        pattern = _CONTROL
    found = pattern.search(statement)
    while found is None and "/*" in statement:
        statement, comments = _INNERMOST_COMMENT.subn(" ", statement)
        if not comments:
            break
        found = pattern.search(statement)
    return found["word"].upper() if found else None


#: The same few statements come all the time. Those that are long may be many.
_REMEMBERED = 10_000
_remembered = lru_cache(maxsize=256)(_found)
