"""The component comes, stays and goes."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eventworker_xmpp.cli import main
from eventworker_xmpp.service import service
from sqlalchemy import func, select

from eventworker.db import build_engine, short_transaction
from eventworker.outbox import record
from eventworker.pubsub.facts import NewItem
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.tables import delivery_table, listener_table
from eventworker.testing import make_event
from tests.helpers.commands import restored_logging
from tests.helpers.configuration import configuration
from tests.helpers.fake_xmpp_server import FakeServer
from tests.helpers.pubsub_xml import done, subscribe, texts
from tests.helpers.slixmpp_client import SlixmppClient
from tests.helpers.xmpp import ComponentProcess, Loop
from tests.servers import XmppServer, wait_until

MakeComponent = Callable[..., ComponentProcess]
OwnServer = Callable[..., XmppServer]


def perform(component: ComponentProcess, do: Callable[[PubSubService], Any]) -> Any:
    """Call the service from another process than the component's."""
    settings = Settings(service=component.jid)
    engine = build_engine(component.url)
    try:
        with short_transaction(engine) as connection:
            return do(PubSubService(connection, settings))
    finally:
        engine.dispose()


def count(component: ComponentProcess, table: Any) -> int:
    engine = build_engine(component.url)
    try:
        with engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(table)) or 0
    finally:
        engine.dispose()


def publish(component: ComponentProcess, node: str, *ids: str) -> None:
    def do(service: PubSubService) -> None:
        items = [NewItem(each, "<a xmlns='urn:a'/>") for each in ids]
        service.publish(node, service.settings.itself, items)

    perform(component, do)


def create(component: ComponentProcess, node: str, *subscribers: str) -> None:
    def do(service: PubSubService) -> None:
        service.create(node, service.settings.itself)
        for each in subscribers:
            service.subscribe(node, service.settings.itself, each)

    perform(component, do)


