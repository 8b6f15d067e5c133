"""Which links may be used is decided by looking at the configuration; nothing is connected to.

The addresses are those reserved for documentation (RFC 5737, RFC 3849, RFC 2606).
"""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventworker import links
from eventworker.errors import ConfigError
from eventworker.transports.rabbit import RabbitSettings, RabbitTransport
from tests.helpers.commands import Commands
from tests.helpers.configuration import configuration

ELSEWHERE = ["192.0.2.1", "2001:db8::1", "[2001:db8::1]", "db.example.org", "0.0.0.0", "::"]
ELSEWHERE += [
    "localhost.example.org",
    "127.0.0.1.example.org",
    "127.1",
    "2130706433",
    "mylocalhost",
]
ELSEWHERE += ["::ffff:127.0.0.1", "localhost ", "localhost."]
HERE = ["localhost", "LOCALHOST", "127.0.0.1", "127.255.255.254", "::1", "[::1]", "", None]
HERE += ["/var/run/postgresql", "@abstract"]
REMOTE = "192.0.2.1"


@pytest.fixture(autouse=True)
def _no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a connection nor a look-up of a name."""

    def refuse(*_arguments: object, **_more: object) -> None:
        raise AssertionError("something connects, or asks for a name")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("host", HERE)
def test_this_host_is_known_by_its_literal_names(host: str | None) -> None:
    assert links.is_local(host)


@pytest.mark.parametrize("host", ELSEWHERE)
def test_every_other_name_is_another_host(host: str) -> None:
    assert not links.is_local(host)


@given(st.ip_addresses())
def test_of_addresses_only_loopback_is_this_host(address: object) -> None:
    text = str(address)
    assert links.is_local(text) == (text.startswith("127.") or text == "::1")


def broker(host: str, user: str, password: str, **more: object) -> dict[str, object]:
    return {"rabbit_host": host, "rabbit_userid": user, "rabbit_password": password, **more}


@pytest.mark.parametrize("login", sorted(links.DEFAULT_LOGINS))
@pytest.mark.parametrize("tls", [False, True])
def test_a_default_login_is_refused_at_another_broker(login: tuple[str, str], tls: bool) -> None:
    conf = configuration(notifications=broker(REMOTE, *login, rabbit_tls=tls))
    with pytest.raises(ConfigError) as error:
        links.check(conf)
    assert "[notifications] rabbit_userid, rabbit_password" in str(error.value)
    assert "a password of its own" in str(error.value)
    links.check(configuration(notifications=broker("127.0.0.1", *login)))


def test_the_defaults_themselves_are_good_for_this_host_only() -> None:
    links.check(configuration())
    with pytest.raises(ConfigError):
        links.check(configuration(notifications={"rabbit_host": REMOTE}))


def test_a_login_by_certificate_has_no_password_to_know() -> None:
    options = {"rabbit_host": REMOTE, "rabbit_login_method": "external", "rabbit_tls": True}
    links.check(configuration(notifications=options))


def test_without_a_broker_its_options_do_not_matter() -> None:
    links.check(configuration(notifications={"rabbit_host": REMOTE, "driver": "sql"}))


URLS = [
    "postgresql+psycopg://storyboard:storyboard@{}/storyboard",
    "postgresql://storyboard:storyboard@/storyboard?host={}",
    "mysql+pymysql://storyboard:storyboard@{}:3306/storyboard",
    "mariadb+pymysql://guest:guest@{}/d?ssl_ca=/etc/ca.pem",
]


@pytest.mark.parametrize("url", URLS)
def test_a_default_login_is_refused_at_another_database(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^\[database\] connection: everybody knows"):
        links.check(configuration(database={"connection": url.format("db.example.org")}))
    links.check(configuration(database={"connection": url.format("localhost")}))


GOOD = "postgresql+psycopg://events:own@{}/d{}"
MARIA = "mariadb+pymysql://events:own@{}/d{}"


@pytest.mark.parametrize(
    ("url", "query", "verified"),
    [
        (GOOD, "", False),
        (GOOD, "?sslmode=require", False),
        (GOOD, "?sslmode=verify-ca", False),
        (GOOD, "?sslmode=verify-full", True),
        (GOOD, "?sslmode=verify-full&sslmode=disable", False),
        (MARIA, "", False),
        (MARIA, "?ssl_ca=/etc/ca.pem", True),
        (MARIA, "?ssl_ca=/etc/ca.pem&ssl_check_hostname=true", True),
        (MARIA, "?ssl_ca=/etc/ca.pem&ssl_check_hostname=false", False),
        (MARIA, "?ssl_ca=/etc/ca.pem&ssl_verify_cert=true", False),
        (MARIA, "?ssl_ca=/etc/ca.pem&ssl_disabled=1", False),
        (MARIA, "?ssl_cert=/etc/cert.pem", False),
    ],
)
def test_plaintext_to_another_database_is_warned_of_and_can_be_refused(
    url: str, query: str, verified: bool
) -> None:
    rabbit = broker("localhost", "guest", "guest")
    values = {"connection": url.format("db.example.org", query)}
    asked = configuration(notifications=rabbit, database=values)
    links.check(asked)
    strict = configuration(notifications=rabbit, database=values, security={"require_tls": True})
    if verified:
        assert not list(links.warnings(asked))
        links.check(strict)
        return
    (warning,) = links.warnings(asked)
    assert warning.startswith("the connection to the database at db.example.org can be read")
    assert ("sslmode=verify-full" in warning) or ("ssl_ca=" in warning)
    with pytest.raises(ConfigError, match=r"^\[security\] require_tls = True, but the connection"):
        links.check(strict)


@pytest.mark.parametrize(
    "query",
    ["?host=192.0.2.7", "?hostaddr=192.0.2.7", "?host=localhost,192.0.2.7:5433", "?service=far"],
)
def test_where_the_drivers_own_parameters_lead_is_looked_at_as_well(query: str) -> None:
    url = f"postgresql://events:own@/d{query}"
    conf = configuration(database={"connection": url})
    (warning,) = links.warnings(conf)
    assert ("192.0.2.7 " in warning) or ("service far" in warning)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////var/lib/events.sqlite",
        "postgresql:///d",
        "postgresql://u:p@/d?host=/var/run/postgresql",
        "mysql://u:p@/d?unix_socket=/run/mysqld.sock",
        "postgresql://u:p@[::1]/d",
    ],
)
def test_what_never_leaves_this_host_needs_no_tls(url: str) -> None:
    conf = configuration(database={"connection": url}, security={"require_tls": True})
    links.check(conf)
    assert not list(links.warnings(conf))


def test_plaintext_to_another_broker_is_warned_of_and_can_be_refused() -> None:
    plain = broker(REMOTE, "events", "own")
    (warning,) = links.warnings(configuration(notifications=plain))
    assert "rabbit_tls = True" in warning
    assert "own" not in warning.split()
    assert not list(links.warnings(configuration(notifications={**plain, "rabbit_tls": True})))
    with pytest.raises(ConfigError, match="require_tls"):
        links.check(configuration(notifications=plain, security={"require_tls": True}))


def test_a_transport_that_an_application_builds_itself_is_held_to_the_same() -> None:
    with pytest.raises(ConfigError, match="everybody knows"):
        RabbitTransport(RabbitSettings(host=REMOTE))
    with pytest.raises(ConfigError, match="require_tls"):
        RabbitTransport(
            RabbitSettings(host=REMOTE, userid="events", password="own", require_tls=True)
        )


FILE = """
[notifications]
rabbit_host = {host}
[database]
connection = sqlite:///{folder}/events.sqlite
"""


@pytest.mark.parametrize(
    "words",
    [
        ["publish", "-"],
        ["deliveries", "list"],
        ["db", "upgrade"],
        ["spool", "drain", "absent.spool", "--to", "rabbit"],
        ["config", "check"],
        ["config", "check", "--connect"],
    ],
    ids=" ".join,
)
def test_every_command_refuses_before_it_connects(tmp_path: Path, words: list[str]) -> None:
    command = Commands(tmp_path / "eventworker.conf", FILE.format(host=REMOTE, folder=tmp_path))
    result = command(*words, stdin=b'{"method": "POST", "resource": "story"}\n')
    assert result.code == 2
    assert "everybody knows the login storyboard" in result.out + result.err
    if "check" not in words:  # which asks the plugins, and they may look into the database
        assert not (tmp_path / "events.sqlite").exists()


def test_config_check_warns_of_plaintext(tmp_path: Path) -> None:
    text = (
        FILE.format(host=REMOTE, folder=tmp_path) + "[notifications]\nrabbit_password = own-one\n"
    )
    result = Commands(tmp_path / "eventworker.conf", text)("config", "check")
    assert result.code == 0
    assert "warning: the connection to RabbitMQ at 192.0.2.1 can be read" in result.out


def test_config_check_warns_of_secrets_that_everybody_may_read(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("own-one\n")
    text = FILE.format(host="localhost", folder=tmp_path)
    text += f"[notifications]\nrabbit_password = file:{password}\n"
    command = Commands(tmp_path / "eventworker.conf", text)

    command.path.chmod(0o644)
    password.chmod(0o644)
    shown = command("config", "check").out
    assert f"warning: {password} holds [notifications] rabbit_password" in shown
    assert f"chmod o-r {password}" in shown
    # The URL has no password in it, and the other secret is not in the file.
    assert f"{command.path} holds" not in shown

    password.chmod(0o640)
    assert "holds" not in command("config", "check").out

    plain = Commands(tmp_path / "plain.conf", text.replace(f"file:{password}", "own-one"))
    plain.path.chmod(0o644)
    assert f"{plain.path} holds [notifications] rabbit_password" in plain("config", "check").out
    plain.path.chmod(0o640)
    assert "holds" not in plain("config", "check").out
