"""Time limits, the slot that the daemon reads, and the pauses between attempts."""

import os
import signal
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventworker.engine.attempt import failure_after, pause
from eventworker.engine.loader import Loaded
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
from eventworker.transports.rabbit import RabbitSettings
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
    with time_limit(50.0):
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 50
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_an_alarm_that_comes_after_the_end_hits_nobody() -> None:
    with time_limit(50.0):
        pass
    signal.raise_signal(signal.SIGALRM)


def test_the_slot_is_seen_from_the_other_side_of_a_fork() -> None:
    slot, event_id = Slot(), uuid4()
    assert slot.read() is None
    pid = os.fork()
    if pid == 0:
        slot.enter(event_id, 300, 5.0)
        os._exit(0)
    os.waitpid(pid, 0)
    call = slot.read()
    assert call is not None
    assert (call.event_id, call.plugin, call.timeout) == (event_id, 300, 5.0)
    assert 5.0 < call.kill_at - time.monotonic() < 5.0 + grace(5.0)
    slot.leave()
    assert slot.read() is None


def test_the_slot_is_left_however_the_call_ends() -> None:
    def fail() -> None:
        assert slot.read() is not None
        raise KeyError

    slot = Slot()
    with pytest.raises(KeyError), slot.calling(uuid4(), 1, 5.0):
        fail()
    assert slot.read() is None


@given(st.floats(0.1, 1e6))
def test_the_grace_before_the_kill_is_short_and_never_nothing(timeout: float) -> None:
    assert 0.5 <= grace(timeout) <= 10.0


@given(st.integers(1, 1000), st.floats(0, 100), st.floats(0, 1e5))
def test_pauses_double_up_to_their_cap_with_a_quarter_of_jitter(
    attempt: int, first: float, longest: float
) -> None:
    loaded = Loaded("a", None, frozenset(), backoff=first, backoff_max=longest)
    middle = min(longest, first * 2.0 ** min(attempt - 1, 30))
    assert middle * 0.75 <= pause(loaded, attempt) <= middle * 1.25


@given(st.integers(1, 20), st.integers(1, 20), st.none() | st.floats(0, 1e6))
def test_the_last_attempt_and_only_that_is_a_dead_letter(
    attempt: int, limit: int, delay: float | None
) -> None:
    loaded = Loaded("a", None, frozenset(), max_attempts=limit)
    failure = failure_after(loaded, attempt, "no", "trace", delay)
    assert (failure.delay is None) == (attempt >= limit)
    if delay is not None and attempt < limit:
        assert failure.delay == delay


@given(st.integers(0, 10_000), st.integers(1, 20), st.floats(0, 60))
def test_pauses_between_connections_are_bounded(failures: int, tries: int, longest: float) -> None:
    settings = RabbitSettings(connection_attempts=tries, retry_delay=longest)
    assert 0 < settings.pause(failures) <= max(longest, 0.1)


def test_a_negative_delay_is_the_plugins_mistake() -> None:
    with pytest.raises(ValueError, match="seconds"):
        Retry(-1)
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
