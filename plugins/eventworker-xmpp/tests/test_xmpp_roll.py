"""Who has gone offline while there was no connection."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from eventworker_xmpp.presence import take
from eventworker_xmpp.roll import GRACE, Roll
from eventworker_xmpp.work import Work
from sqlalchemy import Engine, select

from eventworker.db import build_engine, short_transaction
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.tables import presence_table
from tests.helpers.pubsub_xml import attributes, create, done, options, owner, subscribe, tag
from tests.helpers.slixmpp_client import SlixmppClient
from tests.helpers.xmpp import ComponentProcess, Loop
from tests.servers import XmppServer, wait_until

SETTINGS = Settings(service="pubsub.a.b")


class Line:
    """A connection that keeps what is sent, and calls back with each probe."""

    def __init__(self, roll: Roll, there: list[str]) -> None:
        self._roll = roll
        self._there = there
        self.asked: list[str | None] = []

    async def send_bytes(self, data: bytes) -> None:
        for probe in fromstring(b"<s>" + data + b"</s>"):
            assert probe.get("type") == "probe"
            self.asked.append(probe.get("to"))
        for each in self._there:
            self._roll.hear(each)

    async def barrier(self) -> None:
        raise AssertionError("nobody asks for that")


def call(path: Path, there: list[str]) -> tuple[list[str | None], set[str]]:
    """Call the roll with these there; returns who was asked, and who is there afterwards."""
    engine = build_engine(f"sqlite:///{path}")
    work = Work(engine, SETTINGS, threads=1)

    async def run() -> list[str | None]:
        roll = Roll(work, SETTINGS.service, grace=0.01)
        line = Line(roll, there)
        await roll.call(line)
        return line.asked

    asked = asyncio.run(run())
    work.close()
    left = there_now(engine)
    engine.dispose()
    return asked, left


def there_now(engine: Engine) -> set[str]:
    """The full addresses of those who are known to be there."""
    with engine.connect() as connection:
        rows = connection.execute(select(presence_table.c.bare, presence_table.c.resource))
        return {f"{row.bare}/{row.resource}" for row in rows if row.resource}


@pytest.fixture
def database(tmp_path: Path, template: Path) -> Path:
    """A database in which ann and bob share their presence, and eve is there without."""
    path = Path(shutil.copy(template, tmp_path))
    engine = build_engine(f"sqlite:///{path}")
    with short_transaction(engine) as connection:
        service = PubSubService(connection, SETTINGS)
        for each in ("ann@a.b", "bob@a.b"):
            service.presence_granted(each)
        for each in ("ann@a.b/1", f"ann@a.b/{'x' * 300}", "bob@a.b/1", "eve@a.b/1"):
            service.available(each)
    engine.dispose()
    return path


@pytest.mark.row("T6")
def test_those_who_share_presence_are_asked_and_those_who_do_not_answer_are_gone(
    database: Path,
) -> None:
    asked, left = call(database, ["ann@a.b/1", f"ann@a.b/{'x' * 300}"])

    assert asked == ["ann@a.b", "bob@a.b"]
    assert {each[:9] for each in left} == {"ann@a.b/1", "ann@a.b/x", "eve@a.b/1"}


@pytest.mark.row("T6")
def test_nobody_is_asked_where_nobody_shares_presence(tmp_path: Path, template: Path) -> None:
    assert call(Path(shutil.copy(template, tmp_path)), []) == ([], set())


@pytest.mark.row("T6")
@pytest.mark.parametrize(
    ("sender", "left"),
    [("bob@a.b", {"bob@a.b/1"}), ("bob@a.b/2", {"bob@a.b/1"}), ("bob@a.b/1", set())],
)
def test_only_a_resource_can_say_that_it_goes(
    tmp_path: Path, template: Path, sender: str, left: set[str]
) -> None:
    """For the whole address some servers say so to acknowledge that they were asked for it."""
    engine = build_engine(f"sqlite:///{shutil.copy(template, tmp_path)}")
    with short_transaction(engine) as connection:
        service = PubSubService(connection, SETTINGS)
        service.available("bob@a.b/1")
        take(service, sender, fromstring("<presence type='unavailable'/>"))
    assert there_now(engine) == left
    engine.dispose()


@pytest.mark.long
@pytest.mark.row("T6")
def test_who_went_while_there_was_no_component_is_found_gone_and_who_stayed_is_there(
    xmpp_server: XmppServer, make_component: Callable[..., ComponentProcess], loop: Loop
) -> None:
    component = make_component(xmpp_server, jid="other.localhost").start()

    def subscribers() -> set[str | None]:
        listed = done(bob.ask("get", owner(tag("subscriptions", "news"))))
        return {jid for (jid,) in attributes(listed, "subscription", "jid")}

    def share_presence(client: SlixmppClient) -> None:
        client.send(f"<presence type='subscribe' to='{client.service}'/>")
        brief = subscribe("news", client.jid, tag("options", None, options(expire="presence")))
        wait_until(lambda: client.ask("set", brief).get("type") == "result")

    with SlixmppClient(loop, xmpp_server, "bob@localhost/stays", component.jid) as bob:
        done(bob.ask("set", create("news", access_model="presence")))
        share_presence(bob)
        with SlixmppClient(loop, xmpp_server, "carol@localhost/goes", component.jid) as carol:
            share_presence(carol)
            assert subscribers() == {bob.jid, carol.jid}
            component.kill()
        component.start()
        assert subscribers() == {bob.jid, carol.jid}
        wait_until(lambda: subscribers() == {bob.jid}, GRACE + 30)
        assert component.stop() == 0
