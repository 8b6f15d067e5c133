"""What strangers can have the component keep in memory at a time."""

from __future__ import annotations

import asyncio
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest
from eventworker_xmpp.options import Options
from eventworker_xmpp.reception import Reception
from eventworker_xmpp.requests import perform
from eventworker_xmpp.rosters import Rosters
from eventworker_xmpp.work import Work
from sqlalchemy import Engine

from eventworker.db import build_engine, short_transaction
from eventworker.pubsub.facts import Actor, NewItem
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from tests.helpers.pubsub_xml import ids

SERVICE = "pubsub.localhost"
OPTIONS = Options(Settings(service=SERVICE), "127.0.0.1", 5347, "s", max_stanza_bytes=100_000)


@pytest.fixture
def engine(tmp_path: Path, template: Path) -> Iterator[Engine]:
    engine = build_engine(f"sqlite:///{shutil.copy(template, tmp_path)}")
    yield engine
    engine.dispose()


def ping(sender: str) -> Element:
    return fromstring(
        f"<iq xmlns='jabber:component:accept' type='get' id='1' from='{sender}' to='{SERVICE}'>"
        "<ping xmlns='urn:xmpp:ping'/></iq>"
    )


class Received:
    """What is said when these stanzas arrive at once, each of the largest size."""

    def __init__(self, engine: Engine, senders: list[str]) -> None:
        self.said: list[bytes] = []
        self.holds: list[bool] = []
        work = Work(engine, OPTIONS.settings, threads=1)
        try:
            asyncio.run(self._run(work, senders))
        finally:
            work.close()

    async def _run(self, work: Work, senders: list[str]) -> None:
        rosters = Rosters(OPTIONS, work, _nobody)
        keeping = asyncio.create_task(rosters.keep(_at_once))
        await rosters.settled()
        reception = Reception(
            OPTIONS, work, self.said.append, self.holds.append, lambda: None, rosters
        )
        for sender in senders:
            reception.take(ping(sender), None, OPTIONS.max_stanza_bytes)
        self.refused = len(self.said)
        await reception.finish()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _at_once() -> None:
    """The server has nothing to say."""


async def _nobody(_to: str, _payload: Element) -> Element:
    raise AssertionError("no roster is needed")


@pytest.mark.row("T5")
def test_large_stanzas_of_one_sender_wait_in_a_small_number(engine: Engine) -> None:
    received = Received(engine, ["ann@example.org/x"] * 20)
    assert received.refused == 4
    assert all(b"<resource-constraint" in each for each in received.said[:4])
    assert sum(b"type='result'" in each for each in received.said) == 16
    assert received.holds == []


@pytest.mark.row("T5")
def test_no_more_is_read_while_many_large_stanzas_wait(engine: Engine) -> None:
    received = Received(engine, [f"ann@example.org/{number}" for number in range(70)])
    assert received.refused == 0
    assert received.holds == [True, False]
    assert len(received.said) == 70


@pytest.mark.row("I2", "T5")
def test_items_that_have_no_room_in_the_answer_are_not_read(engine: Engine) -> None:
    owner = Actor(f"owner@{SERVICE}")
    payload = f"<a xmlns='urn:a'>{'<b/>' * 10_000}</a>"
    request = fromstring(
        "<iq xmlns='jabber:component:accept' type='get' id='1'>"
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='news'/></pubsub></iq>"
    )
    with short_transaction(engine) as connection:
        service = PubSubService(connection, OPTIONS.settings)
        service.create("news", owner)
        service.publish("news", owner, [NewItem(str(number), payload) for number in range(50)])
        tracemalloc.start()
        try:
            (answer,) = perform(service, owner, request, 100_000)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert ids(answer) == ["0", "1"]
    assert peak < 20_000_000
