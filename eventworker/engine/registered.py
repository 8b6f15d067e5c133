"""A consumer's view of the registry, never older than it may be."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Engine

from eventworker.db import translated
from eventworker.engine.loader import Loaded
from eventworker.inbox import registry


@dataclass(frozen=True, slots=True)
class Debts:
    """Whom an event is owed to, as one look at the registry says.

    :ivar here: number and plugin, for those that run in this process.
    :ivar elsewhere: numbers of those that do not: another lane, another host, or broken here.
    :ivar off: numbers of those that are off.
    """

    here: list[tuple[int, Loaded]]
    elsewhere: list[int]
    off: list[int]


class RegistryView:
    """The registry joined with what this process loaded.

    The copy lives for ``refresh`` seconds. So a plugin that is registered somewhere is owed every
    event that is dispatched that much later, on every host.
    """

    def __init__(self, engine: Engine, loaded: list[Loaded], lane: str, refresh: float) -> None:
        self._engine = engine
        self._loaded = {each.name.lower(): each for each in loaded if each.lane == lane}
        self._refresh = refresh
        self._read_at = float("-inf")
        self._debts = Debts([], [], [])

    def debts(self) -> Debts:
        """The current debts.

        :raises DatabaseUnavailable: when they have to be read and the database is away.
        """
        if time.monotonic() - self._read_at >= self._refresh:
            self._debts = self._read()
            self._read_at = time.monotonic()
        return self._debts

    def _read(self) -> Debts:
        try:
            with self._engine.connect() as connection:
                known = registry.read(connection)
        except Exception as error:
            raise translated(error) from error
        debts = Debts([], [], [])
        for each in known:
            plugin = self._loaded.get(each.name.lower())
            if each.state == registry.OFF:
                debts.off.append(each.number)
            elif each.state == registry.ON and plugin is not None:
                debts.here.append((each.number, plugin))
            elif each.state == registry.ON:
                debts.elsewhere.append(each.number)
        return debts
