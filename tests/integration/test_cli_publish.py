"""Publishing events from a file or a pipe."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pika
import pytest
from sqlalchemy import Engine

from eventworker.cli import output
from eventworker.outbox.table import outbox_table
from eventworker.transports.memory import MemoryTransport
from tests.helpers.commands import Commands
from tests.helpers.databases import rows
from tests.servers import Vhost, wait_until

ID = "01976a4e-0000-7000-8000-000000000001"


@pytest.fixture
def command(engine: Engine, tmp_path: Path) -> Commands:
    return Commands.of(engine, tmp_path)


@pytest.fixture
def to_broker(vhost: Vhost, tmp_path: Path) -> Commands:
    """With driver = rabbit, and a database that is not there: the broker needs none."""
    parameters = pika.URLParameters(vhost.url)
    credentials: Any = parameters.credentials
    return Commands(
        tmp_path / "rabbit.conf",
        "[notifications]\n"
        f"rabbit_host = {parameters.host}\nrabbit_port = {parameters.port}\n"
        f"rabbit_userid = {credentials.username}\nrabbit_password = {credentials.password}\n"
        f"rabbit_virtual_host = {parameters.virtual_host}\nrabbit_connection_attempts = 1\n",
    )


def lines(*events: dict[str, Any]) -> bytes:
    whole = ({"method": "POST", "resource": "story", **event} for event in events)
    return b"".join(json.dumps(each).encode() + b"\n" for each in whole)


def arrived(vhost: Vhost, queue: str = "storyboard_events") -> list[tuple[str | None, Any]]:
    found = []
    with closing(pika.BlockingConnection(pika.URLParameters(vhost.url))) as connection:
        channel = connection.channel()
        while (got := channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append((got[1].message_id, json.loads(got[2])))
    return found


def test_lines_become_rows_of_the_outbox(engine: Engine, command: Commands, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines({"resource_id": 1, "id": ID, "source": "import"}, {"resource_id": 2}))

    result = command("publish", str(path))

    assert (result.code, result.out, result.err) == (0, "published 2 events\n", "")
    made = rows(engine, outbox_table)
    assert [json.loads(row.body)["resource_id"] for row in made] == [1, 2]
    assert (made[0].id, made[0].source) == (UUID(ID), "import")


@pytest.mark.parametrize("words", [(), ("-",)])
def test_standard_input_is_read_with_and_without_a_dash(
    engine: Engine, command: Commands, words: tuple[str, ...]
) -> None:
    result = command("publish", "-O", "json", *words, stdin=lines({}))
    assert result.json == {"published": 1, "failed": 0, "last_line": 1, "interrupted": False}
    assert len(rows(engine, outbox_table)) == 1


def test_one_bad_line_keeps_all_of_them_back_and_is_named(
    engine: Engine, command: Commands
) -> None:
    result = command("publish", stdin=lines({}) + b"\n{\x1b\n" + lines({"resource": 5}))

    assert (result.code, result.out) == (1, "")
    assert "eventworker: line 3: not strict JSON" in result.err
    assert "eventworker: line 4: " in result.err
    assert "2 lines cannot be published, so nothing was" in result.err
    assert "\x1b" not in result.err
    assert rows(engine, outbox_table) == []


def test_a_file_of_another_format_is_not_listed_line_by_line(
    engine: Engine, command: Commands
) -> None:
    result = command("publish", stdin=b"a;b\n" * 1000)
    assert len(result.err.splitlines()) < 30
    assert "1000 lines cannot be published" in result.err


def test_an_id_that_stands_twice_in_the_file_is_named(engine: Engine, command: Commands) -> None:
    result = command("publish", stdin=lines({"id": ID}, {}, {"id": ID}))
    assert f"line 3: id {ID} is that of line 1" in result.err
    assert rows(engine, outbox_table) == []


def test_publishing_an_event_a_second_time_adds_nothing(engine: Engine, command: Commands) -> None:
    command("publish", stdin=lines({"id": ID}))

    again = command("publish", stdin=lines({}, {"id": ID}))

    assert again.code == 0
    assert len(rows(engine, outbox_table)) == 2


def test_a_stream_goes_on_after_a_bad_line(engine: Engine, command: Commands) -> None:
    result = command("publish", "--stream", stdin=lines({}) + b"{\n" + lines({}))

    assert (result.code, result.out) == (1, "published 2 events\n")
    assert "line 2: " in result.err
    assert len(rows(engine, outbox_table)) == 2


def test_nothing_to_publish_is_no_error(engine: Engine, command: Commands) -> None:
    result = command("publish", stdin=b"\n\n")
    assert (result.code, result.out) == (0, "published 0 events\n")


def test_a_file_that_is_not_there_is_named(engine: Engine, command: Commands) -> None:
    result = command("publish", "/nowhere/events.jsonl")
    assert result.err == (
        "eventworker: /nowhere/events.jsonl cannot be read: No such file or directory\n"
    )


def test_with_a_broker_lines_become_confirmed_messages(to_broker: Commands, vhost: Vhost) -> None:
    result = to_broker("publish", stdin=lines({"id": ID}, *({} for _ in range(600))))

    assert (result.code, result.out) == (0, "published 601 events\n")
    found = arrived(vhost)
    assert len(found) == 601
    assert found[0][0] == ID


def test_with_a_broker_the_outbox_can_be_asked_for(
    engine: Engine, command: Commands, tmp_path: Path
) -> None:
    command.path.write_text(command.path.read_text().replace("driver = sql", "driver = rabbit"))
    result = command("publish", "--outbox", stdin=lines({}))
    assert result.code == 0
    assert len(rows(engine, outbox_table)) == 1


@contextmanager
def publishing(command: Commands, *words: str) -> Iterator[subprocess.Popen[str]]:
    """`eventworker publish` as a process of its own, which can be sent signals."""
    program = [sys.executable, "-m", "eventworker.cli.main", "--config-file", str(command.path)]
    with subprocess.Popen(
        [*program, "publish", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def numbers(engine: Engine) -> list[int]:
    """The resource ids in the outbox, in the order of the rows' ids."""
    return [json.loads(row.body)["resource_id"] for row in rows(engine, outbox_table)]


