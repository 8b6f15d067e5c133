"""MariaDB: what a server has to be, what a user of it may do, and what its errors mean."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, exc, select, text
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.orm import Session

from eventworker import migrations, outbox
from eventworker.db import (
    build_engine,
    clock,
    first_line,
    insert_ignore,
    is_transient,
    is_unavailable,
    longest_value,
    short_transaction,
    translated,
)
from eventworker.errors import ConfigError, DatabaseUnavailable
from eventworker.inbox import quarantine
from eventworker.outbox import queue
from eventworker.outbox.table import outbox_table, row_of
from eventworker.transport import Message
from tests.helpers.calls import Handled
from tests.helpers.commands import Commands
from tests.helpers.databases import count, rows, upgrade_and_make_tables, write
from tests.helpers.events import make_event
from tests.servers import MariaServer

UNAVAILABLE = [1021, 1040, 1053, 1077, 1114, 1203, 1927]
TRANSIENT = [1020, 1205, 1206, 1213, 1836]
#: Duplicate key, syntax, text too long, no such table, statement time limit, access denied.
FAULTS = [1062, 1064, 1406, 1146, 1969, 1045]


@pytest.mark.parametrize("form", ["mysql", "mysql+pymysql", "mariadb", "mariadb+pymysql"])
def test_a_url_of_any_form_is_taken_and_speaks_all_of_unicode(maria_url: str, form: str) -> None:
    url = maria_url.replace("mysql+pymysql", form) + "?charset=latin1"
    engine = build_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE t (x text)"))
        connection.execute(text("INSERT INTO t VALUES (:x)"), {"x": "\N{PILE OF POO}"})
        assert connection.scalar(text("SELECT x FROM t")) == "\N{PILE OF POO}"
        assert connection.scalar(text("SELECT @@tx_isolation")) == "READ-COMMITTED"
    engine.dispose()


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("10.5.23-MariaDB", "the server is 10.5.23-MariaDB; eventworker needs MariaDB 10.6"),
        ("8.0.36", "the server is MySQL 8.0.36; eventworker needs MariaDB 10.6"),
    ],
)
def test_a_server_that_cannot_do_it_is_refused_in_one_line(
    own_maria_server: Callable[..., MariaServer], tmp_path: Path, version: str, words: str
) -> None:
    server = own_maria_server({"version": version})
    file = tmp_path / "eventworker.conf"
    command = Commands(
        file, f"[database]\nconnection = {server.createdb()}\n[notifications]\ndriver = sql\n"
    )
    for verb in (["db", "upgrade"], ["config", "check", "--connect"]):
        result = command(*verb)
        assert result.code != 0
        assert words in result.err + result.out
        assert "Traceback" not in result.err


def test_a_missing_driver_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pymysql", None)
    with pytest.raises(ConfigError, match=r"pip install 'eventworker\[mariadb\]'"):
        build_engine("mysql+pymysql://events@localhost/events")


@pytest.mark.parametrize("number", [*UNAVAILABLE, *TRANSIENT, *FAULTS])
def test_an_error_is_the_databases_or_passes_or_is_a_fault(
    maria_engine: Engine, number: int
) -> None:
    signal = f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {number}, MESSAGE_TEXT = 'words'"
    with pytest.raises(exc.DBAPIError) as caught, maria_engine.connect() as connection:
        connection.exec_driver_sql(signal)
    assert is_unavailable(caught.value) == (number in UNAVAILABLE)
    assert is_transient(caught.value) == (number in UNAVAILABLE + TRANSIENT)
    assert first_line(caught.value) == f"words (error {number})"


def test_a_full_disk_is_the_databases_however_it_is_said(maria_engine: Engine) -> None:
    said = 'Got error 28 \\"No space left on device\\" from storage engine InnoDB'
    with pytest.raises(exc.DBAPIError) as caught, maria_engine.connect() as connection:
        connection.exec_driver_sql(
            f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1030, MESSAGE_TEXT = \"{said}\""
        )
    assert is_unavailable(caught.value)


def test_a_server_that_is_not_there_or_has_no_room_is_away(
    own_maria_server: Callable[..., MariaServer], new_engine: Callable[[str], Engine]
) -> None:
    server = own_maria_server({"max-connections": "10", "extra-max-connections": "1"})
    url = server.createdb()
    engines = [new_engine(url) for _ in range(12)]
    opened = []
    with pytest.raises(exc.DBAPIError) as full:
        opened += [engine.connect() for engine in engines for _ in range(2)]
    for connection in opened:
        connection.close()
    assert isinstance(translated(full.value), DatabaseUnavailable)
    server.stop()
    with pytest.raises(DatabaseUnavailable), short_transaction(new_engine(url)):
        pass


def user_of(server: MariaServer, url: str) -> str:
    """A user with the privileges that the documentation names, and the URL for it."""
    name = url.rpartition("/")[2]
    server.execute("CREATE USER events@'%' IDENTIFIED BY 'secret'")
    server.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES "
        f"ON `{name}`.* TO events@'%'"
    )
    return url.replace("root@", "events:secret@")


def test_the_documented_privileges_are_enough_and_a_read_only_server_is_waited_for(
    own_maria_server: Callable[..., MariaServer], new_engine: Callable[[str], Engine]
) -> None:
    server = own_maria_server()
    engine = new_engine(upgrade_and_make_tables(user_of(server, server.createdb())))
    handled = Handled(engine)
    server.execute("SET GLOBAL read_only = ON")
    with pytest.raises(exc.DBAPIError, match="read-only") as caught:
        handled.by(lambda session: write(session, "a"))
    assert is_transient(caught.value)
    assert not is_unavailable(caught.value)
    server.execute("SET GLOBAL read_only = OFF")
    assert handled.by(lambda session: write(session, "a"))
    assert handled.effects == ["a"]


def test_times_are_utc_and_exact_whatever_the_servers_time_zone(maria_engine: Engine) -> None:
    with maria_engine.connect() as connection:
        assert (
            connection.scalar(text("SELECT TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(), NOW())")) == 330
        )
        now, later = connection.execute(select(clock(), clock(0.25))).one()
    assert now.tzinfo is not None
    assert abs((later - now).total_seconds() - 0.25) < 1e-6
    event = make_event()
    with Session(maria_engine) as session, session.begin():
        outbox.record(session, event)
    with maria_engine.connect() as connection:
        assert connection.scalar(select(outbox_table.c.time)) == event.time


def test_a_text_that_is_too_long_is_refused_and_not_cut(maria_engine: Engine) -> None:
    row = {**row_of(Message.of(make_event())), "source": "x" * 256}
    with pytest.raises(exc.DataError), maria_engine.begin() as connection:
        connection.execute(insert_ignore("mariadb", outbox_table), [row])
    assert count(maria_engine, outbox_table) == 0


def test_an_applications_own_mysql_engine_reaches_the_outbox(
    maria_engine: Engine, shared_maria_url: str
) -> None:
    application = create_engine(shared_maria_url + "?charset=utf8mb4")
    event = make_event()
    with Session(application) as session, session.begin():
        outbox.record(session, event)
    application.dispose()
    with short_transaction(maria_engine) as connection:
        (row,) = queue.claim(connection, 5, 60.0, "me")
    assert (row.id, row.time) == (event.id, event.time)


def test_two_consumers_share_what_is_ready_without_waiting(
    maria_engine: Engine, new_engine: Callable[[str], Engine]
) -> None:
    with Session(maria_engine) as session, session.begin():
        for _ in range(10):
            outbox.record(session, make_event())
    with maria_engine.begin() as first, maria_engine.begin() as second:
        second.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 1")
        one = queue.claim(first, 4, 60.0, "one")
        two = queue.claim(second, 4, 60.0, "two")
    assert len(one) == len(two) == 4
    assert not {row.id for row in one} & {row.id for row in two}


def test_of_bytes_that_no_statement_can_carry_the_quarantine_keeps_the_beginning(
    maria_engine: Engine,
) -> None:
    with short_transaction(maria_engine) as connection:
        room = longest_value(connection)
        assert room is not None
    bodies = [b"\x00" * room, b"'" * (room + 1), b"\xff" * 2**25]
    for body in bodies:
        with short_transaction(maria_engine) as connection:
            quarantine.put(connection, body, "no event", {"key": "x" * 9999})
    kept = rows(maria_engine, quarantine.quarantine_table)
    assert [row.body for row in kept] == [body[:room] for body in bodies]
    assert [row.sha256 for row in kept] == [sha256(body).hexdigest() for body in bodies]
    assert kept[0].reason == "no event"
    assert f"only the first {room} of {2**25} bytes" in kept[2].reason


def test_an_event_size_that_the_server_does_not_take_is_refused(
    maria_engine: Engine, tmp_path: Path
) -> None:
    url = maria_engine.url.render_as_string(hide_password=False)
    database = f"[database]\nconnection = {url}\n"
    sizes = f"[notifications]\ndriver = sql\nmax_event_bytes = {2**22}\n"
    result = Commands(tmp_path / "c.conf", database + sizes)("config", "check", "--connect")
    assert result.code == 2
    assert "raise the server's max_allowed_packet" in result.out + result.err


def test_an_upgrade_that_was_killed_midway_goes_on(
    own_maria_server: Callable[..., MariaServer], new_engine: Callable[[str], Engine]
) -> None:
    server = own_maria_server()
    engine = new_engine(server.createdb())
    statements = 0

    def kill(*_arguments: object) -> None:
        nonlocal statements
        statements += 1
        if statements == 12:
            server.kill()

    sqlalchemy_event.listen(engine, "before_cursor_execute", kill)
    with pytest.raises(DatabaseUnavailable):
        migrations.upgrade(engine)
    server.start()
    migrations.upgrade(engine)
    migrations.check(engine)
