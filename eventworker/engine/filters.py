"""What a plugin is not called with: what it declared, and what its group narrows that to.

Both are looked at before anything is written or called, so what they leave out costs no row. A
plugin's own ``wants()`` is code of the plugin's and no part of this; see ``engine/attempt.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from eventworker import config
from eventworker.engine.condition import Condition, ConditionError, parse
from eventworker.errors import ConfigError, PluginError
from eventworker.event import Event

Names = frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Admits an event that satisfies all three; None and no conditions admit everything.

    :ivar resources: ``story``, with all that is below it, or one kind of sub-resource as
        ``story/comment``.
    :ivar methods: HTTP methods in capitals.
    """

    resources: Names = None
    methods: Names = None
    conditions: tuple[Condition, ...] = ()

    def admits(self, event: Event) -> bool:
        """Whether the event may go to the plugin; never raises."""
        return self is EVERYTHING or (
            (self.resources is None or _is_named(event, self.resources))
            and (self.methods is None or event.method.upper() in self.methods)
            and all(condition.holds(event) for condition in self.conditions)
        )


#: Admits every event.
EVERYTHING = Filter()


def declared(plugin: Any) -> Filter:
    """The filter that a plugin's class attributes are.

    :raises PluginError: when one of them is no collection of names.
    """
    return _known(
        Filter(
            resources=_declared_names(plugin, "resources"),
            methods=_upper(_declared_names(plugin, "methods")),
        )
    )


def _known(made: Filter) -> Filter:
    """The one that admits all costs no look at the event."""
    return EVERYTHING if made == EVERYTHING else made


def _declared_names(plugin: Any, attribute: str) -> Names:
    names = getattr(plugin, attribute, None)
    if names is None:
        return None
    # A text is a collection of texts, too: its letters.
    if isinstance(names, str) or not isinstance(names, Collection):
        raise PluginError(
            f"{attribute} is {names!r}, not a collection of names such as {{'story'}}"
        )
    if odd := [each for each in names if not isinstance(each, str)]:
        raise PluginError(f"{attribute} has {odd[0]!r}, which is no name")
    return frozenset(names)


def configured(conf: Any, name: str) -> Filter:
    """The filter that ``[plugin:NAME]`` is; also for a plugin that is not installed here.

    :raises ConfigError: when an option cannot be used.
    """
    options = config.plugin_group(conf, name)
    conditions = []
    for text in options.condition:
        try:
            conditions.append(parse(text))
        except ConditionError as error:
            raise ConfigError(f"[plugin:{name}] condition: {text!r}: {error}") from None
    return _known(
        Filter(
            resources=frozenset(options.resources) or None,
            methods=_upper(frozenset(options.methods) or None),
            conditions=tuple(conditions),
        )
    )


def _upper(names: Names) -> Names:
    return None if names is None else frozenset(each.upper() for each in names)


def conflicts(name: str, own: Filter, narrowing: Filter) -> list[str]:
    """Names in the plugin's group that its own filter excludes, a sentence for each option.

    :raises ConfigError: when nothing that the group names is left: no event would ever come.
    """
    return [
        *_conflict(f"[plugin:{name}] resources", own.resources, narrowing.resources),
        *_conflict(f"[plugin:{name}] methods", own.methods, narrowing.methods),
    ]


def _conflict(option: str, own: Names, narrowing: Names) -> Iterator[str]:
    if own is None or narrowing is None:
        return
    excluded = {each for each in narrowing if not common(own, frozenset({each}))}
    if not excluded:
        return
    these, those = ", ".join(sorted(excluded)), ", ".join(sorted(own)) or "nothing"
    if excluded == narrowing:
        raise ConfigError(
            f"{option} = {these}: the plugin wants only {those}, so no event would ever come; "
            "write some of these, or disable the plugin"
        )
    yield f"{option} names {these}, but the plugin wants only {those}"


def common(one: Names, other: Names) -> Names:
    """The names that both admit: ``story`` and ``story/comment`` have the latter in common."""
    if one is None or other is None:
        return other if one is None else one
    return frozenset(_within(one, other)) | frozenset(_within(other, one))


def _within(names: frozenset[str], others: frozenset[str]) -> Iterator[str]:
    for name in names:
        if name in others or name.partition("/")[0] in others:
            yield name


def _is_named(event: Event, names: frozenset[str]) -> bool:
    return event.resource in names or (
        event.sub_resource is not None and f"{event.resource}/{event.sub_resource}" in names
    )
