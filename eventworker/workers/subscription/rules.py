"""The rules that an application is described with: what belongs to what, who may see what, who
wants to hear of what, and what a notification says.

Each is written on one line of the configuration and begins with the kind of resource it is about::

    task:story_id:story                                         a key of the images
    story:story_projects(story_id,project_id):project           a table, from column to column
    story:worklist_items(item_id,list_id,item_type=story):worklist   only some of its rows
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eventworker.errors import ConfigError

_NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
_COLUMN = r"[A-Za-z_][A-Za-z0-9_$]*"
_CALL = re.compile(rf"({_COLUMN}(?:\.{_COLUMN})?)\s*\(([^()]*)\)")
_ARGUMENT = re.compile(rf"({_COLUMN})(?:\s*=\s*([^=]*))?")
_KEY = re.compile(_NAME)
_RULE_END = re.compile(r",(?![^(]*\))")
_PART_END = re.compile(r":(?![^(]*\))")


#: Columns and the texts that they have to hold.
Where = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A table leads from what is in one column to what is in another.

    :param where: columns and the texts that they have to hold; other rows do not count.
    """

    table: str
    origin: str
    target: str
    where: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class KeyRule:
    """The child's images have the parent's id, or a list of ids, under ``key``."""

    child: str
    key: str
    parent: str
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class TableRule:
    """A table has the child's id in one column and the parent's in another.

    :param is_part: whether who may not see the parent may not see the child.
    """

    child: str
    step: Step
    parent: str
    is_part: bool = False


ParentRule = KeyRule | TableRule


@dataclass(frozen=True, slots=True)
class PrivateRule:
    """A row of a kind is private if its flag is up.

    :param flag: column with the flag.
    :param value: what the column holds if the flag is up; None if it is a yes or no.
    :param where: as in a step.
    :param part_key: key under which the images of its parts say whether it is private.
    """

    kind: str
    table: str
    id: str
    flag: str
    value: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    part_key: str | None = None


@dataclass(frozen=True, slots=True)
class VisibleRule:
    """Users who may see what is private: from its id, or what ``key`` of its last image holds,
    through the steps to users."""

    kind: str
    key: str | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class PreferenceRule:
    """Users who do not want to hear of a kind; the step leads from the user to the switch."""

    kind: str
    step: Step
    unless_set: bool


@dataclass(frozen=True, slots=True)
class DetailRule:
    """What a notification says under ``name``: from a key of the images, or from a table."""

    kind: str
    name: str
    how: str | Step


_Named = TypeVar("_Named", VisibleRule, PreferenceRule, DetailRule)


@dataclass(frozen=True)
class Rules:
    """All rules of a configuration; those of a kind in the order in which they are written."""

    parents: tuple[ParentRule, ...] = ()
    private: Mapping[str, PrivateRule] = field(default_factory=dict)
    visible: Mapping[str, list[VisibleRule]] = field(default_factory=dict)
    preferences: Mapping[str, list[PreferenceRule]] = field(default_factory=dict)
    details: Mapping[str, list[DetailRule]] = field(default_factory=dict)

    def knows(self, kind: str) -> bool:
        """Whether a rule says what resources of this kind belong to."""
        return any(rule.child == kind for rule in self.parents)

    def columns(self) -> Iterator[tuple[str, str, tuple[str, ...], Where]]:
        """Every table that a rule names: the option, the table, its columns in the rule, and what
        some of them have to hold."""
        for rule in self.parents:
            if isinstance(rule, TableRule):
                yield _of_step("part_of" if rule.is_part else "belongs_to", rule.step)
        for private in self.private.values():
            columns = (private.id, private.flag, *(column for column, _ in private.where))
            flag = () if private.value is None else ((private.flag, private.value),)
            yield "private", private.table, columns, (*flag, *private.where)
        for visible in _all(self.visible):
            for step in visible.steps:
                yield _of_step("visible_to", step)
        for preference in _all(self.preferences):
            yield _of_step("preference", preference.step)
        for detail in _all(self.details):
            if isinstance(detail.how, Step):
                yield _of_step("details", detail.how)


def _all(by_kind: Mapping[str, list[_Named]]) -> Iterator[_Named]:
    for rules in by_kind.values():
        yield from rules


def _of_step(option: str, step: Step) -> tuple[str, str, tuple[str, ...], Where]:
    columns = (step.origin, step.target, *(column for column, _ in step.where))
    return option, step.table, columns, step.where


