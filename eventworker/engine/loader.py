"""Finding plugins: names first, then those that may run are imported, built and asked.

The only module that knows stevedore. Disabled names are dropped before anything of theirs is
imported; a plugin that cannot be loaded is named with its reason and costs the others nothing.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Self

from sqlalchemy import Connection, Engine
from stevedore import NamedExtensionManager

from eventworker import config
from eventworker.db import first_line, translated
from eventworker.effects import Effect
from eventworker.engine.filters import EVERYTHING, Filter, configured, conflicts, declared
from eventworker.engine.timelimit import time_limit
from eventworker.errors import ConfigError, DatabaseUnavailable, HandlerTimeout, PluginError
from eventworker.event import WIRE_FIELDS, Event
from eventworker.plugin import ENTRY_POINT_GROUP, WorkerTaskBase

log = logging.getLogger(__name__)

SERVICE_GROUP = "eventworker.service"

#: What ``handle()`` may name, in StoryBoard's order, and ``event``.
ARGUMENTS = ("session", "author", *WIRE_FIELDS[1:], "event")
_FROM_EVENT = ARGUMENTS[2:-1]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A plugin that is enabled in this process, with what its group in the configuration says."""

    name: str
    plugin: Any
    arguments: frozenset[str]
    lane: str = "main"
    max_attempts: int = 10
    handler_timeout: float = 300.0
    backoff: float = 1.0
    backoff_max: float = 3600.0
    effect_lane: str = "effects"
    effect_max_attempts: int = 20
    effect_timeout: float = 60.0
    distribution: str = ""
    #: What it declared, and what its group narrows that to.
    declared: Filter = EVERYTHING
    narrowing: Filter = EVERYTHING
    order_on_failure: str = "park"
    order_gap_timeout: float = 3600.0

    @property
    def ordered(self) -> bool:
        """Whether it is called with the events of a resource in their order, by its own word."""
        return bool(getattr(self.plugin, "ordered", False))

    @property
    def passes_dead(self) -> bool:
        """Whether later events of a resource go past a dead letter."""
        return self.order_on_failure == "skip"

    @property
    def transactional(self) -> bool:
        """Whether all effects of the plugin go through its session, by its own word."""
        return bool(getattr(self.plugin, "transactional", False))

    @property
    def shares_transactions(self) -> bool:
        """Whether several calls may be made in one transaction: after a rollback they are made
        anew, and in smaller groups, so in an order of their own."""
        return self.transactional and not self.ordered

    @property
    def has_batch(self) -> bool:
        """Whether the plugin can be called with several events at once."""
        return callable(getattr(self.plugin, "handle_batch", None))

    @property
    def performs(self) -> bool:
        """Whether the plugin can perform effects, so that it may add some."""
        return callable(getattr(self.plugin, "perform", None))

    @property
    def as_performer(self) -> Self:
        """The plugin with the lane and the limits that hold for its effects."""
        return replace(
            self,
            lane=self.effect_lane,
            max_attempts=self.effect_max_attempts,
            handler_timeout=self.effect_timeout,
        )

    @property
    def condition(self) -> Callable[[Event], Any] | None:
        """The plugin's own ``wants()``, if it has one: foreign code, for the caller to run."""
        own = getattr(self.plugin, "wants", None)
        ours = getattr(type(self.plugin), "wants", None) is WorkerTaskBase.wants
        return own if callable(own) and not ours else None

    def admits(self, event: Event) -> bool:
        """Whether both filters admit the event; ``condition`` has not been asked then."""
        return self.declared.admits(event) and self.narrowing.admits(event)

    def call(self, session: Any, author: Any, event: Event) -> None:
        """Call ``handle()`` by keyword, with the arguments that its signature names."""
        values = {name: getattr(event, name) for name in _from_event(self.arguments)}
        if "session" in self.arguments:
            values["session"] = session
        if "author" in self.arguments:
            values["author"] = author
        if "event" in self.arguments:
            values["event"] = event
        self.plugin.handle(**values)

    def call_batch(self, session: Any, events: list[Event]) -> None:
        """Call ``handle_batch()``."""
        self.plugin.handle_batch(session, events)

    def perform(self, effect: Effect) -> None:
        """Call ``perform()``."""
        self.plugin.perform(effect)


