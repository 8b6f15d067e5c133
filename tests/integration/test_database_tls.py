"""TLS to the database: through the URL alone, and the right name under the right authority."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymysql.connections import Connection
from pymysql.constants import CLIENT
from sqlalchemy import Engine, text

from eventworker import links
from eventworker.db import build_engine, translated
from eventworker.errors import DatabaseUnavailable
from tests.helpers.configuration import configuration
from tests.servers import MariaServer, PostgresServer
from tests.servers.certificates import Certificates, make_certificates

Server = PostgresServer | MariaServer


@pytest.fixture(scope="module", params=[PostgresServer, MariaServer], ids=lambda each: each.title)
def server(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Server]:
    with request.param(tls=certificates.server) as started:
        yield started


@pytest.fixture(scope="module")
def url(server: Server) -> str:
    """Of an empty database, with a way to say which authority is trusted."""
    made = server.createdb()
    query = "sslmode=verify-full&sslrootcert={}" if is_postgres(made) else "ssl_ca={}"
    return f"{made}?{query}"


def is_postgres(url: str) -> bool:
    return url.startswith("postgresql")


def is_encrypted(engine: Engine) -> bool:
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            return bool(connection.scalar(text(asked)))
        _, cipher = connection.execute(text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).one()
        return bool(cipher)


def refusal(url: str) -> str:
    engine = build_engine(url)
    try:
        engine.connect()
    except Exception as error:
        ours = translated(error)
        assert isinstance(ours, DatabaseUnavailable)
        return str(ours)
    finally:
        engine.dispose()
    raise AssertionError("it connects")


def test_the_right_name_under_the_right_authority(url: str, certificates: Certificates) -> None:
    engine = build_engine(url.format(certificates.ca))
    assert is_encrypted(engine)
    engine.dispose()


def test_what_is_refused_here_counts_as_verified_there(url: str) -> None:
    """The decision about links knows these words of the URL."""
    elsewhere = url.replace("127.0.0.1", "192.0.2.1").format("/etc/ca.pem")
    conf = configuration(
        notifications={"driver": "sql"},
        database={"connection": elsewhere},
        security={"require_tls": True},
    )
    links.check(conf)
    assert not list(links.warnings(conf))


def test_an_authority_that_is_not_trusted_is_refused(
    url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = make_certificates(tmp_path_factory.mktemp("stranger"))
    reason = refusal(url.format(stranger.ca))
    assert "certificate verify failed" in reason
    assert "authority" in reason
    assert "sslrootcert (MariaDB: ssl_ca)" in reason


@pytest.mark.parametrize("kind", [PostgresServer, MariaServer], ids=lambda each: each.title)
@pytest.mark.parametrize(
    ("which", "advice"),
    [
        ("wrong_name", "the certificate is for another name"),
        ("expired", "the server's certificate has to be renewed"),
        ("self_signed", "the server's certificate is signed by nobody"),
    ],
)
def test_a_certificate_that_is_not_right_is_refused(
    kind: Callable[..., Server], which: str, advice: str, certificates: Certificates
) -> None:
    with kind(tls=getattr(certificates, which)) as server:
        made = server.createdb()
        query = "sslmode=verify-full&sslrootcert" if is_postgres(made) else "ssl_ca"
        reason = refusal(f"{made}?{query}={certificates.ca}")
    if which != "wrong_name" and is_postgres(made):
        advice = "the server's certificate has expired, is signed by nobody, or by another"
    assert advice in reason


@pytest.mark.parametrize("plain", ["postgres_url", "maria_url"])
def test_a_server_without_tls_is_refused(
    request: pytest.FixtureRequest, plain: str, certificates: Certificates
) -> None:
    made: str = request.getfixturevalue(plain)
    query = "sslmode=verify-full&sslrootcert" if is_postgres(made) else "ssl_ca"
    reason = refusal(f"{made}?{query}={certificates.ca}")
    assert "the server has TLS switched off; switch it on there" in reason


def test_a_driver_that_would_go_on_without_tls_is_held_back(
    maria_url: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyMySQL's first releases speak plaintext to a server that offers nothing else."""
    ignored = property(lambda _self: False, lambda _self, _value: None)
    monkeypatch.setattr(Connection, "_ssl_required", ignored, raising=False)
    monkeypatch.setattr(Connection, "client_flag", _WithoutTls(), raising=False)
    reason = refusal(f"{maria_url}?ssl_ca={certificates.ca}")
    assert reason == "the database is away: the server has TLS switched off; switch it on there"


class _WithoutTls:
    """The flags of a connection, of which that for TLS is never set beforehand."""

    def __get__(self, connection: Any, _kind: type) -> int:
        return int(connection.__dict__["client_flag"]) & ~CLIENT.SSL

    def __set__(self, connection: Any, value: int) -> None:
        connection.__dict__["client_flag"] = value
