"""What each test of the order has."""

from collections.abc import Iterator

import pytest

from tests.helpers.ordered import InOrder, nobody_else
from tests.helpers.plugins import time_limits


@pytest.fixture(autouse=True)
def _limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    nobody_else(monkeypatch)
    with time_limits():
        yield


@pytest.fixture
def plugin() -> InOrder:
    return InOrder()
