"""The servers that the other tests stand on keep their own promises."""

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pika
import psycopg
import pytest

from tests.servers import (
    EjabberdServer,
    MariaServer,
    PostgresServer,
    ProsodyServer,
    RabbitServer,
    ServerError,
    Vhost,
    wait_until,
)
from tests.servers.certificates import Certificates
from tests.servers.ports import accepts_connections
from tests.servers.process import descendants, is_running

# Nearly every test has a server of its own.
pytestmark = pytest.mark.long

QUEUE = "kept"
ROOT = Path(__file__).parents[2]


def publish(vhost: Vhost, body: bytes) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(vhost.url))) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        channel.confirm_delivery()
        channel.basic_publish("", QUEUE, body, pika.BasicProperties(delivery_mode=2))


def fetch(vhost: Vhost) -> bytes | None:
    with closing(pika.BlockingConnection(pika.URLParameters(vhost.url))) as connection:
        body: bytes | None = connection.channel().basic_get(QUEUE, auto_ack=True)[2]
        return body


def connect(url: str) -> psycopg.Connection:
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


def remember(url: str, text: str) -> None:
    with connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (text text)")
        connection.execute("INSERT INTO kept VALUES (%s)", [text])


def remembered(url: str) -> list[str]:
    with connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT text FROM kept")]


def owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def test_no_server_runs_as_root(
    rabbit_server: RabbitServer,
    postgres_server: PostgresServer,
    maria_server: MariaServer,
    prosody_server: ProsodyServer,
    ejabberd_server: EjabberdServer,
) -> None:
    processes = [rabbit_server.process, rabbit_server.epmd, postgres_server.process]
    processes += [maria_server.process, prosody_server.process, ejabberd_server.process]
    assert all(owner(process.pid) != 0 for process in processes)


def test_the_servers_listen_on_loopback_only(
    own_rabbit_server: Callable[..., RabbitServer],
    own_postgres_server: Callable[..., PostgresServer],
    own_maria_server: Callable[..., MariaServer],
    own_prosody_server: Callable[..., ProsodyServer],
    own_ejabberd_server: Callable[..., EjabberdServer],
) -> None:
    rabbit, postgres, maria = own_rabbit_server(), own_postgres_server(), own_maria_server()
    prosody, ejabberd = own_prosody_server(), own_ejabberd_server()
    for process in (
        rabbit.process,
        rabbit.epmd,
        postgres.process,
        maria.process,
        prosody.process,
        ejabberd.process,
    ):
        addresses = listening_addresses(process.pid)
        assert addresses
        assert all(is_loopback(address) for address in addresses)


def test_a_broker_keeps_confirmed_messages_over_a_restart(
    own_rabbit_server: Callable[..., RabbitServer],
) -> None:
    server = own_rabbit_server()
    vhost = server.add_vhost()
    publish(vhost, b"confirmed")
    server.restart()
    assert fetch(vhost) == b"confirmed"


def test_a_broker_keeps_confirmed_messages_over_kill_9(
    own_rabbit_server: Callable[..., RabbitServer],
) -> None:
    server = own_rabbit_server()
    vhost = server.add_vhost()
    publish(vhost, b"confirmed")
    server.write_definitions()
    family = [server.process.pid, *descendants(server.process.pid)]
    server.kill()
    assert not accepts_connections(server.port)
    assert not any(is_running(pid) for pid in family)
    server.start()
    assert fetch(vhost) == b"confirmed"


def test_a_database_keeps_its_rows_over_a_restart(
    own_postgres_server: Callable[..., PostgresServer],
) -> None:
    server = own_postgres_server()
    url = server.createdb("kept")
    remember(url, "committed")
    server.restart()
    assert remembered(url) == ["committed"]


def test_a_database_keeps_its_rows_over_kill_9_with_a_session_open(
    own_postgres_server: Callable[..., PostgresServer],
) -> None:
    server = own_postgres_server()
    url = server.createdb("kept")
    remember(url, "committed")
    with connect(url) as open_session:
        family = [server.process.pid, *descendants(server.process.pid)]
        assert open_session.info.backend_pid in family
        server.kill()
        assert not any(is_running(pid) for pid in family)
        server.start()
    assert remembered(url) == ["committed"]


def test_mariadb_keeps_its_rows_over_kill_9_and_nothing_is_left_of_it() -> None:
    with MariaServer() as server:
        url = server.createdb("kept")
        server.execute("CREATE TABLE kept.kept (text text)")
        server.execute("INSERT INTO kept.kept VALUES ('committed')")
        pid = server.process.pid
        server.kill()
        assert not is_running(pid)
        server.start()
        assert server.execute("SELECT text FROM kept.kept") == [("committed",)]
        server.dropdb(url.rpartition("/")[2])
        server.pause()
    assert not accepts_connections(server.port)
    assert not server.home.exists()
    assert of_home(server.home) == []


def test_nothing_is_left_of_a_closed_broker() -> None:
    with RabbitServer() as server:
        roots = [server.process.pid, server.epmd.pid]
        family = [*roots, *(pid for root in roots for pid in descendants(root))]
        assert len(of_home(server.home)) >= 2
    assert not any(is_running(pid) for pid in family)
    assert not server.home.exists()
    assert of_home(server.home) == []


def test_nothing_is_left_of_a_closed_database_server() -> None:
    with PostgresServer() as server:
        server.pause()
        family = [server.process.pid, *descendants(server.process.pid)]
    assert not any(is_running(pid) for pid in family)
    assert not accepts_connections(server.port)


