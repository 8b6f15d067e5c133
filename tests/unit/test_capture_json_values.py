"""Column values as JSON values."""

import enum
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import pytest

from eventworker.capture.json_values import OMITTED, json_object, json_value
from eventworker.errors import EncodeError
from eventworker.event import Event, decode


class Colour(enum.Enum):
    RED = "red"
    MIXED = (1, 2)


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**80, 2**80),
        ("ů", "ů"),
        (Name("x"), "x"),
        (1.5, 1.5),
        (float("nan"), None),
        (float("-inf"), None),
        (Decimal("1.10"), "1.10"),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05+00:00"),
        (datetime(2026, 1, 2), "2026-01-02T00:00:00"),  # noqa: DTZ001 - a naive one stays naive
        (date(2026, 1, 2), "2026-01-02"),
        (timedelta(minutes=1), 60.0),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (Colour.MIXED, "MIXED"),
        (Level.HIGH, 3),
        (ip_address("::1"), "::1"),
        (("a", b"x", [date(2026, 1, 2)]), ["a", ["2026-01-02"]]),
        ({1: {"b": memoryview(b"x")}}, {"1": {}}),
        (b"x", OMITTED),
    ],
)
def test_a_value_has_a_json_form(value: Any, expected: Any) -> None:
    found = json_value(value)
    assert found == expected
    assert type(found) is type(expected)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_what_is_accepted_can_be_read_again() -> None:
    event = Event(method="PUT", resource="story", resource_after=json_object({"a": nested(62)}))
    assert decode(event.encode()).resource_after == {"a": nested(62)}


@pytest.mark.parametrize("levels", [63, 100_000])
def test_what_a_reader_would_refuse_for_its_depth_is_refused_here(levels: int) -> None:
    with pytest.raises(EncodeError):
        json_object({"a": nested(levels)})
