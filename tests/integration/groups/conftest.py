"""What each test of a group has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event

from eventworker.engine import group
from tests.helpers.plugins import time_limits


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


@pytest.fixture(autouse=True)
def longest(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """No group is cut short because the machine is busy, unless the test says when."""

    def cut_at(seconds: float) -> None:
        monkeypatch.setattr(group, "_LONGEST", seconds)

    cut_at(60.0)
    return cut_at


@pytest.fixture
def commits(engine: Engine) -> Iterator[list[int]]:
    """Grows with each transaction that is begun."""
    begun: list[int] = []

    def note(_connection: Any) -> None:
        begun.append(1)

    event.listen(engine, "begin", note)
    yield begun
    event.remove(engine, "begin", note)
