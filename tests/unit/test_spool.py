"""The spool in one process: nothing lost, order kept, bounded, and told in clear lines."""

import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from eventworker.capture.spool import Spool, drainer, outbox_target, rounds
from eventworker.capture.spool.targets import Outbox
from eventworker.capture.wsgi import EventMiddleware
from eventworker.cli.lines import message
from eventworker.errors import (
    ConfigError,
    EncodeError,
    SpoolFull,
    TransportError,
    Unpublishable,
    Unroutable,
)
from eventworker.event import decode
from tests.helpers.events import make_event, number_of
from tests.helpers.spools import Gate, put_numbered, spools_at
from tests.servers import wait_until

MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.spool"


@pytest.fixture
def made(path: Path) -> Iterator[Callable[..., Spool]]:
    with spools_at(path) as make:
        yield make


def lines(caplog: pytest.LogCaptureFixture, word: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if word in record.getMessage()]


def test_events_reach_the_target_in_order(made: Callable[..., Spool]) -> None:
    gate = Gate()
    spool = made(gate)
    put_numbered(spool, range(200))
    wait_until(lambda: len(gate.taken) == 200)
    assert gate.numbers == list(range(200))
    wait_until(lambda: spool.status()["waiting"] == 0)
    assert spool.status()["delivered"] == 200


def test_what_the_target_gets_is_the_event_as_it_was_put_in(made: Callable[..., Spool]) -> None:
    gate = Gate()
    event = make_event(
        source="tracker", url="http://h\u00e9re/#!/1", resource_after={"a": [1, None]}
    )
    made(gate)(event)
    wait_until(lambda: gate.taken)
    (message,) = gate.taken
    assert (message.id, message.time, message.source) == (event.id, event.time, "tracker")
    assert (message.resource, message.body) == (event.resource, event.encode())