@cache
def _from_event(arguments: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in _FROM_EVENT if name in arguments)


@dataclass(slots=True)
class Discovery:
    """What a process found under the entry-point group.

    :ivar loaded: enabled plugins, in the order of their names.
    :ivar off: names that are installed but off, with the reason.
    :ivar broken: names that should run but cannot, with the reason; what is owed to them waits.
    :ivar warnings: what is odd about the rest, a sentence each.
    """

    loaded: list[Loaded] = field(default_factory=list)
    off: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def lanes(self) -> set[str]:
        """The lanes of the loaded plugins, without the main one."""
        return {each.lane for each in self.loaded} - {"main"}

    @property
    def effect_lanes(self) -> set[str]:
        """The lanes in which they perform effects."""
        return {each.effect_lane for each in self.loaded if each.performs}

    def is_broken(self, name: str) -> bool:
        """Whether this name, in any case, is among the broken."""
        return name.lower() in {each.lower() for each in self.broken}


def discover(conf: Any, refused: Callable[[ConfigError], None] | None = None) -> Discovery:
    """Enumerate, drop, load, construct, ask ``enabled()``.

    :param refused: called for each plugin whose group in the configuration cannot be used; without
        it the first one ends the search.
    :raises ConfigError: for such a group.
    :raises PluginError: when two distributions use one name (without regard to case): the inbox
        could not tell them apart.
    """
    found = Discovery()
    disabled = {name.lower() for name in conf.plugins.disabled}
    only = {name.lower() for name in conf.plugins.only}
    for name, entry_point in sorted(_names(ENTRY_POINT_GROUP).items()):
        if name.lower() in disabled:
            found.off[name] = "disabled by [plugins] disabled"
        elif only and name.lower() not in only:
            found.off[name] = "not among [plugins] only"
        else:
            try:
                with time_limit(conf.plugins.load_timeout):
                    _load(conf, name, entry_point, found)
            except HandlerTimeout as error:  # right behind the plugin's own code
                _note_broken(found, name, error)
            except ConfigError as error:
                if refused is None:
                    raise
                refused(error)
    for name in sorted((disabled | only) - {name.lower() for name in _names(ENTRY_POINT_GROUP)}):
        log.warning("[plugins] names %s, which is not installed", name)
    return found


def _names(group: str) -> dict[str, EntryPoint]:
    by_key: dict[str, EntryPoint] = {}
    for entry_point in entry_points(group=group):
        other = by_key.setdefault(entry_point.name.lower(), entry_point)
        if other is not entry_point and _identity(other) != _identity(entry_point):
            raise PluginError(
                f"two plugins are named {entry_point.name}: {_describe(other)} and "
                f"{_describe(entry_point)}; uninstall or rename one"
            )
    return {entry_point.name: entry_point for entry_point in by_key.values()}


def _identity(entry_point: EntryPoint) -> tuple[str, str]:
    return entry_point.value, entry_point.dist.name if entry_point.dist else ""


def _describe(entry_point: EntryPoint) -> str:
    return f"{entry_point.value} of {_identity(entry_point)[1] or 'an unknown distribution'}"


def _load(conf: Any, name: str, entry_point: EntryPoint, found: Discovery) -> None:
    try:
        factory = import_entry_point(ENTRY_POINT_GROUP, name)
    except BaseException as error:  # SystemExit at import is a broken plugin, too
        _note_broken(found, name, error)
        return
    # A ConfigError passes: a wrong value in its group is the operator's fault and ends the start.
    try:
        config.plugin_group(conf, name, getattr(factory, "options", ()))
    except PluginError as error:
        _note_broken(found, name, error)
        return
    configured(conf, name)
    try:
        loaded = build(conf, name, factory, _identity(entry_point)[1])
        if not loaded.plugin.enabled():
            found.off[name] = "its enabled() says no"
            return
    except BaseException as error:
        _note_broken(found, name, error)
        return
    found.warnings += conflicts(name, loaded.declared, loaded.narrowing)
    if loaded.has_batch and not loaded.shares_transactions:
        found.warnings.append(
            f"plugin {name} has handle_batch(), which is not called: several events share a "
            "transaction only if it says transactional = True, and not ordered"
        )
    found.loaded.append(loaded)


