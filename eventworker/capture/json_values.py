"""Python values of columns as JSON values.

======================  ==============================================
datetime, date, time    ISO 8601, as they are: a naive one has no zone
timedelta               seconds
Decimal                 text, so that no digit is lost
UUID                    text
Enum                    its value if that is text or a number, else its name
NaN, infinity           null
bytes                   left out
dict, list, set, tuple  objects and arrays of the above
anything else           its ``str()``
======================  ==============================================
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from eventworker.errors import EncodeError
from eventworker.strictjson import MAX_DEPTH

#: The body's own levels: the object of fields, and the image in it.
_DEPTH = MAX_DEPTH - 2


class _Omitted:
    """The value of what has no place in an image."""


OMITTED = _Omitted()


def json_object(values: Mapping[Any, Any], depth: int = _DEPTH) -> dict[str, Any]:
    """A JSON object of ``values``, without those that are left out.

    :raises EncodeError: when it is nested deeper than a reader accepts.
    """
    converted = ((str(key), json_value(value, depth)) for key, value in values.items())
    return {key: value for key, value in converted if value is not OMITTED}


def json_value(value: Any, depth: int = _DEPTH) -> Any:
    """One value as JSON, by the table above; :data:`OMITTED` for bytes."""
    if value is None or isinstance(value, bool) or type(value) in (int, str):
        return value
    for kind, convert in _SCALARS:
        if isinstance(value, kind):
            return convert(value)
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth <= 0:
            raise EncodeError(f"a value is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, Mapping):
            return json_object(value, depth - 1)
        return _array(value, depth - 1)
    return str(value)


def _array(values: Iterable[Any], depth: int) -> list[Any]:
    converted = (json_value(value, depth) for value in values)
    return [value for value in converted if value is not OMITTED]


def _enum(value: enum.Enum) -> Any:
    return value.value if isinstance(value.value, str | int | float) else value.name


_SCALARS: tuple[tuple[Any, Any], ...] = (
    (enum.Enum, _enum),
    (int, int),
    (str, str),
    (float, lambda value: float(value) if math.isfinite(value) else None),
    (datetime | date | time, lambda value: value.isoformat()),
    (timedelta, lambda value: value.total_seconds()),
    (bytes | bytearray | memoryview, lambda _value: OMITTED),
)
