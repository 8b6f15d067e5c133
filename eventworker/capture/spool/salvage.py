"""Reading what can be read of a damaged spool file.

SQLite reads a table along its tree. Coming from both ends, one passes by all pages but those that
are damaged and those that can only be reached through them.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from eventworker.capture.spool import waiting
from eventworker.capture.spool.locks import beside
from eventworker.capture.spool.store import DAMAGED
from eventworker.capture.spool.waiting import Waiting

log = logging.getLogger(__name__)

#: What the name of a damaged file ends with when all that could be read of it was delivered.
DONE = ".salvaged"


def damaged_files(spool: Path, *, done: bool = False) -> list[Path]:
    """The files that were put aside, oldest first.

    :param done: also those that were read already.
    """
    found = spool.parent.glob(f"{_literal(spool.name)}{DAMAGED}*")
    return sorted(
        path
        for path in found
        if not path.name.endswith(("-wal", "-shm")) and (done or not path.name.endswith(DONE))
    )


def mark_done(path: Path) -> None:
    """All of it is delivered; the file stays, under another name, for who wants to look."""
    for part in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.rename(beside(path, part), beside(path, f"{DONE}{part}"))


def readable(path: Path) -> list[Waiting]:
    """The intact messages of a damaged file, in order."""
    found: dict[int, Waiting] = {}
    for backwards in (False, True):
        for row in _until_damaged(path, backwards):
            if row.seq in found:
                break
            found[row.seq] = row
    return [found[seq] for seq in sorted(found)]


def _until_damaged(path: Path, backwards: bool) -> Iterator[Waiting]:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None
    )
    try:
        for row in waiting.in_order(connection, backwards):
            try:
                one = waiting.read_row(row)
            except waiting.MISREAD:
                continue
            if one.intact:
                yield one
    except sqlite3.DatabaseError as error:
        log.debug("reading %s ends: %s", path, error)
    finally:
        connection.close()


def _literal(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)