def build(conf: Any, name: str, factory: Any, distribution: str = "") -> Loaded:
    """Register the plugin's options and construct it.

    :param factory: the plugin's class, or whatever else makes it from the configuration.
    :raises ConfigError: when a value in its group cannot be used.
    :raises PluginError: when it does not have the methods of a worker plugin.
    """
    options = config.plugin_group(conf, name, getattr(factory, "options", ()))
    plugin = factory(conf)
    if inspect.iscoroutinefunction(getattr(plugin, "perform", None)):
        raise PluginError("perform() is asynchronous; it has to be an ordinary method")
    return Loaded(
        name=name,
        plugin=plugin,
        arguments=handle_arguments(plugin),
        lane=options.lane,
        max_attempts=options.max_attempts,
        handler_timeout=options.handler_timeout,
        backoff=options.backoff,
        backoff_max=options.backoff_max,
        effect_lane=options.effect_lane,
        effect_max_attempts=options.effect_max_attempts,
        effect_timeout=options.effect_timeout,
        distribution=distribution,
        declared=declared(plugin),
        narrowing=configured(conf, name),
        order_on_failure=options.order_on_failure,
        order_gap_timeout=options.order_gap_timeout,
    )


def check_databases(found: Discovery, engine: Engine) -> None:
    """Let the plugins look at the database before their first event: those that have the method
    ``check_database(connection)``. One that raises is broken, so its events wait and no attempt is
    spent on what only the operator can mend. Nothing that it writes is kept.

    :raises DatabaseUnavailable: when the database is away; it can be called again.
    """
    for each in list(found.loaded):
        check = getattr(each.plugin, "check_database", None)
        if not callable(check):
            continue
        with _connected(engine) as connection:
            try:
                check(connection)
            except BaseException as error:
                # Its own loss only: a plugin may look at other databases, and those are its affair.
                if connection.invalidated:
                    raise DatabaseUnavailable(
                        f"the connection was lost: {first_line(error)}"
                    ) from error
                found.loaded.remove(each)
                _note_broken(found, each.name, error)


def _connected(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except Exception as error:
        raise translated(error) from error


def _note_broken(found: Discovery, name: str, error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        raise error
    log.debug("plugin %s", name, exc_info=error)
    found.broken[name] = f"{type(error).__name__}: {first_line(error)}"


def import_entry_point(group: str, name: str) -> Any:
    """The object that one entry point names; its import errors are the caller's to see."""
    errors: list[BaseException] = []
    manager: Any = NamedExtensionManager(
        group,
        [name],
        on_load_failure_callback=lambda _manager, _entry_point, error: errors.append(error),
    )
    if errors:
        raise errors[0]
    if name not in manager:
        raise PluginError(f"no entry point {name} in group {group}")
    return manager[name].plugin


def handle_arguments(plugin: Any) -> frozenset[str]:
    """The names that the plugin's ``handle()`` takes.

    :raises PluginError: when it has none, is asynchronous, or demands a name that is not ours.
    """
    handle = getattr(plugin, "handle", None)
    if not callable(handle) or not callable(getattr(plugin, "enabled", None)):
        raise PluginError("a worker plugin needs the methods enabled() and handle()")
    if inspect.iscoroutinefunction(handle):
        raise PluginError("handle() is asynchronous; it has to be an ordinary method")
    names: set[str] = set()
    for parameter in inspect.signature(handle).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            return frozenset(ARGUMENTS)
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        if parameter.name in ARGUMENTS and parameter.kind is not parameter.POSITIONAL_ONLY:
            names.add(parameter.name)
        elif parameter.default is parameter.empty:
            raise PluginError(
                f"handle() demands {parameter.name!r}; events have {', '.join(ARGUMENTS)}"
            )
    return frozenset(names)


def services() -> dict[str, Any]:
    """The side services of the daemon, by name.

    :raises PluginError: when one cannot be imported.
    """
    try:
        return {
            name: import_entry_point(SERVICE_GROUP, name) for name in sorted(_names(SERVICE_GROUP))
        }
    except Exception as error:
        raise PluginError(f"a service of group {SERVICE_GROUP} cannot be loaded: {error}") from None