def rules_of(options: Any, group: str) -> Rules:
    """The rules in an options group.

    :param group: its name, for the errors.
    :raises ConfigError: naming the option and the first rule that is none.
    """

    def read(option: str, parse: Callable[[list[str]], Any], example: str) -> list[Any]:
        return list(_read(options[option], f"[{group}] {option}", parse, example))

    parents = [
        *read("part_of", _part, "task:story_id:story"),
        *read("belongs_to", _parent, "story:story_projects(story_id,project_id):project"),
    ]
    private: dict[str, PrivateRule] = {}
    for rule in read("private", _private, "story:stories(id,private)"):
        if rule.kind in private:
            raise ConfigError(f"[{group}] private: there are two rules for {rule.kind}; keep one")
        private[rule.kind] = rule
    visible = read("visible_to", _visible, "story:story_users(story_id,user_id)")
    preferences = read("preference", _preference, "worklist:users(id,wants_worklists):yes")
    details = read("details", _detail, "story:story_title=stories(id,title)")
    return Rules(
        tuple(parents), private, _by_kind(visible), _by_kind(preferences), _by_kind(details)
    )


def _by_kind(rules: list[_Named]) -> dict[str, list[_Named]]:
    found: dict[str, list[_Named]] = {}
    for rule in rules:
        found.setdefault(rule.kind, []).append(rule)
    return found


def _read(
    lines: Iterable[str], option: str, parse: Callable[[list[str]], Any], example: str
) -> Iterator[Any]:
    """One rule per line, or several with commas between."""
    for text in (each.strip() for line in lines for each in _RULE_END.split(line)):
        if text:
            parts = [part.strip() for part in _PART_END.split(text)]
            if not _KEY.fullmatch(parts[0]) or (rule := parse(parts)) is None:
                raise ConfigError(f"{option}: {text!r} is no rule; write one such as {example}")
            if isinstance(rule, ParentRule) and rule.child == rule.parent:
                raise ConfigError(
                    f"{option}: {text!r}: a {rule.child} cannot belong to its own kind"
                )
            yield rule


def _part(parts: list[str]) -> ParentRule | None:
    return _parent(parts, is_part=True)


def _parent(parts: list[str], is_part: bool = False) -> ParentRule | None:
    if len(parts) != 3 or not _KEY.fullmatch(parts[2]):
        return None
    child, how, parent = parts
    if _KEY.fullmatch(how):
        return KeyRule(child, how, parent, is_part)
    step = _step(how)
    return None if step is None else TableRule(child, step, parent, is_part)


def _private(parts: list[str]) -> PrivateRule | None:
    table, arguments = _call(parts[1]) if len(parts) in (2, 3) else ("", [])
    part_key = parts[2] if len(parts) == 3 else None
    if len(arguments) < 2 or arguments[0][1] is not None:
        return None
    if part_key is not None and not _KEY.fullmatch(part_key):
        return None
    where = _where(arguments[2:])
    if where is None:
        return None
    (row_id, _), (flag, value) = arguments[:2]
    return PrivateRule(parts[0], table, row_id, flag, value, where, part_key)


def _visible(parts: list[str]) -> VisibleRule | None:
    kind, *hows = parts
    key = hows.pop(0) if hows and _KEY.fullmatch(hows[0]) else None
    steps = [_step(how) for how in hows]
    if None in steps or not (key or steps):
        return None
    return VisibleRule(kind, key, tuple(step for step in steps if step))


def _preference(parts: list[str]) -> PreferenceRule | None:
    if len(parts) == 2:
        parts = [*parts, "yes"]
    step = _step(parts[1]) if len(parts) == 3 and parts[2] in ("yes", "no") else None
    return None if step is None else PreferenceRule(parts[0], step, parts[2] == "yes")


def _detail(parts: list[str]) -> DetailRule | None:
    name, is_there, how = parts[1].partition("=") if len(parts) == 2 else ("", "", "")
    name, how = name.strip(), how.strip()
    if not is_there or not _KEY.fullmatch(name):
        return None
    if _KEY.fullmatch(how):
        return DetailRule(parts[0], name, how)
    step = _step(how)
    return None if step is None else DetailRule(parts[0], name, step)


def _step(text: str) -> Step | None:
    """``TABLE(ORIGIN,TARGET)``, and after these any ``COLUMN=VALUE``."""
    table, arguments = _call(text)
    if len(arguments) < 2 or [value for _, value in arguments[:2]] != [None, None]:
        return None
    where = _where(arguments[2:])
    return None if where is None else Step(table, arguments[0][0], arguments[1][0], where)


def _call(text: str) -> tuple[str, list[tuple[str, str | None]]]:
    """``TABLE(COLUMN,COLUMN=VALUE)``: the table, and each column with its value; else nothing."""
    match = _CALL.fullmatch(text)
    if match is None:
        return "", []
    found = [_ARGUMENT.fullmatch(argument.strip()) for argument in match[2].split(",")]
    arguments = [(each[1], None if each[2] is None else each[2].strip()) for each in found if each]
    return match[1], arguments if len(arguments) == len(found) else []


def _where(arguments: list[tuple[str, str | None]]) -> tuple[tuple[str, str], ...] | None:
    """Columns with their values; None if one has none."""
    where = tuple((column, value) for column, value in arguments if value is not None)
    return where if len(where) == len(arguments) else None
