"""Conditions on events, as an operator writes them into the configuration: ``status < 300``.

A line is ``FIELD OPERATOR VALUE``. It is parsed once, into values that are compared; nothing of it
is ever run as code. Documented in ``docs/howto/filter-events.rst``.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eventworker.event import WIRE_FIELDS, Event
from eventworker.plugin import changed_properties

Scalar = None | bool | int | float | str

#: Not a field of the event: the names of the properties that differ between its two images.
CHANGED = "changed"
FIELDS = (*WIRE_FIELDS, "source", CHANGED)
_IMAGES = ("resource_before", "resource_after")

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MEMBERS = ("has", "lacks")
_LISTS = ("in", "not in")
OPERATORS = ("==", "!=", *_ORDERS, *_LISTS, *_MEMBERS)

_LINE = re.compile(
    r"(?P<field>[^\s<>=!]+)"
    r"(?:\s*(?P<sign>==|!=|<=|>=|<|>)\s*|\s+(?P<word>not\s+in|in|has|lacks)\s+)"
    r"(?P<rest>.*)",
    re.DOTALL,
)
_VALUE = re.compile(r'\s*(?P<text>"(?:[^"\\]|\\.)*"|[^\s,"<>=!]+)\s*(?P<end>,|\Z)')
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_BARE = re.compile(r"[A-Za-z_][\w./:@+-]*", re.ASCII)
_CONSTANTS: dict[str, Scalar] = {"null": None, "true": True, "false": False}
#: What may be meant as a constant and is none.
_NEAR_CONSTANTS = frozenset({*_CONSTANTS, "none"})


class ConditionError(ValueError):
    """A line that is no condition; the text says what to write."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value as it was written."""

    value: Scalar
    text: str

    def __str__(self) -> str:
        if not isinstance(self.value, str):
            return self.text
        bare = _BARE.fullmatch(self.value) and self.value.lower() not in _NEAR_CONSTANTS
        return self.value if bare else json.dumps(self.value)

    def equals(self, found: Any) -> bool:
        """Ids travel as numbers and as text, so ``7`` is both 7 and "7"; ``"7"`` is text alone."""
        value = self.value
        if found is None or value is None or isinstance(found, bool) or isinstance(value, bool):
            return found is value
        if isinstance(found, str):
            return found == self.text
        if isinstance(found, int | float):
            return not isinstance(value, str) and found == value
        return False

    def compares(self, found: Any, order: Callable[[Any, Any], bool]) -> bool:
        """Numbers with numbers and text with text; all else is in no order."""
        both_text = isinstance(found, str) and isinstance(self.value, str)
        return (both_text or (_is_number(found) and _is_number(self.value))) and order(
            found, self.value
        )

    def is_in(self, found: Any) -> bool:
        """Whether a list holds it, or an object has the key."""
        if isinstance(found, dict):
            return self.text in found
        return isinstance(found, list) and any(self.equals(each) for each in found)


@dataclass(frozen=True, slots=True)
class Condition:
    """One line. What the event does not have is ``null``.

    :ivar path: a field, and below an image the keys that lead to the value.
    :ivar values: one, but for ``in`` and ``not in``.
    """

    path: tuple[str, ...]
    operator: str
    values: tuple[Value, ...]

    def __str__(self) -> str:
        values = ", ".join(str(each) for each in self.values)
        return f"{'.'.join(self.path)} {self.operator} {values}"

    def holds(self, event: Event) -> bool:
        """Whether the event satisfies it; never raises."""
        found = _found(event, self.path)
        if self.operator in _ORDERS:
            return self.values[0].compares(found, _ORDERS[self.operator])
        if self.operator in _MEMBERS:
            return self.values[0].is_in(found) is (self.operator == "has")
        equal = any(value.equals(found) for value in self.values)
        return equal is (self.operator in ("==", "in"))


def parse(text: str) -> Condition:
    """The condition that a line says.

    :raises ConditionError: when it says none.
    """
    match = _LINE.fullmatch(text.strip())
    if match is None:
        raise ConditionError(f"write FIELD OPERATOR VALUE with one of {_listed(OPERATORS)}")
    word = match["sign"] or " ".join(match["word"].split())
    path = _path(match["field"], word)
    values = _values(match["rest"])
    if len(values) > 1 and word not in _LISTS:
        raise ConditionError(f"{word} takes one value; for several write in or not in")
    return Condition(path, word, values)


def _path(text: str, word: str) -> tuple[str, ...]:
    path = tuple(text.split("."))
    if path[0] not in FIELDS:
        raise ConditionError(f"there is no field {path[0]}; write one of {_listed(FIELDS)}")
    if path[0] == CHANGED and word not in _MEMBERS:
        raise ConditionError("changed is a list of names; write changed has NAME or lacks NAME")
    if path[0] in _IMAGES and (len(path) < 2 or "" in path):
        raise ConditionError(f"name a property of the image, such as {path[0]}.title")
    if path[0] not in _IMAGES and len(path) > 1:
        raise ConditionError(f"{path[0]} has no properties; only {_listed(_IMAGES)} have")
    return path


def _values(text: str) -> tuple[Value, ...]:
    values: list[Value] = []
    at, end = 0, ","
    while end:
        match = _VALUE.match(text, at)
        if match is None:
            raise ConditionError(
                'write a value after it: a number, a word, a text in "quotes", true, false or null'
            )
        values.append(_value(match["text"]))
        at, end = match.end(), match["end"]
    return tuple(values)


def _value(text: str) -> Value:
    if text.startswith('"'):
        try:
            # Not strict: a tab in the configuration's line is a tab.
            said: str = json.loads(text, strict=False)
        except ValueError:
            raise ConditionError(f"{text} has a backslash that JSON does not know") from None
        return Value(said, said)
    if text in _CONSTANTS:
        return Value(_CONSTANTS[text], text)
    if text.lower() in _NEAR_CONSTANTS:
        constant = "null" if text.lower() == "none" else text.lower()
        raise ConditionError(f'write {constant}, or "{text}" in quotes if the text is meant')
    if _NUMBER.fullmatch(text):
        return Value(_number(text), text)
    return Value(text, text)


def _number(text: str) -> int | float:
    try:
        number = json.loads(text)
    except ValueError:  # thousands of digits
        number = math.inf
    if number in (math.inf, -math.inf):
        raise ConditionError("the number is too large")
    return number  # type: ignore[no-any-return]


def _found(event: Event, path: tuple[str, ...]) -> Any:
    if path[0] == CHANGED:
        before, after = changed_properties(event.resource_before, event.resource_after)
        return list({**before, **after})
    found = getattr(event, path[0])
    for key in path[1:]:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