def test_an_ejabberd_is_no_erlang_node(ejabberd_server: EjabberdServer) -> None:
    """It listens to clients, components and the tests: so it needs no port mapper."""
    assert len(listening_addresses(ejabberd_server.process.pid)) == 3


def test_a_killed_test_run_leaves_no_server_behind() -> None:
    script = (
        "from tests.servers import EjabberdServer, MariaServer, PostgresServer, RabbitServer\n"
        "with RabbitServer() as rabbit, PostgresServer() as postgres, MariaServer() as maria,"
        " EjabberdServer() as ejabberd:\n"
        "    print(rabbit.process.pid, rabbit.epmd.pid, postgres.process.pid, maria.process.pid,"
        " ejabberd.process.pid)\n"
        "    print(rabbit.home, postgres.home, maria.home, ejabberd.home, flush=True)\n"
        "    input()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=pipe, stdout=pipe, text=True
    ) as run:
        assert run.stdout is not None
        pids = [int(pid) for pid in run.stdout.readline().split()]
        homes = run.stdout.readline().split()
        family = [*pids, *descendants(run.pid)]
        run.kill()
    assert len(pids) == 5
    wait_until(lambda: not any(is_running(pid) for pid in family), 30, f"some of {family} stay")
    for home in homes:
        shutil.rmtree(home)


def test_each_vhost_is_empty_and_allows_everything(vhost: Vhost) -> None:
    publish(vhost, b"mine")
    assert fetch(vhost) == b"mine"
    assert fetch(vhost) is None


def test_a_deleted_vhost_is_refused(rabbit_server: RabbitServer) -> None:
    vhost = rabbit_server.add_vhost()
    rabbit_server.delete_vhost(vhost.vhost)
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        fetch(vhost)
    assert vhost.vhost not in rabbit_server.ctl("list_vhosts")


def test_each_database_is_empty(postgres_url: str) -> None:
    with connect(postgres_url) as connection:
        found = connection.execute("SELECT FROM pg_tables WHERE schemaname = 'public'")
        assert found.fetchall() == []


def test_a_paused_broker_accepts_but_does_not_answer(
    own_rabbit_server: Callable[..., RabbitServer],
) -> None:
    server = own_rabbit_server()
    server.pause()
    with socket.create_connection((server.host, server.port), timeout=0.3) as connection:
        connection.sendall(b"AMQP\0\0\x09\x01")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    server.resume()
    publish(server.at("/"), b"again")


def test_a_tls_listener_shows_the_given_certificate(
    own_rabbit_server: Callable[..., RabbitServer], certificates: Certificates
) -> None:
    right = certificates.server
    server = own_rabbit_server(tls=(certificates.ca, right.cert, right.key))
    trusting = ssl.create_default_context(cafile=certificates.ca)
    with (
        socket.create_connection((server.host, server.tls_port)) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        assert secured.version() in ("TLSv1.2", "TLSv1.3")


def test_a_tls_listener_can_have_a_certificate_for_another_name(
    own_rabbit_server: Callable[..., RabbitServer], certificates: Certificates
) -> None:
    wrong = certificates.wrong_name
    server = own_rabbit_server(tls=(certificates.ca, wrong.cert, wrong.key))
    trusting = ssl.create_default_context(cafile=certificates.ca)
    with (
        socket.create_connection((server.host, server.tls_port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError, match="localhost"),
    ):
        trusting.wrap_socket(plain, server_hostname="localhost")


def test_a_broker_that_cannot_start_shows_its_log() -> None:
    server = RabbitServer(settings={"no.such.setting": "1"})
    try:
        with pytest.raises(ServerError, match=r"no\.such\.setting"):
            server.start()
    finally:
        server.close()


def test_a_database_server_that_cannot_start_shows_its_log() -> None:
    with (
        pytest.raises(ServerError, match="no_such_setting"),
        PostgresServer(settings={"no_such_setting": "1"}),
    ):
        pass
    with (
        pytest.raises(ServerError, match="no-such-setting"),
        MariaServer(settings={"no-such-setting": "1"}),
    ):
        pass


def test_a_server_process_that_ignores_its_stop_signal_is_killed_and_reported(
    own_postgres_server: Callable[..., PostgresServer],
) -> None:
    server = own_postgres_server()
    pid = server.process.pid
    server.pause()
    with pytest.raises(ServerError, match="did not end"):
        server.process.stop(signal.SIGTERM, timeout=0.2)
    assert not is_running(pid)


def test_waiting_gives_what_the_predicate_returned_or_says_what_was_awaited() -> None:
    answers = iter([None, 0, "there"])
    assert wait_until(lambda: next(answers)) == "there"
    with pytest.raises(AssertionError, match="no sign of it"):
        wait_until(lambda: False, timeout=0.05, message="no sign of it")


def of_home(home: Path) -> list[str]:
    """The commands of all processes that name the folder of a server."""
    commands = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            commands.append(entry.read_text(errors="replace"))
    return [command for command in commands if str(home) in command]


def is_loopback(address: str) -> bool:
    """The kernel's hexadecimal notation of 127.0.0.1, ::1 and ::ffff:127.0.0.1."""
    loopback_6 = "00000000000000000000000001000000"
    return address in ("0100007F", loopback_6, "0000000000000000FFFF00000100007F")


def listening_addresses(pid: int) -> list[str]:
    """The local addresses of the TCP listeners of a process."""
    links = (os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir())
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    addresses = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                addresses.append(fields[1].partition(":")[0])
    return addresses
