"""What the daemon says when it cannot start, or cannot start all of it."""

import subprocess
from collections.abc import Callable

import pytest

from tests.acceptance.installation import Installation
from tests.acceptance.probe import Probe, once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import PostgresServer, wait_until

PROGRAM = "storyboard-worker-daemon: "


def said(output: str) -> str:
    """What it told whoever started it, beside the log: one line."""
    (line,) = (line for line in output.splitlines() if line.startswith(PROGRAM))
    return line.removeprefix(PROGRAM)


def test_no_plugin_enabled_is_said_in_one_line(site: Site) -> None:
    site.configure(plugins={"only": "never"})
    code, output = site.run_daemon()
    assert code == 1
    line = said(output)
    assert line.startswith("no plugin is enabled, so there is nothing to do")
    assert "never: its enabled() says no" in line
    assert "Traceback" not in output


def test_switched_off_it_says_so_and_ends_well(site: Site) -> None:
    site.configure(DEFAULT={"enable_notifications": False})
    code, output = site.run_daemon()
    assert code == 0
    assert output.splitlines() == [
        f"{PROGRAM}enable_notifications is False in [DEFAULT], so there is nothing to do"
    ]


ON_SQLITE = "[DEFAULT]\nenable_notifications = True\n[database]\nconnection = {url}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[DEFAULT]\nworker_count = many\n", "worker_count"),
        ("[notifications]\ndriver = pigeon\n", "[notifications] driver"),
        ("[notifications]\nrabbit_port = 99999999\n", "[notifications] rabbit_port"),
        ("[DEFAULT]\nenable_notifications = True\n", "[database] connection is not set"),
        (
            "[DEFAULT]\nenable_notifications = True\n[database]\nconnection = nonsense\n",
            "[database]",
        ),
        ("[DEFAULT]\nthis is no option\n", "eventworker.conf:2"),
        (f"{ON_SQLITE}[plugin:audit]\nmax_attempts = zero\n", "[plugin:audit] max_attempts"),
        (f"{ON_SQLITE}[plugin:audit]\ncondition = status ~ 3\n", "condition: 'status ~ 3': write"),
        (
            f"{ON_SQLITE}[plugin:alpha]\nlane = slow\n[lane:slow]\nworker_count = no\n",
            "[lane:slow] worker_count",
        ),
        # Of these nothing is connected to.
        (f"{ON_SQLITE}[notifications]\nrabbit_host = 192.0.2.1\n", "everybody knows the login"),
        (
            "[DEFAULT]\nenable_notifications = True\n[database]\n"
            "connection = mysql+pymysql://storyboard:storyboard@192.0.2.1/storyboard\n",
            "[database] connection: everybody knows the login storyboard",
        ),
        (
            f"{ON_SQLITE}[security]\nrequire_tls = True\n"
            "[notifications]\nrabbit_host = 192.0.2.1\nrabbit_password = its own\n",
            "[security] require_tls = True, but the connection to RabbitMQ",
        ),
        (f"{ON_SQLITE}[security]\nverify_signatures = require\n", "needs signing_keys"),
        (f"{ON_SQLITE}[security]\nsigning_keys = file:/nowhere/keys\n", "cannot be read: No such"),
        (
            f"{ON_SQLITE}[notifications]\nrabbit_tls = True\nrabbit_tls_ca_file = /nowhere/ca\n",
            "rabbit_tls_ca_file",
        ),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_code_2(
    site: Site, text: str, expected: str
) -> None:
    site.file.write_text(text.replace("{url}", site.url))
    code, output = site.run_daemon()
    assert code == 2
    assert expected in said(output)
    assert "Traceback" not in output


def test_switched_off_it_does_not_mind_where_its_servers_are(site: Site) -> None:
    site.file.write_text("[notifications]\nrabbit_host = 192.0.2.1\n")
    assert site.run_daemon()[0] == 0


