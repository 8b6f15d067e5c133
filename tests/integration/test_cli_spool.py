"""`eventworker spool`: looking at a file, and emptying that of a web server that is gone."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from eventworker import migrations
from eventworker.capture.spool import Spool, waiting
from eventworker.capture.spool.drainer import drain_lock
from eventworker.capture.spool.store import Store
from eventworker.capture.spool.waiting import Refusal
from tests.helpers.commands import Commands, run
from tests.helpers.events import make_message
from tests.helpers.rabbit import depth
from tests.helpers.spools import Gate, put_numbered, recorded, spool_to
from tests.servers import Vhost, wait_until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """What a web server left that is gone, with five events; the first was refused."""
    made = tmp_path / "events.spool"
    with closing(Store(made, 1024**2)) as store:
        messages = [make_message(resource_id=number, source="tracker") for number in range(5)]
        store.write(lambda connection: waiting.append(connection, messages))
        (first,) = store.read(lambda connection: waiting.head(connection, 1, 1))
        store.write(
            lambda connection: waiting.settle(connection, [], [Refusal(first, "too odd", False)])
        )
    return made


@pytest.fixture
def engine(sqlite_url: str, new_engine: Callable[[str], Engine]) -> Engine:
    built = new_engine(sqlite_url)
    migrations.upgrade(built)
    return built


@pytest.fixture
def command(engine: Engine, tmp_path: Path) -> Commands:
    return Commands(
        tmp_path / "eventworker.conf",
        f"[database]\nconnection = {engine.url}\n[notifications]\ndriver = sql\n",
    )


@pytest.fixture
def living(path: Path) -> Iterator[Spool]:
    """A web server that runs, and whose target is away."""
    with closing(spool_to(Gate(is_open=False), path)) as spool:
        put_numbered(spool, [5])
        wait_until(lambda: spool.status()["trouble"])
        yield spool


def test_status_says_how_full_a_spool_is_and_why(path: Path, living: Spool) -> None:
    found = run("spool", "status", str(path), "-O", "json").json
    assert (found["waiting"], found["refused"], found["level"]) == (5, 1, "room")
    assert (found["trouble"], found["delivering"]) == ("the gate is shut", True)
    assert found["max_bytes"] == 1024**3
    assert found["used_bytes"] > 0


def test_status_reads_well(path: Path) -> None:
    result = run("spool", "status", str(path))
    assert result.code == 0
    assert "waiting:       4\n" in result.out
    assert "delivering:    no\n" in result.out


def test_list_shows_the_events_in_order(path: Path) -> None:
    rows = run("spool", "list", str(path), "-O", "json").json
    assert [row["seq"] for row in rows] == [2, 3, 4, 5]
    assert rows[0]["source"] == "tracker"
    assert '"resource_id":1' in rows[0]["body"]
    result = run("spool", "list", str(path), "--limit", "1")
    assert len(result.out.splitlines()) == 2
    assert "there may be more" in result.err
    assert "body" not in result.out.lower()


def test_list_shows_what_was_refused_and_why(path: Path) -> None:
    (row,) = run("spool", "list", str(path), "--refused", "-O", "json").json
    assert (row["seq"], row["reason"]) == (1, "too odd")
    assert "too odd" in run("spool", "list", str(path), "--refused").out


def test_drain_puts_all_into_the_outbox_and_says_what_is_left(
    path: Path, command: Commands, engine: Engine
) -> None:
    result = command("spool", "drain", str(path))
    assert result.out == f"4 events delivered from {path}, 1 refused\n"
    assert result.code == 1
    assert [number for _, number in recorded(engine)] == [1, 2, 3, 4]
    again = command("spool", "drain", str(path), "--refused", "-O", "json")
    assert (again.code, again.json) == (0, {"delivered": 1, "refused": 0})
    assert [number for _, number in recorded(engine)] == [1, 2, 3, 4, 0]


def test_discard_gives_up_what_was_refused_and_nothing_else(path: Path, command: Commands) -> None:
    result = command("spool", "discard", str(path), "1", "2", "--reason", "test data")
    assert (result.code, result.out) == (1, "1 event discarded\n")
    assert "2 is not among the refused events" in result.err
    assert "test data" in result.err  # the log, as no file is configured
    found = run("spool", "status", str(path), "-O", "json").json
    assert (found["waiting"], found["refused"]) == (4, 0)


def test_drain_publishes_to_the_broker_where_there_is_no_database(
    path: Path, vhost: Vhost, tmp_path: Path
) -> None:
    command = Commands(
        tmp_path / "rabbit.conf",
        f"[notifications]\nrabbit_host = {vhost.host}\nrabbit_port = {vhost.port}\n"
        f"rabbit_userid = {vhost.user}\nrabbit_password = {vhost.password}\n"
        f"rabbit_virtual_host = {vhost.vhost}\n",
    )
    result = command("spool", "drain", str(path), "--to", "rabbit")
    assert "4 events delivered" in result.out
    assert depth(vhost) == 4


def test_drain_keeps_out_of_the_way_of_a_web_server_that_runs(
    path: Path, living: Spool, command: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventworker.cli.spool._PATIENCE", 0.2)
    result = command("spool", "drain", str(path))
    assert result.code == 1
    assert f"another process is delivering from {path}" in result.err


def test_drain_with_the_database_away_leaves_all_where_it_is(path: Path, tmp_path: Path) -> None:
    command = Commands(
        tmp_path / "away.conf",
        "[database]\nconnection = postgresql+psycopg://nobody@127.0.0.1:1/none\n",
    )
    result = command("spool", "drain", str(path))
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert run("spool", "status", str(path), "-O", "json").json["waiting"] == 4
    assert drain_lock(path).acquire()


def test_drain_with_the_broker_away_says_how_many_wait(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventworker.capture.spool.rounds._PATIENCE", 0.3)
    command = Commands(
        tmp_path / "away.conf", "[notifications]\nrabbit_host = 127.0.0.1\nrabbit_port = 1\n"
    )
    result = command("spool", "drain", str(path), "--to", "rabbit")
    assert result.code == 1
    assert f"0 events delivered, 4 still in {path}: RabbitMQ at 127.0.0.1:1" in result.err


def nothing(_path: Path) -> None:
    pass


def no_spool(path: Path) -> None:
    path.write_text("notes\n" * 1000)


@pytest.mark.parametrize(
    ("make", "says"), [(nothing, "there is no spool"), (no_spool, "is no spool")]
)
@pytest.mark.parametrize("verb", ["status", "list"])
def test_a_path_of_no_spool_is_one_clear_line(
    tmp_path: Path, verb: str, make: Callable[[Path], Any], says: str
) -> None:
    path = tmp_path / "elsewhere"
    make(path)
    result = run("spool", verb, str(path))
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert says in result.err
    assert make is no_spool or not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_look_by_root_does_not_lock_the_owner_out(path: Path, command: Commands) -> None:
    owner = 65534
    for each in path.parent.glob("events.spool*"):
        os.chown(each, owner, owner)
    drain_lock(path)._path.unlink(missing_ok=True)
    run("spool", "status", str(path))
    command("spool", "drain", str(path))
    for each in path.parent.glob("events.spool*"):
        assert each.stat().st_uid == owner
        assert stat.S_IMODE(each.stat().st_mode) == 0o600