def test_events_wait_while_the_target_is_away_and_survive_the_process(
    made: Callable[..., Spool], caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(is_open=False)
    spool = made(gate)
    put_numbered(spool, range(3))
    wait_until(lambda: gate.asked >= 3)
    wait_until(lambda: spool.status()["trouble"] == "the gate is shut")
    spool.close()
    assert gate.closed
    assert len(lines(caplog, "the gate is shut")) == 1

    other = Gate()
    later = made(other)
    later.start()
    wait_until(lambda: len(other.taken) == 3)
    put_numbered(later, [3])
    wait_until(lambda: len(other.taken) == 4)
    assert other.numbers == [0, 1, 2, 3]


def test_the_end_of_an_outage_is_told_once(
    made: Callable[..., Spool], caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(is_open=False)
    spool = made(gate)
    put_numbered(spool, range(3))
    wait_until(lambda: gate.asked >= 3)
    gate.open()
    wait_until(lambda: lines(caplog, "leave again"))
    wait_until(lambda: spool.status()["trouble"] is None)
    put_numbered(spool, range(3, 6))
    wait_until(lambda: len(gate.taken) == 6)
    assert len(lines(caplog, "leave again")) == 1


def test_each_thread_keeps_its_order(made: Callable[..., Spool]) -> None:
    gate = Gate()
    spool = made(gate)
    threads = [
        threading.Thread(target=put_numbered, args=(spool, range(50)), kwargs={"source": f"t{one}"})
        for one in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(gate.taken) == 400)
    for one in range(8):
        mine = [number_of(each.body) for each in gate.taken if each.source == f"t{one}"]
        assert mine == list(range(50))


def test_two_spools_on_one_file_deliver_each_event_once(made: Callable[..., Spool]) -> None:
    one, other = Gate(), Gate()
    first, second = made(one), made(other)
    for number in range(100):
        put_numbered(first if number % 2 else second, [number])
    wait_until(lambda: len(one.taken) + len(other.taken) == 100)
    # By time of creation, which the ids carry: each gate has seen its part in order.
    for gate in (one, other):
        assert gate.numbers == sorted(gate.numbers)


class Picky(Gate):
    """Refuses some numbers."""

    def __init__(self, error: TransportError, refused: set[int]) -> None:
        super().__init__()
        self.error = error
        self.refused = refused

    def publish(self, messages: Any, timeout: float = 30.0) -> list[TransportError | None]:
        good = [each for each in messages if number_of(each.body) not in self.refused]
        super().publish(good)
        return [None if each in good else self.error for each in messages]


def test_what_the_target_refuses_is_put_aside_and_the_others_go_on(
    made: Callable[..., Spool], caplog: pytest.LogCaptureFixture
) -> None:
    gate = Picky(Unpublishable("it is no message"), {0, 3})
    spool = made(gate)
    put_numbered(spool, range(6))
    wait_until(lambda: spool.status()["waiting"] == 0)
    assert gate.numbers == [1, 2, 4, 5]
    assert spool.status()["refused"] == 2
    assert len(lines(caplog, "it is no message")) == 2


def test_what_has_no_queue_is_offered_again_and_then_stands_in_its_place(
    made: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "_UNROUTABLE_PAUSE", 0.1)
    monkeypatch.setattr(drainer, "_IDLE", 0.1)
    gate = Picky(Unroutable("no queue is bound"), {0, 1})
    spool = made(gate)
    put_numbered(spool, range(3))
    wait_until(lambda: gate.numbers == [2] and spool.status()["refused"] == 2)
    gate.refused = set()
    put_numbered(spool, [3])
    wait_until(lambda: len(gate.taken) == 4, timeout=15)
    assert [number for number in gate.numbers if number < 2] == [0, 1]
    assert spool.status()["refused"] == 0


def test_a_target_that_fails_in_a_way_nobody_foresaw_is_asked_again(
    made: Callable[..., Spool], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Gate):
        def publish(self, messages: Any, timeout: float = 30.0) -> list[TransportError | None]:
            if self.asked < 3:
                self.asked += 1
                raise ZeroDivisionError("a fault of the target")
            return super().publish(messages)

    gate = Broken()
    put_numbered(made(gate), range(2))
    wait_until(lambda: len(gate.taken) == 2)
    assert gate.numbers == [0, 1]
    (told,) = [each for each in caplog.records if "a fault of the target" in each.getMessage()]
    assert told.exc_info is not None


def test_a_target_that_cannot_be_built_yet_is_built_later(made: Callable[..., Spool]) -> None:
    gate = Gate()
    tries: list[int] = []

    def build() -> Gate:
        tries.append(1)
        if len(tries) < 3:
            raise ConfigError("the driver is not installed")
        return gate

    put_numbered(made(build), range(2))
    wait_until(lambda: len(gate.taken) == 2)


def fill(spool: Spool, kib: int = 100) -> int:
    """Put large events in until one is refused; returns how many fitted."""
    for number in range(10_000):
        try:
            spool(make_event(resource_id=number, resource_after={"x": "y" * kib * 1024}))
        except SpoolFull:
            return number
    raise AssertionError("it never gets full")


def test_a_full_spool_refuses_tells_it_once_and_recovers(
    made: Callable[..., Spool], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(is_open=False)
    spool = made(gate, max_bytes=2 * MIB)
    fitted = fill(spool)
    assert fitted >= 15
    assert path.stat().st_size <= 2 * MIB
    for _ in range(5):
        with pytest.raises(SpoolFull, match="has reached its 2097152 bytes"):
            spool(make_event(resource_after={"x": "y" * 100 * 1024}))
    # What is small may still fit.
    assert spool.status()["overflowed"] == 6
    assert [record.levelno for record in caplog.records if "% full" in record.getMessage()] == [
        logging.WARNING
    ]
    (full,) = [record for record in caplog.records if "the spool is full" in record.getMessage()]
    assert full.levelno == logging.ERROR
    gate.open()
    wait_until(lambda: lines(caplog, "has room again; 6 events"))
    assert gate.numbers == list(range(fitted))
    put_numbered(spool, [fitted])
    wait_until(lambda: len(gate.taken) == fitted + 1)


def test_what_does_not_fit_is_in_the_log_as_publish_can_read_it_and_the_response_is_unharmed(
    made: Callable[..., Spool], caplog: pytest.LogCaptureFixture
) -> None:
    def tracker(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    spool = made(Gate(is_open=False), max_bytes=MIB)
    while not lines(caplog, "the spool is full"):
        fill(spool, 1)
    application = EventMiddleware(tracker, spool, author=lambda _environ: 7)
    for number in range(20):  # until the last page is used up, too
        environ: dict[str, Any] = {"REQUEST_METHOD": "PUT", "PATH_INFO": f"/v1/stories/{number}"}
        setup_testing_defaults(environ)
        chunks: Any = application(environ, lambda *_: lambda _chunk: None)
        assert b"".join(chunks) == b"done"
        chunks.close()
    logged = [line.partition("the event: ")[2] for line in lines(caplog, "the event: ")]
    assert logged
    for text in logged:
        read = message(text.encode(), MIB)
        assert decode(read.body).author_id == 7
        assert f'"{read.id}"' in text


def test_disk_space_is_given_back_when_nothing_waits(
    made: Callable[..., Spool], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "_SHRINK", 50)
    monkeypatch.setattr(rounds, "_KEEP", 50)
    gate = Gate(is_open=False)
    spool = made(gate, max_bytes=4 * MIB)
    fill(spool)
    gate.open()
    wait_until(lambda: spool.status()["waiting"] == 0)
    wait_until(lambda: path.stat().st_size < MIB)


def test_refused_events_do_not_keep_a_full_spool_from_being_emptied(
    made: Callable[..., Spool],
) -> None:
    class Refusing(Gate):
        def publish(self, messages: Any, timeout: float = 30.0) -> list[TransportError | None]:
            results = super().publish(messages)
            return [error or Unpublishable("no") for error in results]

    gate = Refusing(is_open=False)
    spool = made(gate, max_bytes=MIB)
    fitted = fill(spool, 1)
    gate.open()
    wait_until(lambda: spool.status()["waiting"] == 0)
    assert spool.status()["refused"] == fitted


def test_a_thread_that_shares_a_transaction_with_one_that_does_not_fit_gets_in(
    made: Callable[..., Spool],
) -> None:
    gate = Gate(is_open=False)
    spool = made(gate, max_bytes=MIB)
    fill(spool)
    outcomes: list[str] = []

    def put(size: int) -> None:
        try:
            spool(make_event(resource_after={"x": "y" * size}))
            outcomes.append("in")
        except SpoolFull:
            outcomes.append("full")

    threads = [threading.Thread(target=put, args=(size,)) for size in [10, 300_000] * 8]
    with spool._intake._turn:  # all arrive before the first has its turn
        for thread in threads:
            thread.start()
        wait_until(lambda: len(spool._intake._arrived) == 16)
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["full"] * 8 + ["in"] * 8


def test_nobody_else_may_read_the_files(made: Callable[..., Spool], path: Path) -> None:
    old = os.umask(0)
    try:
        put_numbered(made(Gate(is_open=False)), [0])
    finally:
        os.umask(old)
    found = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert set(found.values()) == {0o600}
    assert {"events.spool", "events.spool-wal", "events.spool-shm"} <= found.keys()


def test_an_event_that_is_none_is_refused_at_once(made: Callable[..., Spool]) -> None:
    spool = made(Gate())
    with pytest.raises(EncodeError, match="naive"):
        spool(make_event(time=datetime(2026, 1, 1)))  # noqa: DTZ001
    with pytest.raises(EncodeError):
        spool(make_event(resource_after={"x": object()}))


@pytest.mark.parametrize("where", ["missing/events.spool", "."])
def test_a_path_that_cannot_be_is_told_at_the_start(tmp_path: Path, where: str) -> None:
    with pytest.raises(ConfigError, match="directory"):
        Spool(tmp_path / where, Gate)


def test_a_bound_that_nothing_fits_in_is_told_at_the_start(path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1048576 bytes"):
        Spool(path, Gate, max_bytes=1000)


@pytest.mark.parametrize(
    ("url", "timeouts"),
    [
        ("postgresql://u:p@host/db", {"connect_timeout": "10", "tcp_user_timeout": "20000"}),
        ("postgresql+psycopg://u:p@host/db?connect_timeout=3", {"connect_timeout": "3"}),
        ("mysql+pymysql://u:p@host/db", {"read_timeout": "30", "write_timeout": "30"}),
        ("mariadb://u:p@host/db?read_timeout=3", {"read_timeout": "3", "write_timeout": "30"}),
    ],
)
def test_the_connection_that_empties_the_spool_does_not_hang_for_ever(
    url: str, timeouts: dict[str, str]
) -> None:
    target = outbox_target(url)()
    assert isinstance(target, Outbox)
    found = target._engine.url
    assert found.password == "p"
    assert timeouts.items() <= found.query.items()
    target.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_delivering_thread_that_was_ended_is_replaced(made: Callable[..., Spool]) -> None:
    class Ending(Gate):
        def publish(self, messages: Any, timeout: float = 30.0) -> list[TransportError | None]:
            if not self.asked:
                self.asked += 1
                raise SystemExit
            return super().publish(messages)

    gate = Ending()
    spool = made(gate)
    put_numbered(spool, [0])
    wait_until(lambda: gate.closed)
    wait_until(lambda: not spool._drainer._runs())
    put_numbered(spool, [1])
    wait_until(lambda: gate.numbers == [0, 1])


def test_no_thread_to_be_had_is_no_reason_to_refuse_an_event(
    made: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    gate = Gate()
    spool = made(gate)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        put_numbered(spool, [0])
    put_numbered(spool, [1])
    wait_until(lambda: gate.numbers == [0, 1])
