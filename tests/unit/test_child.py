"""What a child process of the daemon is told, and when."""

import sys
import time
from types import FrameType
from typing import Any

import pytest

from eventworker.engine.child import Child
from eventworker.engine.slot import Slot


class StopAt:
    """Stops the child, as its signal handler does, at one of the steps of a wait."""

    def __init__(self, child: Child, number: int) -> None:
        self.left = number
        self._child = child

    def __call__(self, frame: FrameType, what: str, _argument: Any) -> Any:
        frame.f_trace_opcodes = True
        # The first releases of Python 3.12 tell of lines only.
        if what in ("opcode", "line"):
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                self._child.stop()
        return self


@pytest.mark.timeout(30)
def test_a_stop_at_any_instruction_of_a_wait_ends_it() -> None:
    number, stopped = 0, True
    while stopped:
        number += 1
        child = Child(Slot())
        tracer = StopAt(child, number)
        before, started = sys.gettrace(), time.monotonic()
        sys.settrace(tracer)
        try:
            child.wait(0.05)
        finally:
            sys.settrace(before)
        stopped = tracer.left <= 0
        assert child.stopping is stopped
        if stopped:
            child.wait(3600.0)
            assert time.monotonic() - started < 20
    assert number > 2


def test_a_second_stop_changes_nothing_and_a_wait_without_one_lasts_its_time() -> None:
    child = Child(Slot())
    started = time.monotonic()
    child.wait(0.1)
    child.wait(-1.0)
    assert time.monotonic() - started >= 0.1
    assert not child.stopping
    child.stop()
    child.stop()
    child.wait(3600.0)
    child.wait(3600.0)
    assert child.stopping


def test_who_waits_is_told_of_a_stop_by_a_function_of_its_own() -> None:
    child = Child(Slot())
    told: list[bool] = []
    child.at_stop(lambda: told.append(child.stopping))
    child.stop()
    assert told == [True]
