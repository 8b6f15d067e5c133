"""Whatever goes wrong, no secret of the configuration is in anything that can be read later."""

import signal
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.acceptance.site import Site
from tests.helpers.canaries import Canaries
from tests.helpers.events import make_event
from tests.servers import MariaServer, RabbitServer, Vhost, wait_until


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def rabbit_user(
    rabbit_server: RabbitServer, vhost: Vhost, canaries: Canaries
) -> Iterator[tuple[str, str]]:
    """Name and password of a user whose password is a canary."""
    name, password = f"user-{vhost.vhost}", canaries.plant("rabbit", awkward="/+%@'#")
    rabbit_server.add_user(name, password, vhost.vhost, ".*", ".*", ".*")
    yield name, password
    rabbit_server.delete_user(name)


def secret_file(folder: Path, name: str, value: str) -> str:
    path = folder / name
    path.write_text(value + "\n")
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return f"file:{path}"


def with_password(url: str, password: str) -> str:
    """The private PostgreSQL takes any password; what matters is where it turns up."""
    return make_url(url).set(password=password).render_as_string(hide_password=False)


LOUD = "pika=DEBUG, sqlalchemy=DEBUG, alembic=DEBUG, stevedore=DEBUG"
ASKED = [
    ("config", "check", "--connect"),
    ("plugins", "list"),
    ("deliveries", "list", "-O", "json"),
    ("--debug", "deliveries", "show", "1"),
    ("--debug", "publish", "/nowhere/at/all"),
]
#: Of these, where nothing is to be seen but how it cannot work.
TRIED = [("config", "check", "--connect"), ("--debug", "deliveries", "list")]


def ask(site: Site, canaries: Canaries, commands: Sequence[Sequence[str]] = ASKED) -> str:
    """What the commands print, errors included."""
    said = []
    for words in commands:
        done = site.installation.run("eventworker", "--config-file", site.file, *words)
        canaries.assert_none_in(done.stdout + done.stderr, f"eventworker {' '.join(words)}")
        said.append(done.stdout + done.stderr)
    return "\n".join(said)


@pytest.mark.parametrize("json", [False, True], ids=["text", "json"])
def test_a_plugin_that_tells_all_it_knows_tells_nobody(
    site: Site, canaries: Canaries, rabbit_user: tuple[str, str], tmp_path: Path, json: bool
) -> None:
    user, password = rabbit_user
    token, key = canaries.plant("token"), canaries.plant("key", awkward="-and-more")
    url = with_password(site.url, canaries.plant("database", awkward="/+%@'#"))
    site.configure(
        DEFAULT={"use_json": json, "default_log_levels": LOUD},
        plugins={"only": "leaky"},
        plugin_leaky={"token": secret_file(tmp_path, "token", token)},
        notifications={
            "rabbit_userid": user,
            "rabbit_password": secret_file(tmp_path, "rabbit", password),
        },
        database={"connection": secret_file(tmp_path, "url", url)},
        security={"signing_keys": secret_file(tmp_path, "keys", f"k1:{key}")},
    )
    daemon = site.start(workers=1)
    site.send(make_event())
    wait_until(lambda: site.probe.dead(), 20, "there is no dead letter")
    site.record(make_event())  # which the relay signs and publishes
    canaries.assert_none_in_processes([daemon.pid, *daemon.family()])

    good = site.file.read_text()
    site.file.write_text(good + f"\nthis {canaries.plant('broken line')} is no option\n")
    daemon.signal(signal.SIGHUP)
    daemon.says("the configuration stays as it was")
    changed = canaries.plant("changed", awkward="")
    site.file.write_text(
        good.replace("rabbit_userid", f"rabbit_password = {changed}\nrabbit_userid")
    )
    daemon.signal(signal.SIGHUP)
    daemon.says("options changed")
    site.file.write_text(good)

    said = ask(site, canaries, ASKED if not json else TRIED)
    daemon.stop()
    canaries.assert_none_in_files(daemon.log)
    canaries.assert_none_in_database(site.url)
    # It was all told, but for what was in it.
    assert "no answer for ***" in said
    for told in ("token *** for", "in a thread: ***", "warned of ***"):
        assert told in daemon.output()


def test_a_wrong_password_at_the_broker_is_not_repeated(site: Site, canaries: Canaries) -> None:
    site.configure(
        DEFAULT={"default_log_levels": LOUD},
        notifications={"rabbit_password": canaries.plant("wrong", awkward="/+@'#")},
    )
    daemon = site.start(workers=1, ready=False)
    daemon.says("ACCESS_REFUSED", timeout=30)
    ask(site, canaries, TRIED)
    daemon.stop()
    canaries.assert_none_in_files(daemon.log)


def test_a_wrong_password_at_the_database_is_not_repeated(
    make_site: Callable[..., Site],
    maria_database: str,
    maria_server: MariaServer,
    canaries: Canaries,
) -> None:
    maria_server.execute("CREATE OR REPLACE USER locked IDENTIFIED BY 'something else'")
    site = make_site(maria_database)
    wrong = canaries.plant("wrong", awkward="/+@'#")
    url = make_url(maria_database).set(username="locked", password=wrong)
    site.configure(
        DEFAULT={"default_log_levels": LOUD},
        database={"connection": url.render_as_string(hide_password=False)},
    )
    code, output = site.run_daemon()
    assert code == 1
    assert "Access denied" in output
    canaries.assert_none_in(output, "the daemon")
    ask(site, canaries, TRIED)
    maria_server.execute("DROP USER locked")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[database]\nconnection = nonsense://user:{}@host/d\n", "nonsense"),
        ("[database]\nconnection = {}\n", "[database] connection"),
        ("[database]\nconnection = postgresql://user:{}@host:port/d\n", "[database] connection"),
        ("[notifications]\nrabbit_password = ${}\n", "write $$"),
        ("[security]\nsigning_keys = {}\n", "write ID:KEY"),
        ("[security]\nsigning_keys = k1:{}, k1:{}\n", "fewer than"),
        ("[notifications]\nrabbit_password {}\n", ":2"),
    ],
)
def test_a_mistake_in_the_configuration_is_not_quoted(
    site: Site, canaries: Canaries, text: str, reason: str
) -> None:
    secret = canaries.plant("mistaken", awkward="")
    head = "[DEFAULT]\nenable_notifications = True\ndebug = True\n"
    if "[database]" not in text:
        head += f"[database]\nconnection = {site.url}\n"
    site.file.write_text((text if reason == ":2" else head + text).format(*[secret] * 2))
    code, output = site.run_daemon()
    assert code == 2
    canaries.assert_none_in(output, "the daemon")
    assert reason in output
    ask(site, canaries, TRIED[:1])
