"""Who reads rosters, and when: of several who need one at once each gets what is new to him."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest
from eventworker_xmpp.configured import options_of
from eventworker_xmpp.options import Options, register
from eventworker_xmpp.rosters import Rosters
from eventworker_xmpp.work import Work
from sqlalchemy import Engine

from eventworker.db import build_engine, short_transaction
from eventworker.errors import ConfigError
from eventworker.pubsub import options as pubsub_options
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from tests.helpers.configuration import configuration
from tests.helpers.pubsub import form

SETTINGS = Settings(service="pubsub.a.b", creators="everyone")
OWNER, ANN = Actor("owner@a.b"), Actor("ann@a.b")
GRANT = fromstring(
    "<message xmlns='jabber:component:accept' from='a.b' to='pubsub.a.b'>"
    "<privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='get'/></privilege>"
    "</message>"
)


def roster(*contacts: str) -> Element:
    inside = "".join(f"<item jid='{each}'><group>friends</group></item>" for each in contacts)
    return fromstring(
        "<iq xmlns='jabber:component:accept' type='result'>"
        f"<query xmlns='jabber:iq:roster'>{inside}</query></iq>"
    )


class Server:
    """Answers one question after the other, each when a test lets it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, asyncio.Future[Element]]] = []
        self.more = asyncio.Event()

    async def ask(self, to: str, payload: Element) -> Element:
        answer = asyncio.get_running_loop().create_future()
        self.asked.append((to, answer))
        self.more.set()
        return await answer

    async def question(self, number: int) -> asyncio.Future[Element]:
        while len(self.asked) < number:
            self.more.clear()
            await asyncio.wait_for(self.more.wait(), 10)
        return self.asked[number - 1][1]

    async def barrier(self) -> None:
        pass


Scene = Callable[[Callable[[Rosters, Server], Awaitable[None]]], None]


@pytest.fixture
def engine(tmp_path: Path, template: Path) -> Iterator[Engine]:
    """A database with a node for friends of its owner."""
    made = build_engine(f"sqlite:///{shutil.copy(template, tmp_path)}")
    with short_transaction(made) as connection:
        service = PubSubService(connection, SETTINGS)
        service.rosters_granted("a.b", 60)
        fields = form(access_model="roster", roster_groups_allowed="friends")
        service.create("news", OWNER, fields)
    yield made
    made.dispose()


@pytest.fixture
def play(engine: Engine) -> Scene:
    """Plays a scene with a connection over which reading rosters is granted."""

    def run(scene: Callable[[Rosters, Server], Awaitable[None]]) -> None:
        async def all_of_it() -> None:
            work = Work(engine, SETTINGS, threads=2)
            server = Server()
            options = Options(SETTINGS, "", 0, "", roster_domains=frozenset(["a.b"]))
            rosters = Rosters(options, work, server.ask, grace=0.05)
            rosters.hear(GRANT)
            keeping = asyncio.create_task(rosters.keep(server.barrier))
            (await server.question(1)).set_result(roster())  # of the first round
            await scene(rosters, server)
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            work.close()

        asyncio.run(all_of_it())

    return run


def is_open(engine: Engine) -> bool:
    with engine.connect() as connection:
        return any(PubSubService(connection, SETTINGS).nodes(ANN).entries)


@pytest.mark.row("S4")
def test_those_who_come_while_one_is_read_share_the_next_reading(
    play: Scene, engine: Engine
) -> None:
    async def scene(rosters: Rosters, server: Server) -> None:
        first = asyncio.create_task(rosters.read(OWNER.jid))
        earlier = await server.question(2)
        others = [asyncio.create_task(rosters.read(OWNER.jid)) for _ in range(20)]
        await asyncio.sleep(0)
        earlier.set_result(roster("ann@a.b"))
        assert await first
        assert is_open(engine)
        later = await server.question(3)
        assert not any(each.done() for each in others)
        later.set_result(roster())
        assert await asyncio.gather(*others) == [True] * 20
        assert not is_open(engine)
        assert len(server.asked) == 3

    play(scene)


@pytest.mark.row("S4")
def test_who_gives_up_waiting_does_not_end_the_reading_for_others(
    play: Scene, engine: Engine
) -> None:
    async def scene(rosters: Rosters, server: Server) -> None:
        first = asyncio.create_task(rosters.read(OWNER.jid))
        answer = await server.question(2)
        second, third = [asyncio.create_task(rosters.read(OWNER.jid)) for _ in range(2)]
        await asyncio.sleep(0)
        for each in (first, second):
            each.cancel()
            await asyncio.gather(each, return_exceptions=True)
        answer.set_result(roster())
        (await server.question(3)).set_result(roster("ann@a.b"))
        assert await third
        assert is_open(engine)

    play(scene)


@pytest.mark.row("S4")
def test_rosters_that_no_node_asks_for_are_not_read(play: Scene, engine: Engine) -> None:
    async def scene(rosters: Rosters, server: Server) -> None:
        assert not await rosters.read("ann@a.b")
        assert not await rosters.read("owner@elsewhere.org")
        assert len(server.asked) == 1

    play(scene)


@pytest.mark.row("S4")
def test_nothing_is_known_when_the_connection_has_ended(play: Scene, engine: Engine) -> None:
    async def scene(rosters: Rosters, server: Server) -> None:
        reading = asyncio.create_task(rosters.read(OWNER.jid))
        (await server.question(2)).set_result(roster("ann@a.b"))
        assert await reading
        assert is_open(engine)
        reading = asyncio.create_task(rosters.read(OWNER.jid))
        late = await server.question(3)
        await rosters.end()
        assert not is_open(engine)
        late.set_result(roster("ann@a.b"))
        with pytest.raises(ConnectionError):
            await reading
        assert not is_open(engine)
        # The next connection, whose server grants nothing.
        keeping = asyncio.create_task(rosters.keep(server.barrier))
        assert not await rosters.read(OWNER.jid)
        assert not is_open(engine)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    play(scene)


@pytest.mark.row("S4")
def test_a_server_that_does_not_answer_leaves_nodes_closed(play: Scene, engine: Engine) -> None:
    async def scene(rosters: Rosters, server: Server) -> None:
        reading = asyncio.create_task(rosters.read(OWNER.jid))
        (await server.question(2)).set_result(roster("ann@a.b"))
        assert await reading
        reading = asyncio.create_task(rosters.read(OWNER.jid))
        (await server.question(3)).set_exception(TimeoutError())
        assert not await reading
        assert not is_open(engine)

    play(scene)


def conf(service: str, named: str) -> Any:
    made = configuration()
    register(made)
    pubsub_options.register(made)
    made.set_override("service", service, group="pubsub")
    made.set_override("secret", "s", group="xmpp")
    made.set_override("roster_domains", named.split(", ") if named else [], group="xmpp")
    return made


@pytest.mark.parametrize(
    ("service", "named", "expected"),
    [
        ("pubsub.example.org", "", {"example.org"}),
        ("pubsub", "", set()),
        ("pubsub.example.org", "A.b, c.d", {"a.b", "c.d"}),
    ],
)
def test_the_domain_above_the_service_grants_unless_others_are_named(
    service: str, named: str, expected: set[str]
) -> None:
    assert options_of(conf(service, named)).roster_domains == expected


@pytest.mark.parametrize("named", ["ann@a.b", "a.b/c", "a b"])
def test_what_is_no_domain_can_grant_nothing(named: str) -> None:
    with pytest.raises(ConfigError, match="roster_domains"):
        options_of(conf("pubsub.a.b", named))
