"""Time limits, the slot that the daemon reads, and the pauses between attempts."""

import os
import signal
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from eventworker.engine.child import is_alive
from eventworker.engine.post import cause_of
from eventworker.engine.slot import Slot, grace
from eventworker.engine.timelimit import time_limit
from eventworker.errors import (
    AlreadySettled,
    DatabaseError,
    DecodeError,
    EventworkerError,
    HandlerTimeout,
    Reject,
    Retry,
    TransportError,
)
from tests.helpers.plugins import time_limits


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


def test_a_loop_is_interrupted_at_its_limit() -> None:
    def loop() -> None:
        while time.monotonic() - started < 20:
            pass

    started = time.monotonic()
    with pytest.raises(HandlerTimeout, match=r"0\.1 s"), time_limit(0.1):
        loop()
    assert 0.09 < time.monotonic() - started < 10


def test_an_except_exception_does_not_swallow_the_interruption() -> None:
    def stubborn() -> None:
        while True:
            try:
                while True:
                    pass
            except Exception:
                continue

    with pytest.raises(HandlerTimeout), time_limit(0.1):
        stubborn()


def test_a_call_within_its_limit_leaves_no_alarm_behind() -> None:
    before = signal.setitimer(signal.ITIMER_REAL, 0)
    with time_limit(50.0):
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
    signal.setitimer(signal.ITIMER_REAL, *before)


def test_an_alarm_that_somebody_waits_for_comes_after_the_call() -> None:
    before = signal.setitimer(signal.ITIMER_REAL, 100)
    with time_limit(50.0):
        signal.alarm(0)
    assert 90 < signal.getitimer(signal.ITIMER_REAL)[0] <= 100
    signal.setitimer(signal.ITIMER_REAL, *before)


def test_a_signal_that_one_call_took_limits_the_next_one_all_the_same() -> None:
    with time_limit(50.0):
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    with pytest.raises(HandlerTimeout), time_limit(0.1):
        time.sleep(20)


def test_an_alarm_that_comes_after_the_end_hits_nobody() -> None:
    with time_limit(50.0):
        pass
    signal.raise_signal(signal.SIGALRM)


def test_the_slot_is_seen_from_the_other_side_of_a_fork() -> None:
    slot, event_id = Slot(), uuid4()
    assert slot.read() is None
    pid = os.fork()
    if pid == 0:
        slot.enter(event_id, 300, 5.0, 2**40)
        os._exit(0)
    os.waitpid(pid, 0)
    call = slot.read()
    assert call is not None
    assert (call.event_id, call.plugin, call.timeout, call.n) == (event_id, 300, 5.0, 2**40)
    assert 5.0 < call.kill_at - time.monotonic() < 5.0 + grace(5.0)
    slot.leave()
    assert slot.read() is None


def test_the_slot_names_the_call_without_a_limit_until_its_end_is_written_down() -> None:
    slot, event_id = Slot(), uuid4()
    slot.enter(event_id, 1, 5.0)
    slot.returned()
    call = slot.read()
    assert call is not None
    assert (call.event_id, call.kill_at) == (event_id, float("inf"))
    slot.leave()
    assert slot.read() is None
    slot.returned()
    assert slot.read() is None


def test_a_negative_delay_is_the_plugins_mistake() -> None:
    with pytest.raises(ValueError, match="seconds"):
        Retry(-1)
    for never in (float("inf"), float("nan")):
        with pytest.raises(ValueError, match="no such time"):
            Retry(never)
    assert Retry(0).delay == 0
    assert Retry().delay is None


def test_errors_are_of_one_family_and_speak_for_themselves() -> None:
    assert issubclass(Reject, EventworkerError)
    assert issubclass(AlreadySettled, TransportError)
    assert not issubclass(HandlerTimeout, Exception)
    assert str(DatabaseError()) == DatabaseError.__doc__
    assert str(Reject("no")) == "no"
    error = DecodeError("why", b"bytes")
    assert (error.reason, error.body) == ("why", b"bytes")


def test_a_process_that_has_worked_is_known_until_the_next_one_begins() -> None:
    slot = Slot()
    assert not slot.has_worked
    slot.note_work()
    slot.leave()
    assert slot.has_worked
    slot.clear()
    assert not slot.has_worked


def test_a_zombie_is_not_alive() -> None:
    """Else the leases of a daemon that was killed with its children would not be freed."""
    assert is_alive(os.getpid())
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is not reaped
    assert os.path.exists(f"/proc/{pid}")
    assert not is_alive(pid)
    os.waitpid(pid, 0)
    assert not is_alive(pid)


def test_a_signal_without_a_name_is_no_reason_to_fail() -> None:
    """The daemon itself would end of it, with all its children."""
    assert cause_of(None, None, -40) == "killed by signal 40"
    assert cause_of(None, None, -9) == "killed by signal SIGKILL"
    assert cause_of(None, None, 3) == "the process ended with exit code 3"
