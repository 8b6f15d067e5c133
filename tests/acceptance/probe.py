"""What the probe plugins left behind: effects in the database, calls in a file."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

#: No key of any kind: what is done twice shall be there twice.
TABLE = """CREATE TABLE probe_effect (
    event_id VARCHAR(36) NOT NULL,
    plugin VARCHAR(20) NOT NULL,
    pid INTEGER NOT NULL,
    at DOUBLE PRECISION NOT NULL
)"""

#: SQLite keeps an id as 32 hexadecimal digits, PostgreSQL as a uuid, MariaDB as sixteen bytes.
_DIGITS = "replace(CAST({} AS VARCHAR(36)), '-', '')"
_DIGITS_OF_BYTES = "lower(hex({}))"
Pair = tuple[str, str]  # event id, plugin


class Probe:
    """A look at one database and one folder."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        folder.mkdir(exist_ok=True)
        # Asked some sixty times a second, over restarts of the server too.
        self._engine = create_engine(url, pool_pre_ping=True, isolation_level="AUTOCOMMIT")
        self._digits = _DIGITS_OF_BYTES if self._engine.dialect.name == "mysql" else _DIGITS

    def close(self) -> None:
        self._engine.dispose()

    def rows(self, statement: str, **values: Any) -> list[Any]:
        with self._engine.connect() as connection:
            return list(connection.execute(text(statement), values))

    def execute(self, *statements: str) -> None:
        with self._engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def number(self, statement: str, **values: Any) -> int:
        ((found,),) = self.rows(statement, **values)
        return int(found)

    def effects(self) -> Counter[Pair]:
        """How often each plugin's effect of each event is in the database."""
        found = self.rows("SELECT event_id, plugin, count(*) FROM probe_effect GROUP BY 1, 2")
        return Counter({(event_id, plugin): times for event_id, plugin, times in found})

    def effect_count(self) -> int:
        return self.number("SELECT count(*) FROM probe_effect")

    def effect_pids(self, event_id: object) -> list[int]:
        found = self.rows("SELECT pid FROM probe_effect WHERE event_id = :id", id=str(event_id))
        return [pid for (pid,) in found]

    def calls(self) -> Counter[Pair]:
        """How often each plugin was called with each event, whatever came of it."""
        return Counter((event_id, plugin) for event_id, plugin, _ in self._call_lines())

    def call_pids(self, event_id: object) -> list[int]:
        return [int(pid) for event, _, pid in self._call_lines() if event == str(event_id)]

    def shared_calls(self) -> dict[Pair, list[int]]:
        """The pids of those calls that were made in a transaction with others, by event and plugin;
        of plugins that note it."""
        pids: dict[Pair, list[int]] = defaultdict(list)
        for event_id, plugin, pid in self._call_lines("shared"):
            pids[event_id, plugin].append(int(pid))
        return pids

    def _call_lines(self, name: str = "calls") -> list[list[str]]:
        file = self.folder / name
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def recorded(self) -> list[str]:
        """The ids of all events that went through the outbox."""
        found = self.rows(f"SELECT {self._digits.format('id')} FROM eventworker_outbox")
        return [_dashed(digits) for (digits,) in found]

    def give_sign(self, name: str) -> None:
        """`released` and `repaired` change what the behaviours do."""
        (self.folder / name).touch()

    def deliveries(self) -> dict[Pair, tuple[str, int, str]]:
        """State, attempts and error of what is not done."""
        found = self.rows(
            f"SELECT {self._digits.format('event_id')}, p.name, d.state, d.attempts, d.error"
            " FROM eventworker_delivery d JOIN eventworker_plugin p ON p.number = d.plugin"
        )
        return {
            (_dashed(event_id), name): (state, attempts, error)
            for event_id, name, state, attempts, error in found
        }

    def outcomes(self) -> dict[Pair, int]:
        """The inbox: what it says of each pair."""
        found = self.rows(
            f"SELECT {self._digits.format('event_id')}, p.name, i.outcome"
            " FROM eventworker_inbox i JOIN eventworker_plugin p ON p.number = i.plugin"
        )
        return {(_dashed(event_id), name): outcome for event_id, name, outcome in found}

    def dead(self) -> list[Pair]:
        return sorted(pair for pair, row in self.deliveries().items() if row[0] == "dead")


def _dashed(digits: str) -> str:
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def once(events: Iterable[Any], *plugins: str) -> Counter[Pair]:
    """One effect, or call, of each of these plugins for each of these events."""
    return Counter((str(event.id), plugin) for event in events for plugin in plugins)
