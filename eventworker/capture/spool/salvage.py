"""Reading what can be read of a damaged spool file.

SQLite reads a table along its tree. Coming from both ends, one passes by all pages but those that
are damaged and those that can only be reached through them.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from eventworker.capture.spool import waiting
from eventworker.capture.spool.locks import beside
from eventworker.capture.spool.store import DAMAGED
from eventworker.capture.spool.waiting import Refusal, Waiting

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


def readable(path: Path) -> Iterator[Waiting]:
    """The intact messages of a damaged file that were waiting, in order.

    One by one: the file may be larger than what a web server has of memory.
    """
    last = 0
    with _opened(path) as connection:
        for row in _intact(waiting.in_order(connection)):
            last = row.seq
            yield row
    with _opened(path) as connection:
        for seq in reversed(_behind(connection, last)):
            yield from _intact(waiting.at(connection, seq))


def refused(path: Path) -> list[Refusal]:
    """What was put aside in a damaged file, as far as it can be read."""
    found: list[Refusal] = []
    with _opened(path) as connection, suppress(sqlite3.DatabaseError):
        for *row, reason, again in waiting.refused_in_order(connection):
            found += [Refusal(one, str(reason), bool(again)) for one in _intact([row])]
    return found


def _behind(connection: sqlite3.Connection, last: int) -> array[int]:
    """The places behind ``last``, as met from the end, down to the damaged page."""
    found = array("q")
    for row in _intact(waiting.in_order(connection, backwards=True)):
        if row.seq <= last:
            break
        found.append(row.seq)
    return found


def _intact(rows: Iterable[Sequence[Any]]) -> Iterator[Waiting]:
    """Until the damage."""
    try:
        for row in rows:
            try:
                one = waiting.read_row(row)
            except waiting.MISREAD:
                continue
            if one.intact:
                yield one
    except sqlite3.DatabaseError as error:
        log.debug("reading a damaged spool ends: %s", error)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        yield connection


def _literal(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)
