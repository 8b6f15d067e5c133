"""Running a function as a plugin would be run."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Engine

from eventworker.db import is_stale_snapshot
from eventworker.inbox.claims import Claim, FirstClaim, Outcome, run_once
from tests.helpers.databases import effects, outcomes

PLUGIN = 1


class Handled:
    """One event that plugin 1 is called with, and what stands in the database afterwards."""

    def __init__(self, engine: Engine, event_id: UUID | None = None) -> None:
        self.engine = engine
        self.event_id = event_id or uuid4()

    @property
    def claim(self) -> Claim:
        return FirstClaim(self.event_id, PLUGIN)

    def by(self, call: Callable[[Any], None], *, immediate: bool = False) -> bool:
        return run_once(self.engine, self.claim, call, immediate=immediate)

    def redoing(self, call: Callable[[Any], None]) -> bool:
        """As `by`; on SQLite again with the write lock where the first try could not get it."""
        try:
            return self.by(call)
        except Exception as error:
            if not is_stale_snapshot(error):
                raise
        return self.by(call, immediate=True)

    @property
    def is_done(self) -> bool:
        """Whether the inbox says so."""
        return outcomes(self.engine) == {(self.event_id, PLUGIN): Outcome.DONE}

    @property
    def left_nothing(self) -> bool:
        return not outcomes(self.engine) and not effects(self.engine)

    @property
    def effects(self) -> list[str]:
        return effects(self.engine)
