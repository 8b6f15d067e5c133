"""CloudEvents on their way: handled once, by their own identity, or kept with the reason."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from eventworker import cloudevents, migrations, outbox
from eventworker.db import short_transaction
from eventworker.engine.relay import Relay
from eventworker.event import Event
from eventworker.inbox.anonymous import anonymous_table
from eventworker.inbox.operations import quarantined
from eventworker.inbox.quarantine import quarantine_table
from eventworker.outbox.table import outbox_table
from eventworker.transports.rabbit import RabbitTransport
from tests.helpers.commands import Commands
from tests.helpers.databases import count, effects, rows
from tests.helpers.deliveries import nothing_comes, take
from tests.helpers.events import TRACEPARENT, make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits
from tests.helpers.rabbit import send_raw, settings_at
from tests.servers import Vhost

STRANGERS: dict[str, Any] = {
    "specversion": "1.0",
    "id": "A234-1234-1234",
    "source": "https://example.com/shop",
    "type": "com.example.order.created",
    "subject": "42",
    "data": {"total": 5},
}


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


class Seen:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.plugin = loaded(Plugin("a", lambda _session, event: self.events.append(event)))


def test_an_event_goes_from_the_outbox_to_the_plugin_as_a_cloudevent(
    engine: Engine, vhost: Vhost
) -> None:
    seen = Seen()
    shop = Workshop(engine, seen.plugin)
    with Session(engine) as session:
        event = outbox.record(session, make_event(source="tracker", traceparent=TRACEPARENT))
        session.commit()
    assert json.loads(rows(engine, outbox_table)[0].body)["resource"] == "story"
    transport = RabbitTransport(settings_at(vhost, wire_format="cloudevents"))
    assert Relay(engine, transport, 100, "host/1/1").run_once() == 1
    subscription = transport.subscribe(10)
    (delivery,) = take(subscription)
    assert delivery.content_type == cloudevents.CONTENT_TYPE
    shop.dispatcher.dispatch(delivery)
    assert seen.events == [event]
    subscription.close()
    transport.close()


def test_a_strangers_event_is_handled_once_by_its_own_identity(
    engine: Engine, vhost: Vhost
) -> None:
    """Whatever message id its hops give it, and with none at all."""
    seen = Seen()
    shop = Workshop(engine, seen.plugin)
    transport = RabbitTransport(settings_at(vhost))
    assert transport.publish([]) == []
    subscription = transport.subscribe(10)
    assert nothing_comes(subscription)
    body = json.dumps(STRANGERS).encode()
    spelling = "Application/CloudEvents+JSON; charset=UTF-8"
    for message_id in (None, "00000000-0000-0000-0000-000000000001", "no uuid"):
        send_raw(vhost, body, content_type=spelling, message_id=message_id)
        shop.dispatcher.dispatch(take(subscription)[0])
    (event,) = seen.events
    assert (event.method, event.resource, event.resource_id) == ("POST", "order", 42)
    assert event.source == "https://example.com/shop"
    assert count(engine, anonymous_table) == 0
    assert effects(engine) == ["a"]
    subscription.close()
    transport.close()


def test_a_redelivered_one_is_told_by_its_own_identity_too(engine: Engine) -> None:
    seen = Seen()
    shop = Workshop(engine, seen.plugin)
    body = json.dumps(STRANGERS).encode()
    shop.dispatch(body, content_type=cloudevents.CONTENT_TYPE)
    shop.dispatch(body, content_type=cloudevents.CONTENT_TYPE, redelivered=True)
    assert shop.runner.run_due() == 0
    assert len(seen.events) == 1


def test_one_that_cannot_be_read_is_quarantined_and_read_again_as_what_it_is(
    engine: Engine,
) -> None:
    """By its content type, which is kept: by its bytes alone it would be no event at all."""
    seen = Seen()
    shop = Workshop(engine, seen.plugin)
    bad = json.dumps({**STRANGERS, "type": "com.example.order.shipped"}).encode()
    shop.dispatch(bad, content_type=cloudevents.CONTENT_TYPE)
    (entry,) = rows(engine, quarantine_table)
    assert "does not end in a resource and what was done" in entry.reason
    assert entry.body == bad
    with short_transaction(engine) as connection:
        assert "does not end in" in (quarantined.refusal(connection, entry.id, 2**20) or "")
        # As after an upgrade to a version that understands it.
        connection.execute(
            quarantine_table.update().values(body=bad.replace(b"shipped", b"updated"))
        )
        assert quarantined.retry(connection, entry.id, 2**20) is None
    assert shop.runner.run_due() == 1
    (event,) = seen.events
    assert (event.method, event.resource, event.resource_id) == ("PUT", "order", 42)
    assert event == msgspec.structs.replace(
        cloudevents.decode(json.dumps({**STRANGERS, "type": "com.example.order.updated"}).encode()),
        time=event.time,
    )


@pytest.fixture
def command(database_url: str, new_engine: Callable[[str], Engine], tmp_path: Path) -> Commands:
    migrations.upgrade(new_engine(database_url))
    return Commands(
        tmp_path / "eventworker.conf",
        f"[database]\nconnection = {database_url}\n[notifications]\ndriver = sql\n",
    )


def test_a_file_may_mix_cloudevents_with_our_own_lines(
    command: Commands, database_url: str, new_engine: Callable[[str], Engine]
) -> None:
    ours = json.dumps({"method": "POST", "resource": "story", "resource_id": 1})
    result = command("publish", stdin=f"{json.dumps(STRANGERS)}\n{ours}\n".encode())
    assert (result.code, result.out) == (0, "published 2 events\n")
    made = rows(new_engine(database_url), outbox_table)
    assert sorted(row.resource for row in made) == ["order", "story"]
    again = command("publish", stdin=json.dumps(STRANGERS).encode())
    assert again.code == 0
    assert len(rows(new_engine(database_url), outbox_table)) == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("wire_format", "xml"),
        ("cloudevents_source", "my tracker"),
        ("cloudevents_type_prefix", "org..x"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(tmp_path: Path, option: str, value: str) -> None:
    command = Commands(tmp_path / "eventworker.conf", f"[notifications]\n{option} = {value}\n")
    result = command("config", "check")
    assert result.code == 2
    assert option in result.out
