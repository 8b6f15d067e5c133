"""A consumer's view of the registry, never older than it may be."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Engine

from eventworker.db import translated
from eventworker.engine.filters import EVERYTHING, Filter
from eventworker.engine.loader import Loaded
from eventworker.errors import ConfigError
from eventworker.event import Event
from eventworker.inbox import registry
from eventworker.inbox.registry import Registered

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A plugin that is owed events and not called in this process: they are parked for it.

    :ivar narrowing: its group in our configuration, which we know even if it is not installed.
    :ivar loaded: the plugin, if it is loaded here: another lane's, or one that is paused.
    :ivar ordered: it wants the events of each resource in their order.
    """

    number: int
    narrowing: Filter = EVERYTHING
    loaded: Loaded | None = None
    paused: bool = False
    ordered: bool = False

    def admits(self, event: Event) -> bool:
        """Whether the event has to be parked, as far as the filters known here can tell."""
        if self.loaded is not None:
            return self.loaded.admits(event)
        return self.narrowing.admits(event)


@dataclass(frozen=True, slots=True)
class Debts:
    """Whom an event is owed to, as one look at the registry says.

    :ivar here: number and plugin, for those that run in this process.
    :ivar elsewhere: those that do not: another lane, another host, broken here, or paused.
    :ivar off: numbers of those that are off.
    """

    here: list[tuple[int, Loaded]] = field(default_factory=list)
    elsewhere: list[Elsewhere] = field(default_factory=list)
    off: list[int] = field(default_factory=list)

    @property
    def has_ordered(self) -> bool:
        """Whether anybody asks for the events' places."""
        return any(plugin.ordered for _, plugin in self.here) or any(
            each.ordered for each in self.elsewhere
        )

    def left_out(self, event: Event) -> list[int]:
        """The ordered plugins whose filters leave the event out. They get an outcome all the same:
        what comes after it must not wait for it."""
        if event.seq is None:
            return []
        return [n for n, plugin in self.here if plugin.ordered and not plugin.admits(event)] + [
            each.number for each in self.elsewhere if each.ordered and not each.admits(event)
        ]


class RegistryView:
    """The registry joined with what this process loaded.

    The copy lives for ``refresh`` seconds. So a plugin that is registered somewhere is owed every
    event that is dispatched that much later, on every host; and one that is paused is not called
    that much later any more.

    :param narrowing: what the configuration says of a plugin that is not loaded here, by name.
    """

    def __init__(
        self,
        engine: Engine,
        loaded: list[Loaded],
        lane: str,
        refresh: float,
        narrowing: Callable[[str], Filter] = lambda name: EVERYTHING,
    ) -> None:
        self._engine = engine
        self._loaded = {each.name.lower(): each for each in loaded}
        self._lane = lane
        self._refresh = refresh
        self._narrowing = narrowing
        self._narrowings: dict[str, Filter] = {}
        self._read_at = float("-inf")
        self._debts = Debts()
        self._paused: dict[str, Registered] | None = None

    @property
    def may_share(self) -> bool:
        """Whether a plugin of this lane may share its transactions: what is known before the
        registry has been read."""
        here = (each for each in self._loaded.values() if each.lane == self._lane)
        return any(each.shares_transactions for each in here)

    def debts(self) -> Debts:
        """The current debts.

        :raises DatabaseUnavailable: when they have to be read and the database is away.
        """
        if time.monotonic() - self._read_at >= self._refresh:
            self._debts = self._read()
            self._read_at = time.monotonic()
        return self._debts

    def may_call(self, number: int) -> bool:
        """Whether this plugin still runs here: asked before each call, since the one before it may
        have taken minutes, and somebody may have paused this one meanwhile.

        :raises DatabaseUnavailable: as :meth:`debts`.
        """
        return any(number == each for each, _ in self.debts().here)

    def _read(self) -> Debts:
        try:
            with self._engine.connect() as connection:
                known = registry.read(connection)
        except Exception as error:
            raise translated(error) from error
        self._note_pauses(known)
        debts = Debts()
        for each in known:
            plugin = self._loaded.get(each.name.lower())
            if each.state == registry.OFF:
                debts.off.append(each.number)
            elif each.state != registry.ON:
                continue
            elif plugin is not None and plugin.lane == self._lane and not each.is_paused:
                debts.here.append((each.number, plugin))
            else:
                narrowing = EVERYTHING if plugin else self._narrowing_of(each.name)
                debts.elsewhere.append(
                    Elsewhere(each.number, narrowing, plugin, each.is_paused, each.is_ordered)
                )
        return debts

    def _narrowing_of(self, name: str) -> Filter:
        if name not in self._narrowings:
            try:
                self._narrowings[name] = self._narrowing(name)
            except ConfigError as error:
                # The preflight refuses this; so the plugin was registered since, by another host.
                log.error("%s; all events are parked for that plugin", error)
                self._narrowings[name] = EVERYTHING
        return self._narrowings[name]

    def _note_pauses(self, known: list[Registered]) -> None:
        """Log what has changed since the last look; what was so at the start, the daemon said."""
        paused = {each.name: each for each in known if each.is_paused}
        if self._paused is not None:
            for name in paused.keys() - self._paused.keys():
                log.warning("%s", paused[name].pause)
            for name in self._paused.keys() - paused.keys():
                log.info("plugin %s is resumed", name)
        self._paused = paused
