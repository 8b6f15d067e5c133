"""The verdict on a run, from what is in the database and from nothing that anybody answered.

*Committed* are the events whose business row is there: it is written in the transaction of the
outbox row, and an answer to a commit may be lost. *Effects* are the rows that the probe plugins
wrote through their sessions, into a table without a key, so that a second one can be seen.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tests.acceptance.probe import Pair, Probe

#: No key here either. `n` counts the events of a stream in the order of their commits.
CHANGES = """CREATE TABLE probe_change (
    event_id VARCHAR(36) NOT NULL,
    stream VARCHAR(40) NOT NULL,
    n INTEGER NOT NULL
)"""
_OPEN = "SELECT count(*) FROM eventworker_delivery WHERE state IN ('pending', 'retry')"
_READY = "SELECT count(*) FROM eventworker_outbox WHERE state = 0"
_IDLE = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND state LIKE 'idle in transaction%'"
)
_DONE = 1


@dataclass(frozen=True)
class Verdict:
    """All but `events` and `dead` have to be 0.

    :ivar lost: pairs of a committed event and a plugin without an effect and without a dead letter.
    :ivar duplicated: effects beyond the first of a pair.
    :ivar phantom: effects of events that were never committed.
    :ivar both: pairs with an effect and a dead letter.
    :ivar unproven: pairs whose inbox row and effect do not agree.
    :ivar inversions: where order is declared, effects that came before one of an earlier event.
    """

    events: int
    dead: int
    lost: int
    duplicated: int
    phantom: int
    both: int
    unproven: int
    inversions: int

    @property
    def guilty(self) -> bool:
        return any(
            (self.lost, self.duplicated, self.phantom, self.both, self.unproven, self.inversions)
        )


class Oracle:
    """Judges the runs of some plugins on one database.

    :param ordered: those of the plugins that are promised order.
    :ivar excused: pairs that are not owed, such as those of a plugin that was switched off.
    """

    def __init__(self, probe: Probe, plugins: Sequence[str], ordered: Sequence[str] = ()) -> None:
        self.plugins = tuple(plugins)
        self._ordered = tuple(ordered)
        self._probe = probe
        self.excused: set[Pair] = set()

    def committed(self) -> dict[str, tuple[str, int]]:
        """Stream and number of each event that exists."""
        found = self._probe.rows("SELECT event_id, stream, n FROM probe_change")
        return {event_id: (stream, n) for event_id, stream, n in found}

    def open_pairs(self) -> int:
        """How many pairs have neither an effect nor a dead letter yet; cheap, for waiting."""
        committed = self._probe.number("SELECT count(*) FROM probe_change")
        names = ", ".join(f"'{name}'" for name in self.plugins)
        done = self._probe.number(
            "SELECT count(*) FROM (SELECT DISTINCT event_id, plugin FROM probe_effect"
            f" WHERE plugin IN ({names})) AS pairs"
        )
        owed = committed * len(self.plugins) - len(self.excused)
        return owed - done - len(self._dead())

    def unsettled(self) -> int:
        """Rows of outbox and backlog that somebody has yet to deal with."""
        return self._probe.number(_OPEN) + self._probe.number(_READY)

    def idle_in_transaction(self) -> int:
        return self._probe.number(_IDLE) if self._probe.url.startswith("postgresql") else 0

    def judge(self) -> Verdict:
        """What became of every event."""
        committed = self.committed()
        owed = self._owed(committed)
        effects = self._probe.effects()
        dead = set(self._dead())
        proven = self._proven()
        return Verdict(
            events=len(committed),
            dead=len(dead),
            lost=len(owed - effects.keys() - dead),
            duplicated=sum(times - 1 for times in effects.values()),
            phantom=sum(event_id not in committed for event_id, _ in effects),
            both=len(effects.keys() & dead),
            unproven=len(effects.keys() ^ proven),
            inversions=self._inversions(committed),
        )

    def guilty_pairs(self) -> Counter[Pair]:
        """Pairs that are lost (0) or duplicated, with the number of their effects; for messages."""
        effects = self._probe.effects()
        dead = set(self._dead())
        owed = self._owed(self.committed())
        return Counter(
            {
                pair: effects[pair]
                for pair in owed | effects.keys()
                if effects[pair] != 1 and pair not in dead
            }
        )

    def _owed(self, committed: dict[str, tuple[str, int]]) -> set[Pair]:
        return {(event_id, name) for event_id in committed for name in self.plugins} - self.excused

    def _dead(self) -> list[Pair]:
        return [pair for pair in self._probe.dead() if pair[1] in self.plugins]

    def _proven(self) -> set[Pair]:
        return {
            pair
            for pair, outcome in self._probe.outcomes().items()
            if outcome == _DONE and pair[1] in self.plugins
        }

    def _inversions(self, committed: dict[str, tuple[str, int]]) -> int:
        if not self._ordered:
            return 0
        seen: dict[tuple[str, str], int] = defaultdict(int)
        descents = 0
        for event_id, plugin in self._probe.rows(
            "SELECT event_id, plugin FROM probe_effect ORDER BY at"
        ):
            if plugin in self._ordered and event_id in committed:
                stream, n = committed[event_id]
                descents += n < seen[plugin, stream]
                seen[plugin, stream] = max(n, seen[plugin, stream])
        return descents
