"""A component that is retired while it runs."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path

import pytest
from eventworker_xmpp.delivering import Deliverer
from eventworker_xmpp.messages import Sent
from eventworker_xmpp.options import Options
from eventworker_xmpp.work import Work
from sqlalchemy import Engine, select

from eventworker.db import build_engine, short_transaction
from eventworker.pubsub.deliveries import remove
from eventworker.pubsub.facts import NewItem
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.tables import listener_table

SETTINGS = Settings(service="pubsub.a.b")
OPTIONS = Options(SETTINGS, "127.0.0.1", 5347, "s")


async def no_roster(_owner: str) -> bool:
    raise AssertionError("no node asks for a roster")


class Line:
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        self.sent = b""

    async def send_bytes(self, data: bytes) -> None:
        self.sent += data

    async def barrier(self) -> None:
        """The server is always ready."""


def listeners(engine: Engine) -> list[int]:
    with engine.connect() as connection:
        return list(connection.scalars(select(listener_table.c.id)))


def publish(engine: Engine) -> None:
    with short_transaction(engine) as connection:
        service = PubSubService(connection, SETTINGS)
        service.publish("news", SETTINGS.itself, [NewItem("1", "<a xmlns='urn:a'/>")])


def test_it_goes_on_with_what_is_said_from_then_on(
    tmp_path: Path, template: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    engine = build_engine(f"sqlite:///{shutil.copy(template, tmp_path)}")
    with short_transaction(engine) as connection:
        service = PubSubService(connection, SETTINGS)
        service.create("news", SETTINGS.itself)
        service.subscribe("news", SETTINGS.itself, "ann@a.b")
    work = Work(engine, SETTINGS, threads=2)
    line = Line()

    async def linked() -> Line:
        return line

    async def until(condition: object) -> None:
        assert callable(condition)
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)

    async def run() -> None:
        deliverer = Deliverer(OPTIONS, work, "xmpp", linked, Sent(), no_roster, look_every=0.05)
        await deliverer.register()
        task = asyncio.create_task(deliverer.run(lambda: None))
        (first,) = listeners(engine)
        with short_transaction(engine) as connection:
            remove(connection, first)
        await until(lambda: listeners(engine) not in ([], [first]))
        publish(engine)
        await until(lambda: b"<item id='1'" in line.sent)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    work.close()
    engine.dispose()
    assert caplog.text.count("retired while it ran") == 1