def test_secrets_that_everybody_may_read_are_warned_of(site: Site) -> None:
    site.configure(plugins={"only": "never"})
    warning = f"{site.file} holds [notifications] rabbit_password and may be read by everybody"
    site.file.chmod(0o644)
    assert warning in site.run_daemon()[1]
    site.file.chmod(0o640)
    site.daemons[0].log.unlink()
    assert "may be read" not in site.run_daemon()[1]


def test_a_configuration_file_that_is_not_there_is_exit_code_2(site: Site) -> None:
    code, output = site.run_daemon(file=site.folder / "absent.conf")
    assert code == 2
    assert "absent.conf" in said(output)


def test_missing_tables_are_one_line_with_the_command_that_makes_them(
    make_site: Callable[..., Site], postgres_server: PostgresServer
) -> None:
    url = postgres_server.createdb()
    site = make_site(url)
    code, output = site.run_daemon()
    assert code == 1
    assert said(output).startswith("the tables are missing; run: eventworker")
    assert said(output).endswith("db upgrade")
    site.command("db", "upgrade")
    site.start().stop()
    postgres_server.dropdb(url.rpartition("/")[2])


def test_events_of_a_plugin_that_cannot_be_imported_wait_for_its_repair(
    site: Site, probe: Probe
) -> None:
    site.configure(plugins={"only": "alpha, unimportable"})
    first = site.start()  # all is well, so from now on events are owed to both
    before = site.send(make_event())
    site.wait_for(before, "alpha", "unimportable")
    first.stop()

    second = site.start(env={"PROBE_UNIMPORTABLE": "yes"})
    second.says("plugin unimportable cannot be loaded, its events will wait")
    second.says("ImportError: unimportable lacks a library")
    meanwhile = site.send(make_event(), make_event())
    site.wait_for([*before, *meanwhile], "alpha")
    wait_until(lambda: len(probe.deliveries()) == 2, 20, "its share is not written down")
    assert {state for state, _, _ in probe.deliveries().values()} == {"pending"}
    second.stop()
    assert site.queue_is_empty()

    site.start()
    everything = [*before, *meanwhile]
    site.wait_for(everything, "alpha", "unimportable")
    site.stop_all()
    assert probe.effects() == once(everything, "alpha", "unimportable")


def test_events_of_a_plugin_whose_enabled_raises_wait_for_its_repair(
    site: Site, probe: Probe
) -> None:
    site.configure(plugins={"only": "alpha, unsure"})
    probe.give_sign("repaired")
    site.start().stop()
    (probe.folder / "repaired").unlink()

    second = site.start()
    second.says("LookupError: unsure cannot say whether it is enabled")
    events = site.send(make_event(), make_event())
    site.wait_for(events, "alpha")
    wait_until(lambda: len(probe.deliveries()) == 2, 20, "its share is not written down")
    second.stop()

    probe.give_sign("repaired")
    site.start()
    site.wait_for(events, "alpha", "unsure")
    site.stop_all()
    assert probe.effects() == once(events, "alpha", "unsure")


def test_a_plugin_that_never_worked_does_not_stop_the_others(site: Site, probe: Probe) -> None:
    site.configure(plugins={"only": "alpha, unimportable"})
    daemon = site.start(env={"PROBE_UNIMPORTABLE": "yes"})
    daemon.says("plugin unimportable cannot be loaded")
    events = site.send(make_event())
    site.wait_for(events, "alpha")
    site.stop_all()
    assert probe.effects() == once(events, "alpha")


def run(installation: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    return installation.run("storyboard-worker-daemon", *arguments)


def test_the_command_line_explains_itself(installation: Installation) -> None:
    shown = run(installation, "--help")
    assert shown.returncode == 0
    for word in ("--config-file", "--worker-count", "SIGHUP", "Exit codes"):
        assert word in shown.stdout
    assert run(installation, "--worker-count", "0").returncode == 2
    assert run(installation, "--worker-count", "many").returncode == 2
    assert "at least 1" in run(installation, "--worker-count", "0").stderr
