"""Database and broker away, and processes killed: what was put in arrives, in order, once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from sqlalchemy import Engine, select, text

from eventworker import migrations
from eventworker.capture.spool import Spool, outbox_target, rabbit_target, waiting
from eventworker.capture.spool.store import Store
from eventworker.capture.spool.targets import Outbox
from eventworker.capture.wsgi import EventMiddleware
from eventworker.db import build_engine
from eventworker.errors import TransportError
from eventworker.outbox.table import outbox_table
from eventworker.transport import Message
from eventworker.transports.rabbit import RabbitTransport
from tests.helpers.databases import count
from tests.helpers.events import make_event, number_of
from tests.helpers.rabbit import channel_at, depth, settings_at
from tests.helpers.spools import put_numbered, recorded, spool_to, spools_at
from tests.servers import MariaServer, PostgresServer, RabbitServer, Vhost, wait_until

# Python 3.12 and newer warn of forks beside threads; those are what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.spool"


@pytest.fixture
def made(path: Path) -> Iterator[Callable[..., Spool]]:
    with spools_at(path) as make:
        yield make


def _say(writer: int, line: str) -> None:
    os.write(writer, f"{line}\n".encode())


class Child:
    """A forked process that says over a pipe what it has done, a line each time."""

    def __init__(self, work: Callable[[Callable[[str], None]], None]) -> None:
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(reader)
                work(partial(_say, writer))
                code = 0
            finally:
                os._exit(code)
        os.close(writer)
        self.said = os.fdopen(reader)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> tuple[list[str], int]:
        """What it said, and its exit code or minus the signal."""
        with self.said:
            lines = self.said.read().split()
        return lines, os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def tracker(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """An application that answers every request with the number in its path."""
    number = environ["PATH_INFO"].rpartition("/")[2]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"id": int(number)}).encode()]


def request(application: Any, number: int) -> float:
    """One request as a server makes it; returns the seconds until its end."""
    environ: dict[str, Any] = {"REQUEST_METHOD": "PUT", "PATH_INFO": f"/v1/stories/{number}"}
    setup_testing_defaults(environ)
    start = time.monotonic()
    chunks = application(environ, lambda *_: lambda _chunk: None)
    assert b"".join(chunks) == json.dumps({"id": number}).encode()
    chunks.close()
    return time.monotonic() - start


def test_requests_go_on_while_the_database_is_away_and_their_events_arrive_in_order(
    own_postgres_server: Callable[..., PostgresServer], made: Callable[..., Spool], path: Path
) -> None:
    server = own_postgres_server()
    engine = build_engine(server.createdb("tracker"))
    migrations.upgrade(engine)
    engine.dispose()
    spool = made(outbox_target(engine))

    def serve(name: str) -> Callable[[Callable[[str], None]], None]:
        application = EventMiddleware(tracker, spool, source=name)

        def work(say: Callable[[str], None]) -> None:
            for number in range(40):
                say(f"{request(application, number):.3f}")

        return work

    request(EventMiddleware(tracker, spool, source="parent"), 0)
    wait_until(lambda: count(engine, outbox_table) == 1)
    engine.dispose()
    server.stop()
    ended = [each.end() for each in [Child(serve(f"worker-{one}")) for one in range(3)]]
    assert [code for _, code in ended] == [0, 0, 0]
    # No connect time-out stands in the path of a request, and no pause before a retry.
    assert max(float(seconds) for lines, _ in ended for seconds in lines) < 5
    request(EventMiddleware(tracker, spool, source="parent"), 1)
    server.start()
    wait_until(lambda: spool.status()["waiting"] == 0, timeout=30)
    with engine.connect() as connection:
        rows = connection.execute(select(outbox_table).order_by(text("ctid"))).all()
    engine.dispose()
    assert len(rows) == len({row.id for row in rows}) == 122
    for source, numbers in [("parent", 2), *((f"worker-{one}", 40) for one in range(3))]:
        mine = [number_of(row.body) for row in rows if row.source == source]
        assert mine == list(range(numbers))


class Counting(Outbox):
    """Counts what the database did not answer."""

    unanswered = 0

    def publish(
        self, messages: Sequence[Message], timeout: float = 30.0
    ) -> list[TransportError | None]:
        results = super().publish(messages, timeout)
        self.unanswered += "timed out" in str(results[0])
        return results


def test_a_mariadb_that_answers_no_more_holds_up_no_request_and_delivery_no_longer_than_told(
    own_maria_server: Callable[..., MariaServer], made: Callable[..., Spool]
) -> None:
    server = own_maria_server()
    url = server.createdb("tracker")
    engine = build_engine(url)
    migrations.upgrade(engine)
    engine.dispose()
    target = Counting(build_engine(f"{url}?read_timeout=1"))
    spool = made(target)
    application = EventMiddleware(tracker, spool)
    request(application, 0)
    wait_until(lambda: spool.status()["waiting"] == 0)
    server.pause()
    try:
        assert max(request(application, number) for number in range(1, 20)) < 5
        # First on the open connection, then on a new one: the kernel accepts it, nobody greets.
        wait_until(lambda: target.unanswered >= 2)
        assert "timed out" in spool.status()["trouble"]
    finally:
        server.resume()
    wait_until(lambda: spool.status()["waiting"] == 0, timeout=30)
    with engine.connect() as connection:
        bodies = connection.execute(select(outbox_table.c.body).order_by(outbox_table.c.id))
        assert [number_of(body) for (body,) in bodies] == list(range(20))
    engine.dispose()


class DiesAfterTheCommit(Outbox):
    """The database has committed the batch, and the spool does not know it yet."""

    def publish(
        self, messages: Sequence[Message], timeout: float = 30.0
    ) -> list[TransportError | None]:
        assert super().publish(messages, timeout) == [None] * len(messages)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


def test_a_kill_between_the_targets_commit_and_ours_makes_no_event_twice(
    sqlite_engine: Engine, path: Path, made: Callable[..., Spool]
) -> None:
    url = str(sqlite_engine.url)

    def work(say: Callable[[str], None]) -> None:
        spool = spool_to(lambda: DiesAfterTheCommit(build_engine(url)), path)
        put_numbered(spool, range(100))
        while True:
            signal.pause()

    child = Child(work)
    assert child.end()[1] == -signal.SIGKILL
    before = len(recorded(sqlite_engine))
    assert before > 0
    spool = made(outbox_target(sqlite_engine))
    assert spool.status()["waiting"] >= before
    spool.start()
    wait_until(lambda: spool.status()["waiting"] == 0)
    numbers = [number for _, number in recorded(sqlite_engine)]
    assert numbers == list(range(len(numbers)))


def test_processes_that_are_killed_while_they_put_and_drain_lose_nothing_they_had_put(
    sqlite_engine: Engine, path: Path, made: Callable[..., Spool]
) -> None:
    def worker(name: str) -> Callable[[Callable[[str], None]], None]:
        def work(say: Callable[[str], None]) -> None:
            spool = spool_to(outbox_target(sqlite_engine), path)
            for number in range(100_000):
                spool(make_event(resource_id=number, source=name))
                say(str(number))

        return work

    acknowledged: dict[str, int] = {}
    for generation in range(4):
        names = [f"{generation}-{one}" for one in range(3)]
        children = [Child(worker(name)) for name in names]
        for child in children:
            for _ in range(15 + 10 * generation):
                child.said.readline()
        for child in children:
            child.kill()
        for name, child in zip(names, children, strict=True):
            lines, code = child.end()
            assert code == -signal.SIGKILL
            # Not the last one: the kill may have cut its line.
            acknowledged[name] = int(lines[-2]) if len(lines) > 1 else 0
    spool = made(outbox_target(sqlite_engine))
    spool.start()
    wait_until(lambda: spool.status()["waiting"] == 0, timeout=30)
    rows = recorded(sqlite_engine)
    assert len(rows) == len(set(rows))
    for name, last in acknowledged.items():
        numbers = [number for source, number in rows if source == name]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > last


@pytest.mark.parametrize("database", ["postgres_url", "maria_url"])
def test_a_row_that_the_database_refuses_is_put_aside_alone(
    request: pytest.FixtureRequest, database: str, made: Callable[..., Spool]
) -> None:
    engine = build_engine(request.getfixturevalue(database))
    migrations.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE eventworker_outbox ADD CONSTRAINT odd CHECK (source <> 'bad')")
        )
    spool = made(outbox_target(engine))
    put_numbered(spool, [0, 1])
    put_numbered(spool, [2], source="bad")
    put_numbered(spool, [3])
    wait_until(lambda: spool.status()["waiting"] == 0)
    assert count(engine, outbox_table) == 3
    assert spool.status()["refused"] == 1
    engine.dispose()


def test_events_wait_for_tables_that_are_not_made_yet(
    sqlite_url: str, made: Callable[..., Spool], caplog: pytest.LogCaptureFixture
) -> None:
    spool = made(outbox_target(sqlite_url))
    put_numbered(spool, range(3))
    wait_until(lambda: "no such table" in (spool.status()["trouble"] or ""))
    engine = build_engine(sqlite_url)
    migrations.upgrade(engine)
    wait_until(lambda: count(engine, outbox_table) == 3)
    engine.dispose()


def arrived(place: Vhost) -> list[tuple[str, int]]:
    found = []
    with channel_at(place) as channel:
        while (got := channel.basic_get("storyboard_events", auto_ack=True))[0] is not None:
            found.append((got[1].message_id, number_of(got[2])))
    return found


def test_a_broker_that_is_away_delays_no_request_and_gets_all_in_order(
    own_rabbit_server: Callable[..., RabbitServer], made: Callable[..., Spool]
) -> None:
    server = own_rabbit_server()
    place = server.add_vhost()
    spool = made(rabbit_target(settings_at(place)))
    application = EventMiddleware(tracker, spool)
    request(application, 0)
    wait_until(lambda: spool.status()["waiting"] == 0, timeout=30)
    server.kill()
    slowest = max(request(application, number) for number in range(1, 100))
    assert slowest < 5
    server.start()
    wait_until(lambda: spool.status()["waiting"] == 0, timeout=60)
    numbers = [number for _, number in arrived(place)]
    assert list(dict.fromkeys(numbers)) == list(range(100))


class DiesAfterTheConfirm(RabbitTransport):
    """The broker has confirmed the batch, and the spool does not know it yet."""

    def publish(
        self, messages: Sequence[Message], timeout: float = 30.0
    ) -> list[TransportError | None]:
        assert super().publish(messages, timeout) == [None] * len(messages)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


def test_a_kill_after_the_brokers_confirm_sends_the_batch_again_under_the_same_ids(
    vhost: Vhost, path: Path, made: Callable[..., Spool]
) -> None:
    def work(say: Callable[[str], None]) -> None:
        spool = spool_to(lambda: DiesAfterTheConfirm(settings_at(vhost)), path)
        put_numbered(spool, range(30))
        while True:
            signal.pause()

    assert Child(work).end()[1] == -signal.SIGKILL
    twice = depth(vhost)
    assert twice > 0
    spool = made(rabbit_target(settings_at(vhost)))
    spool.start()
    wait_until(lambda: spool.status()["waiting"] == 0, timeout=20)
    messages = arrived(vhost)
    assert len(messages) == twice + len(set(messages))
    assert len({message_id for message_id, _ in messages}) == len(set(messages))


def test_a_killed_process_leaves_its_turn_to_another_one_that_is_there(
    sqlite_engine: Engine, path: Path, made: Callable[..., Spool]
) -> None:
    def work(say: Callable[[str], None]) -> None:
        spool = spool_to(outbox_target("postgresql+psycopg://nobody@127.0.0.1:1/none"), path)
        put_numbered(spool, range(5), source="killed")
        wait_until(lambda: spool.status()["trouble"])
        say("ready")
        while True:
            signal.pause()

    child = Child(work)
    child.said.readline()
    with closing(spool_to(outbox_target(sqlite_engine), path)) as spool:
        put_numbered(spool, range(5), source="other")
        assert spool.status()["waiting"] == 10
        child.kill()
        wait_until(lambda: len(recorded(sqlite_engine)) == 10)
    child.end()
    assert recorded(sqlite_engine) == [
        (source, number) for source in ("killed", "other") for number in range(5)
    ]


ENDS = """
import atexit
import sys
import time
from eventworker.capture.spool import Spool, outbox_target, rabbit_target, waiting
from eventworker.capture.spool.store import Store
from eventworker.event import Event
from eventworker.transports.rabbit import RabbitSettings

away = {
    "outbox": outbox_target("postgresql+psycopg://nobody@127.0.0.1:1/none"),
    "rabbit": rabbit_target(RabbitSettings(host="127.0.0.1", port=1)),
}
spool = Spool(sys.argv[1], away[sys.argv[2]])
for number in range(3):
    spool(Event(method="PUT", resource="story", resource_id=number))
# Meanwhile it is looked for in a process that ends.
atexit.register(time.sleep, 2)
"""


@pytest.mark.parametrize("target", ["outbox", "rabbit"])
def test_a_process_ends_soon_and_quietly_while_its_target_is_away(path: Path, target: str) -> None:
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", ENDS, str(path), target], capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert time.monotonic() - start < 45
    with closing(Store(path, create=False)) as store:
        assert store.read(waiting.summary)["waiting"] == 3
