"""What became of an event, or of an effect."""

from __future__ import annotations

from dataclasses import dataclass

from eventworker.inbox.claims import Outcome


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of an event, as the database has it.

    :ivar outcome: DONE, RETRY, DEAD, SKIPPED (off, or not wanted), or PENDING (a conflict in the
        database that cost no attempt, or an earlier event of its resource that is not settled).
    :ivar attempts: calls so far, for RETRY and DEAD.
    :ivar error: what the last of them said.
    :ivar delay: seconds until the next one, for RETRY.
    """

    outcome: Outcome
    attempts: int = 0
    error: str | None = None
    delay: float | None = None

    @property
    def done(self) -> bool:
        return self.outcome is Outcome.DONE
