"""What an event concerns: the places that it names, and the ways that lead on from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeGuard

from eventworker.event import Event
from eventworker.workers.subscription.rules import (
    KeyRule,
    PrivateRule,
    Rules,
    TableRule,
    VisibleRule,
)

Id = int | str


@dataclass(frozen=True, slots=True)
class Shape:
    """All of a place but its ids: places of one shape are asked for with one statement.

    :param kind: kind of resource.
    :param is_about: whether the event is about it, so that nobody hears of the event who may not
        see this: the resource, the sub-resource, and what the changed one is part of.
    :param passed: kinds that no way from here comes to again.
    :param was_private: True if the image says private; False if the image of something deleted says
        that it was not, which is its last word; None otherwise.
    :param naming: the rules by which the image names users who may see it.
    """

    kind: str
    is_about: bool
    passed: tuple[str, ...]
    was_private: bool | None = None
    naming: tuple[VisibleRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Something that an event names and somebody may follow.

    :param named: for each rule of ``shape.naming`` what the image holds.
    """

    shape: Shape
    id: Id
    named: tuple[tuple[Id, ...], ...] = ()


def changed_kind(event: Event) -> str:
    """The kind of what changed; the images are its."""
    return event.sub_resource or event.resource


def last_image(event: Event) -> dict[str, Any]:
    """What changed as it is after the event, or as it was before its deletion."""
    return event.resource_after or event.resource_before or {}


def places_of(event: Event, rules: Rules) -> list[Place]:
    """The changed resource, what it is a sub-resource of, and their parents by key.

    A child that moved belongs to both its parents; it is part of the new one.
    """
    own = [(event.resource, event.resource_id)]
    if event.sub_resource:
        own.append((event.sub_resource, event.sub_resource_id))
    kinds = tuple(kind for kind, _ in own)
    found: dict[tuple[str, Id], Place] = {}
    for kind, own_id in own:
        if _is_id(own_id):
            found[kind, own_id] = _own_place(event, kind, own_id, kinds, rules)
    image = last_image(event)
    for rule in rules.parents:
        if isinstance(rule, KeyRule) and rule.child == changed_kind(event):
            now = ids_in(image.get(rule.key))
            before = ids_in((event.resource_before or {}).get(rule.key))
            for parent_id in dict.fromkeys((*before, *now)):
                key = rule.parent, parent_id
                is_about = rule.is_part and parent_id in now
                if key not in found or (is_about and not found[key].shape.is_about):
                    was_private = (
                        _whole_was_private(event, rule.parent, rules) if is_about else None
                    )
                    shape = Shape(rule.parent, is_about, (*kinds, rule.parent), was_private)
                    found[key] = Place(shape, parent_id)
    return list(found.values())


def _own_place(event: Event, kind: str, own_id: Id, kinds: tuple[str, ...], rules: Rules) -> Place:
    if kind != changed_kind(event):
        was_private = _whole_was_private(event, kind, rules)
        return Place(Shape(kind, True, kinds, was_private), own_id)
    image = last_image(event)
    private = rules.private.get(kind)
    naming = [
        (rule, ids)
        for rule in rules.visible.get(kind, ())
        if rule.key and (ids := ids_in(image.get(rule.key)))
    ]
    was_private = None if private is None else _believed(event, _was_private(private, image))
    shape = Shape(kind, True, kinds, was_private, tuple(rule for rule, _ in naming))
    return Place(shape, own_id, tuple(ids for _, ids in naming))


def _whole_was_private(event: Event, kind: str, rules: Rules) -> bool | None:
    """What the image of a part says of what it is part of."""
    private = rules.private.get(kind)
    image = last_image(event)
    if private is None or private.part_key is None or private.part_key not in image:
        return None
    return _believed(event, is_up(image[private.part_key]))


def _believed(event: Event, was_private: bool | None) -> bool | None:
    """That it was not private counts only at its end: later it may have become so."""
    return None if was_private is False and event.method != "DELETE" else was_private


def _was_private(rule: PrivateRule, image: dict[str, Any]) -> bool | None:
    if rule.flag not in image:
        return None
    flag = image[rule.flag]
    if rule.value is None:
        return is_up(flag)
    return flag is is_up(rule.value) if isinstance(flag, bool) else str(flag) == rule.value


#: Texts that say yes; see `comparing.is_up`, which says the same in SQL.
YES = ("true", "t", "yes", "y", "on", "1")


def is_up(value: Any) -> bool:
    """Whether a flag or a switch, as a program or a person writes them, says yes."""
    return value.lower() in YES if isinstance(value, str) else bool(value)


def ways_from(kind: str, passed: tuple[str, ...], rules: Rules) -> Iterator[tuple[TableRule, ...]]:
    """The ways through tables to what may be followed; no way comes to the same kind twice."""
    for rule in rules.parents:
        if isinstance(rule, TableRule) and rule.child == kind and rule.parent not in passed:
            yield (rule,)
            for further in ways_from(rule.parent, (*passed, rule.parent), rules):
                yield (rule, *further)


def ids_in(value: Any) -> tuple[Id, ...]:
    """The id or the ids in a value of an image; nothing else is one."""
    values = value if isinstance(value, list) else [value]
    return tuple(each for each in values if _is_id(each))


def _is_id(value: Any) -> TypeGuard[Id]:
    return isinstance(value, str) or type(value) is int
