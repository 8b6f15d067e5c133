"""Events for tests."""

from __future__ import annotations

from typing import Any

from eventworker.event import Event


def make_event(**fields: Any) -> Event:
    """An event with no more said than the test is about; the rest is ``POST`` of ``story`` 7."""
    return Event(**{"method": "POST", "resource": "story", "resource_id": 7, **fields})
