"""Erasing events from a spool file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from eventworker.capture.spool import waiting
from eventworker.capture.spool.store import Store
from eventworker.transport import Message

#: Rows of one transaction, which requests wait for.
_BITE = 100


@dataclass(frozen=True, slots=True)
class Spooled:
    """How many events were erased, and how many were left since they still wait to leave."""

    erased: int
    left: int


def erase(
    store: Store, covers: Callable[[Message], bool], *, waiting_too: bool, dry_run: bool
) -> Spooled:
    """Delete the events that ``covers`` says yes to: refused ones, and with ``waiting_too`` those
    that have not left yet.

    What is being delivered at this moment may be erased here and arrive all the same.

    :raises SpoolError: when the file cannot be used.
    """
    erased = left = 0
    for name, may_go in (("refused", True), ("waiting", waiting_too)):
        last = 0
        while page := store.read(partial(waiting.page, table=name, after=last, limit=_BITE)):
            last = page[-1].seq
            these = [row for row in page if covers(row.message)]
            if not may_go:
                left += len(these)
                continue
            erased += len(these)
            if these and not dry_run:
                store.write(partial(waiting.erase, table=name, rows=these), headroom=True)
    return Spooled(erased, left)