def test_an_interrupted_run_says_how_to_go_on_and_the_next_one_does(
    engine: Engine, command: Commands, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines(*({"resource_id": number} for number in range(1, 201))))

    with publishing(command, str(path), "--rate", "20") as process:
        wait_until(lambda: len(rows(engine, outbox_table)) >= 4, 60, "nothing is published")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    done = len(rows(engine, outbox_table))
    assert 4 <= done < 200
    assert out == f"published {done} events\n"
    assert err == f"eventworker: interrupted after line {done}; to go on, add: --skip {done}\n"

    result = command("publish", str(path), "--skip", str(done), "-O", "json")
    assert result.json == {
        "published": 200 - done,
        "failed": 0,
        "last_line": 200,
        "interrupted": False,
    }
    assert numbers(engine) == list(range(1, 201))


def test_a_stream_that_is_interrupted_says_how_far_it_was(
    engine: Engine, command: Commands
) -> None:
    with publishing(command, "--stream", "-O", "json") as process:
        assert process.stdin
        process.stdin.write(lines({}, {}).decode())
        process.stdin.flush()
        wait_until(lambda: len(rows(engine, outbox_table)) == 2, 60, "nothing is published")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(out) == {
        "published": 2,
        "failed": 0,
        "last_line": 2,
        "interrupted": True,
    }
    assert "interrupted after line 2" in err


@pytest.fixture
def nowhere(tmp_path: Path) -> Commands:
    """A configuration without servers, for tests that bring a transport of their own."""
    return Commands(tmp_path / "eventworker.conf", "")


@pytest.fixture
def foreground() -> Iterator[None]:
    """As at a terminal: what a shell starts in the background ignores Ctrl-C from the beginning."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Interrupting(MemoryTransport):
    """Takes everything; presses Ctrl-C so many times while a round is on its way."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.rounds: list[int] = []

    def publish(self, messages: Any, timeout: float = 30.0) -> Any:
        self.rounds.append(len(messages))
        for _ in range(self.times):
            signal.raise_signal(signal.SIGINT)
        return [None] * len(messages)


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize(
    ("times", "skip", "published", "said"),
    [
        (1, "0", 10, "interrupted after line 10; to go on, add: --skip 10"),
        (1, "5", 10, "interrupted after line 15; to go on, add: --skip 15"),
        (2, "5", 0, "interrupted inside lines 6 to 15, which may be published or not; to repeat"),
        (1, "20", 5, ""),  # it was the last round, so all is done
    ],
)
def test_a_round_that_is_on_its_way_is_finished_unless_ctrl_c_comes_twice(
    nowhere: Commands,
    monkeypatch: pytest.MonkeyPatch,
    times: int,
    skip: str,
    published: int,
    said: str,
) -> None:
    transport = Interrupting(times)
    monkeypatch.setattr("eventworker.cli.publish._transport", lambda *_: transport)

    result = nowhere(
        "publish", "--rate", "100", "--skip", skip, stdin=lines(*({} for _ in range(25)))
    )

    assert transport.rounds == [10 if said else 5]
    assert result.out == f"published {output.plural(published, 'event')}\n"
    assert said in result.err
    assert result.code == (130 if said else 0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("words", "shown"), [((), True), (("-q",), False), (("-O", "json"), False)]
)
def test_progress_is_shown_unless_it_is_unwanted(
    nowhere: Commands, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], shown: bool
) -> None:
    monkeypatch.setattr("eventworker.cli.publish._transport", lambda *_: Interrupting(0))
    monkeypatch.setattr("eventworker.cli.progress._LINE", 0.0)
    events = lines(*({} for _ in range(600)))
    result = nowhere("publish", "--rate", "1e6", *words, stdin=events)
    assert ("published 500 of 600 (83%)" in result.err) is shown
    assert (result.err == "") is not shown


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "fast"])
def test_a_rate_that_is_none_is_refused(nowhere: Commands, rate: str) -> None:
    result = nowhere("publish", "--rate", rate)
    assert result.code == 2
    assert "is not a number of events above zero" in result.err


def test_a_broker_that_is_away_is_an_error_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventworker.cli.publish._PATIENCE", 1.0)
    command = Commands(
        tmp_path / "away.conf",
        "[notifications]\nrabbit_host = 127.0.0.1\nrabbit_port = 1\nrabbit_retry_delay = 0\n",
    )

    result = command("publish", stdin=lines({}))

    assert (result.code, result.out) == (1, "")
    assert "line 1: RabbitMQ at 127.0.0.1:1" in result.err.splitlines()[-1]
    assert "0 events published" in result.err
