"""The component ends while it tells many."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Callable

import pytest
from eventworker_xmpp.delivering import PAGE
from sqlalchemy import func, insert, select

from eventworker.db import build_engine, short_transaction
from eventworker.pubsub.facts import NewItem
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.tables import delivery_table, subscription_table
from tests.helpers.fake_xmpp_server import FakeServer
from tests.helpers.xmpp import ComponentProcess
from tests.servers import wait_until

ALL = 4 * PAGE


@pytest.mark.row("T2", "P3")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ended_in_the_middle_of_many_it_misses_nobody_and_tells_few_twice(
    make_component: Callable[..., ComponentProcess], number: int
) -> None:
    everybody = {f"u{n}@example.org" for n in range(ALL)}
    with FakeServer() as server:
        component = make_component(None, xmpp={"port": server.port, "secret": "s"})
        engine = build_engine(component.url)
        settings = Settings(service=component.jid)
        with short_transaction(engine) as connection:
            service = PubSubService(connection, settings)
            service.create("news", settings.itself)
            first, *others = sorted(everybody)
            service.subscribe("news", settings.itself, first)
            row = connection.execute(select(subscription_table)).one()._asdict()
            del row["id"]
            rows = [{**row, "jid": each, "bare": each} for each in others]
            connection.execute(insert(subscription_table), rows)
        component.start()
        with short_transaction(engine) as connection:
            service = PubSubService(connection, settings)
            service.publish("news", settings.itself, [NewItem("1", "<a xmlns='urn:a'/>")])

        def owed() -> int:
            with engine.connect() as connection:
                return connection.scalar(select(func.count()).select_from(delivery_table)) or 0

        link = server.connection(1)
        wait_until(lambda: link.received.count(b"</message>") > PAGE, 30, component.text)
        assert component.process is not None
        component.process.send_signal(number)
        assert component.wait() == (0 if number == signal.SIGTERM else -number)
        component.start()
        wait_until(lambda: not owed(), 30, component.text)
        received = b"".join(each.received for each in server.connections).decode()
        assert component.stop() == 0
        engine.dispose()

    told = re.findall(r"<message [^>]*id='([^']+)' [^>]*to='([^']+)'", received)
    times = Counter(to for _, to in told)
    assert set(times) == everybody
    assert max(times.values()) <= 2
    assert len(told) <= ALL + 2 * PAGE  # the page under way, and the one to be noted meanwhile
    assert len({key for key, _ in told}) == 1