def refused(component: ComponentProcess, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that the command says when the server does not want the component."""
    with restored_logging():
        assert main(["--config-file", str(component.config)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.row("T3")
@pytest.mark.ejabberd
def test_a_wrong_secret_is_refused_in_one_clear_line(
    xmpp_server: XmppServer,
    make_component: MakeComponent,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = {"secret": "not the secret"}
    component = make_component(xmpp_server, jid="other.localhost", xmpp=wrong)

    line = refused(component, capsys)

    assert "other.localhost" in line
    assert "the secret is wrong: [xmpp] secret has to be what the server has" in line
    assert "not the secret" not in line


@pytest.mark.ejabberd
def test_a_component_that_the_server_does_not_know_is_told_so(
    xmpp_server: XmppServer,
    xmpp_kind: str,
    make_component: MakeComponent,
    capsys: pytest.CaptureFixture[str],
) -> None:
    component = make_component(xmpp_server, jid="unheard.localhost")
    line = refused(component, capsys)
    said = {
        "prosody": "it has no component unheard.localhost",
        # It does not say which of the two it is.
        "ejabberd": "what the server has for unheard.localhost, if it has that component at all",
    }
    assert said[xmpp_kind] in line


def test_a_server_that_is_not_there_is_waited_for(
    own_xmpp_server: OwnServer, make_component: MakeComponent
) -> None:
    server = own_xmpp_server()
    server.stop()
    component = make_component(server).start(wait=False)
    wait_until(lambda: "cannot be reached" in component.text())

    server.start()

    component.wait_connected(1)
    assert component.text().count("cannot be reached") == 1
    assert component.stop(signal.SIGINT) == 0


@pytest.mark.row("T2", "T3")
@pytest.mark.ejabberd
def test_it_reconnects_and_tells_what_was_published_meanwhile(
    own_xmpp_server: OwnServer, make_component: MakeComponent, loop: Loop
) -> None:
    server = own_xmpp_server()
    component = make_component(server).start()
    create(component, "news", "bob@localhost")
    publish(component, "news", "before")
    wait_until(lambda: count(component, delivery_table) == 0)
    server.kill()
    publish(component, "news", "meanwhile")
    server.start()
    with SlixmppClient(loop, server, "bob@localhost/later", component.jid) as bob:
        component.wait_connected(2)
        publish(component, "news", "after")

        wait_until(lambda: "after" in bob.items("news"))
    wait_until(lambda: count(component, delivery_table) == 0)
    assert component.stop() == 0


@pytest.mark.row("T2")
def test_what_is_published_while_it_is_killed_is_told_when_it_is_back(
    xmpp_server: XmppServer, make_component: MakeComponent, loop: Loop
) -> None:
    component = make_component(xmpp_server, jid="other.localhost").start()
    create(component, "news", "bob@localhost")
    component.kill()
    publish(component, "news", "1", "2")
    publish(component, "news", "3")
    with SlixmppClient(loop, xmpp_server, "bob@localhost/other", component.jid) as bob:
        component.start()

        wait_until(lambda: bob.items("news") == ["1", "2", "3"])


@pytest.mark.row("T3")
def test_a_question_that_went_with_its_connection_does_not_keep_it_from_coming_back(
    make_component: MakeComponent,
) -> None:
    with FakeServer(answers=False) as server:
        component = make_component(None, xmpp={"port": server.port, "secret": "s"}).start()
        server.connection(1).end()
        component.wait_connected(2)  # before the question would have been given up
        assert component.stop() == 0


def test_a_change_reaches_an_xmpp_client_through_the_daemon(
    xmpp_server: XmppServer, make_component: MakeComponent, loop: Loop
) -> None:
    publishing = {"plugin:pubsub-publish": {"enabled": True}}
    daemon = make_component(xmpp_server, jid="other.localhost", daemon=True, more=publishing)
    create(daemon, "story/7")
    daemon.start()
    with SlixmppClient(loop, xmpp_server, "bob@localhost/daemon", daemon.jid) as bob:
        done(bob.ask("set", subscribe("story/7", bob.bare)))
        event = make_event(resource_id=7, resource_after={"title": "New"})
        engine = build_engine(daemon.url)
        with short_transaction(engine) as connection:
            record(connection, event)
        engine.dispose()

        message = bob.message("story/7")

        assert bob.items("story/7") == [str(event.id)]
        (text,) = texts(message, ["json"])
        assert json.loads(text or "")["data"]["resource_after"] == {"title": "New"}
    assert daemon.stop() == 0


def test_a_daemon_without_a_secret_runs_none() -> None:
    conf = configuration()
    assert not service.wanted(conf)
    conf.set_override("secret", "s", group="xmpp")
    assert service.wanted(conf)


def test_retire_ends_what_clients_are_owed(
    xmpp_server: XmppServer,
    make_component: MakeComponent,
    capsys: pytest.CaptureFixture[str],
) -> None:
    component = make_component(xmpp_server, jid="other.localhost").start()
    component.stop()
    create(component, "news", "bob@localhost")
    publish(component, "news", "1")
    assert count(component, delivery_table) > 0

    assert main(["--config-file", str(component.config), "retire"]) == 0

    assert capsys.readouterr().out == "retired\n"
    publish(component, "news", "2")
    assert (count(component, delivery_table), count(component, listener_table)) == (0, 0)
    assert main(["--config-file", str(component.config), "retire"]) == 0


def test_without_its_tables_the_command_says_how_they_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "eventworker.conf"
    file.write_text(f"[database]\nconnection = sqlite:///{tmp_path}/x\n[xmpp]\nsecret = s\n")

    with restored_logging():
        assert main(["--config-file", str(file)]) == 1

    (line,) = capsys.readouterr().err.splitlines()
    assert "db upgrade" in line


def test_without_a_secret_the_command_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "eventworker.conf"
    file.write_text("[database]\nconnection = sqlite://\n")

    assert main(["--config-file", str(file)]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert "[xmpp] secret is not set" in line
