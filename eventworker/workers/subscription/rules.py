"""What belongs to what: from a changed resource to all that its subscribers may have named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from eventworker.errors import ConfigError
from eventworker.event import Event

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_COLUMN = r"[A-Za-z_][A-Za-z0-9_$]*"
_RULE = re.compile(
    rf"(?P<child>{_NAME})\s*:\s*"
    rf"(?:(?P<table>{_COLUMN}(?:\.{_COLUMN})?)"
    rf"\s*\(\s*(?P<child_column>{_COLUMN})\s*,\s*(?P<parent_column>{_COLUMN})\s*\)|(?P<key>{_NAME}))"
    rf"\s*:\s*(?P<parent>{_NAME})"
)
_SEPARATOR = re.compile(r",(?![^(]*\))")


@dataclass(frozen=True, slots=True)
class KeyRule:
    """The child's images have the parent's id under ``key``."""

    child: str
    key: str
    parent: str


@dataclass(frozen=True, slots=True)
class TableRule:
    """A table has the child's id in one column and the parent's in another."""

    child: str
    table: str
    child_column: str
    parent_column: str
    parent: str


Rule = KeyRule | TableRule


@dataclass(frozen=True, slots=True)
class Target:
    """What somebody may follow."""

    kind: str
    id: int | str


@dataclass(frozen=True, slots=True)
class Walk:
    """From a target through tables, one after the other, to what it belongs to."""

    start: Target
    steps: tuple[TableRule, ...]


def parse(lines: Iterable[str], option: str) -> tuple[Rule, ...]:
    """The rules as written in the configuration.

    :param option: what to call the option in an error.
    :raises ConfigError: naming the first rule that is none.
    """
    texts = [text.strip() for line in lines for text in _SEPARATOR.split(line)]
    return tuple(_parse_one(text, option) for text in texts if text)


def _parse_one(text: str, option: str) -> Rule:
    match = _RULE.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{option}: {text!r} is no rule; write task:story_id:story or "
            "project:project_group_mapping(project_id,project_group_id):project_group"
        )
    if match["child"] == match["parent"]:
        raise ConfigError(f"{option}: {text!r}: a {match['child']} cannot belong to its own kind")
    if match["key"]:
        return KeyRule(match["child"], match["key"], match["parent"])
    return TableRule(
        match["child"],
        match["table"],
        match["child_column"],
        match["parent_column"],
        match["parent"],
    )


def targets_of(event: Event, rules: Sequence[Rule]) -> list[Target]:
    """What the event itself names: the resource, the sub-resource, and their parents by key.

    The images are those of what changed. A child that moved belongs to both its parents.
    """
    named = [(event.resource, event.resource_id), (event.sub_resource, event.sub_resource_id)]
    changed = event.sub_resource or event.resource
    for rule in rules:
        if isinstance(rule, KeyRule) and rule.child == changed:
            for image in (event.resource_before, event.resource_after):
                named.append((rule.parent, (image or {}).get(rule.key)))
    found = (Target(kind, own_id) for kind, own_id in named if kind and _is_id(own_id))
    return list(dict.fromkeys(found))


def walks_from(targets: Iterable[Target], rules: Sequence[Rule]) -> list[Walk]:
    """The ways that lead from the targets through tables; no kind is passed twice on one way."""
    by_table = [rule for rule in rules if isinstance(rule, TableRule)]
    return [
        Walk(target, steps)
        for target in targets
        for steps in _ways(target.kind, by_table, (target.kind,))
    ]


def _ways(
    kind: str, rules: list[TableRule], passed: tuple[str, ...]
) -> Iterator[tuple[TableRule, ...]]:
    for rule in rules:
        if rule.child == kind and rule.parent not in passed:
            yield (rule,)
            for further in _ways(rule.parent, rules, (*passed, rule.parent)):
                yield (rule, *further)


def _is_id(value: Any) -> TypeGuard[int | str]:
    return isinstance(value, str) or type(value) is int
