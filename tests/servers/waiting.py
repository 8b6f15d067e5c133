"""Waiting for a condition: the one place in the tests that sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.015


def wait_until(
    predicate: Callable[[], T],
    timeout: float = 30,
    message: str | Callable[[], str] = "the condition did not become true",
) -> T:
    """Poll until `predicate()` is true, and return what it returned.

    A test that sleeps for a fixed time is slow on a fast machine and fails on a slow one.
    `message` may be a function, for what is only known when the time is over.
    """
    deadline = time.monotonic() + timeout
    while True:
        if value := predicate():
            return value
        if time.monotonic() >= deadline:
            said = message if isinstance(message, str) else message()
            raise AssertionError(f"after {timeout:g} s: {said}")
        time.sleep(POLL_SECONDS)
