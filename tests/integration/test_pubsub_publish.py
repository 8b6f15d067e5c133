"""The plugin pubsub-publish amid the parts of the daemon: events become items, once."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest
from sqlalchemy import Engine, func, insert, select, update

from eventworker import cloudevents
from eventworker.db import clock, short_transaction
from eventworker.erasure import Erasure
from eventworker.errors import ConfigError
from eventworker.event import Event
from eventworker.inbox.claims import Outcome
from eventworker.pubsub import options as pubsub
from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.deliveries import register
from eventworker.pubsub.facts import Actor, Affiliated, Item
from eventworker.pubsub.forms import filled_in
from eventworker.pubsub.hooks import options as hook_options
from eventworker.pubsub.hooks.table import hook_table, run_table
from eventworker.pubsub.options import Settings
from eventworker.pubsub.rules import Affiliation
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.sweeping import sweep
from eventworker.pubsub.tables import (
    affiliation_table,
    child_table,
    item_table,
    node_table,
    notice_table,
)
from eventworker.pubsub.worker import PubSubPublishWorker
from eventworker.testing import Harness
from tests.helpers.events import make_event

NAME = "pubsub-publish"


def publishing(url: str | None = None, **options: Any) -> Harness:
    return Harness(PubSubPublishWorker, NAME, url=url, options={"enabled": True, **options})


@pytest.fixture
def harness(database_url: str) -> Iterator[Harness]:
    with publishing(database_url) as made:
        yield made


@pytest.fixture
def embedded() -> Iterator[Harness]:
    with publishing() as made:
        yield made


def items(harness: Harness, node: str) -> list[Item]:
    with short_transaction(harness.engine) as connection:
        service = PubSubService(connection, Settings())
        return list(service.items(node, service.settings.itself).entries)


def story(number: int, **fields: Any) -> Event:
    return make_event(resource="story", resource_id=number, **fields)


def names(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(select(node_table.c.name)))


def count(engine: Engine, table: Any) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def test_an_event_becomes_an_item_of_its_resources_node_in_the_collection_of_its_kind(
    harness: Harness,
) -> None:
    event = story(42, method="PUT", author_id=7, source="urn:tracker")
    assert harness.deliver(event).done
    (item,) = items(harness, "story/42")
    assert (item.id, item.publisher) == (str(event.id), "pubsub.localhost")
    container = ElementTree.fromstring(item.payload or "")
    assert cloudevents.decode((container.text or "").encode()) == event
    assert names(harness.engine) == {"story", "story/42"}
    assert count(harness.engine, child_table) == 1


def test_an_event_that_comes_twice_is_one_item(harness: Harness) -> None:
    harness.deliver_twice(story(42))
    assert len(items(harness, "story/42")) == 1


def test_events_that_wait_together_are_published_in_one_transaction_in_their_order(
    harness: Harness,
) -> None:
    events = [story(number % 3) for number in range(9)]
    assert all(ending.done for ending in harness.deliver_together(*events))
    for number in range(3):
        expected = [str(event.id) for event in events if event.resource_id == number]
        assert [item.id for item in items(harness, f"story/{number}")] == expected
    assert count(harness.engine, child_table) == 3


def test_a_node_may_keep_fewer_items_than_events_wait_together() -> None:
    with publishing(node_config={"max_items": "2"}) as harness:
        events = [story(1) for _ in range(5)]
        assert all(ending.done for ending in harness.deliver_together(*events))
        kept = [item.id for item in items(harness, "story/1")]
        assert kept == [str(event.id) for event in events[-2:]]


def test_what_the_service_refuses_for_good_is_a_dead_letter_that_says_why() -> None:
    with publishing(node_config={"max_payload_size": "20"}) as harness:
        good, bad = story(1), story(2)
        for ending in harness.deliver_together(good, bad):
            assert ending.outcome is Outcome.DEAD
            assert "payload-too-big" in (ending.error or "")
        assert count(harness.engine, item_table) == 0


def test_a_death_at_the_commit_leaves_no_item(harness: Harness) -> None:
    harness.deliver(story(1))
    event = story(1)
    harness.crash(event)
    assert len(items(harness, "story/1")) == 1
    harness.deliver(event)
    assert len(items(harness, "story/1")) == 2


@pytest.mark.parametrize("format", ["cloudevents", "atom"])
def test_whatever_characters_an_event_has_it_is_published(format: str) -> None:
    odd = "".join(map(chr, [*range(32), 0x7F, 0x85, 0xFFFE, 0xFFFF, 0x1F600])) + "]]>&<"
    with publishing(format=format) as harness:
        event = story(1, url=odd, author_id="\u2028é", resource_after={odd: odd})
        assert harness.deliver(event).done
        (item,) = items(harness, "story/1")
        assert ElementTree.fromstring(item.payload or "") is not None


def test_an_item_that_would_be_too_large_has_no_images(embedded: Harness) -> None:
    event = story(1, resource_after={"text": "x" * 70_000})
    assert embedded.deliver(event).done
    (item,) = items(embedded, "story/1")
    assert len(item.payload or "") < 2000
    assert str(event.id) in (item.payload or "")


def test_new_nodes_are_for_their_owners_only_unless_the_configuration_opens_them() -> None:
    stranger = Actor("eve@example.org")
    for options, refused in (
        ({}, "closed-node"),
        ({"node_config": {"access_model": "open"}}, None),
    ):
        with publishing(**options) as harness:
            harness.deliver(story(1))
            with short_transaction(harness.engine) as connection:
                service = PubSubService(connection, Settings())
                try:
                    service.items("story/1", stranger)
                    found = None
                except Exception as error:
                    found = getattr(error, "detail", error)
            assert found == refused


def test_names_and_format_follow_the_templates() -> None:
    options = {"node": "{resource}:{method}", "collection": "", "format": "atom", "images": "none"}
    with publishing(**options) as harness:
        harness.deliver(story(1, method="DELETE"))
        assert names(harness.engine) == {"story:DELETE"}
        (item,) = items(harness, "story:DELETE")
        assert (item.payload or "").startswith("<entry xmlns='http://www.w3.org/2005/Atom'>")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"node": "{author}"}, "node"),
        ({"collection": "{"}, "collection"),
        ({"node_config": {"access_model": "closed"}}, "node_config: pubsub#access_model"),
        ({"node_config": {"colour": "red"}}, "no field pubsub#colour"),
        ({"node_config": {"max_items": "0"}}, "node_config: not-acceptable: pubsub#max_items"),
    ],
)
def test_options_that_cannot_be_used_are_named_at_the_start(
    options: dict[str, Any], said: str
) -> None:
    with publishing(**options) as harness, pytest.raises(ConfigError, match=said):
        harness.deliver(story(1))


def test_a_node_that_has_gone_elsewhere_is_left_alone(embedded: Harness) -> None:
    embedded.deliver(story(1))
    with short_transaction(embedded.engine) as connection:
        service = PubSubService(connection, Settings())
        service.delete("story/1", service.settings.itself, "xmpp:elsewhere.example?;node=x")
    assert embedded.deliver(story(1)).done
    assert count(embedded.engine, item_table) == 0


EVE = Actor("eve@example.org")


@contextmanager
def open_service(harness: Harness) -> Iterator[PubSubService]:
    """A service where everyone may create nodes."""
    with short_transaction(harness.engine) as connection:
        yield PubSubService(connection, Settings(creators="everyone"))


def test_a_node_that_a_stranger_has_made_beforehand_is_given_no_event(embedded: Harness) -> None:
    with open_service(embedded) as service:
        service.create("story/1", EVE)
        service.create("story/2", EVE)
        service.delete("story/2", EVE, "xmpp:elsewhere.example?;node=x")
        service.change_node_affiliations(
            "story/1", EVE, [Affiliated("story/1", service.settings.service, Affiliation.OWNER)]
        )

    ending = embedded.deliver(story(1))

    assert ending.outcome is Outcome.DEAD
    assert "node story/1: forbidden: it was made by eve@example.org" in (ending.error or "")
    assert embedded.deliver(story(2)).done
    assert len(items(embedded, "story/2")) == 1


@pytest.mark.parametrize("kind", ["leaf", "collection"])
def test_nobody_keeps_events_away_by_the_name_of_a_collection(
    embedded: Harness, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with open_service(embedded) as service:
        fields = {"pubsub#node_type": [kind], "pubsub#children_max": ["1"]}
        service.create("story", EVE, fields)

    assert embedded.deliver(story(1)).done
    assert all(each.done for each in embedded.deliver_together(story(1), story(2), story(3)))

    assert count(embedded.engine, child_table) == 0
    assert "story/1 is in no collection, since story was made by eve@example.org" in caplog.text


def test_nodes_that_an_admin_has_made_are_published_to(embedded: Harness) -> None:
    with open_service(embedded) as service:
        service.create("story/1", Actor("tracker@pubsub.localhost"))
        service.create("story/2", EVE)
    assert embedded.deliver(story(1)).done
    with publishing(embedded.engine.url.render_as_string(hide_password=False)) as other:
        pubsub.register(other.conf)
        other.conf.set_override("admins", ["eve@example.org"], group="pubsub")
        assert other.deliver(story(2)).done


def test_a_node_that_was_deleted_is_made_again_by_the_next_event(embedded: Harness) -> None:
    embedded.deliver(story(1))
    with short_transaction(embedded.engine) as connection:
        service = PubSubService(connection, Settings())
        service.delete("story/1", service.settings.itself)
    assert embedded.deliver(story(1)).done
    assert len(items(embedded, "story/1")) == 1
    # The one that was deleted stays, with its owner, until its subscribers have been told.
    with short_transaction(embedded.engine) as connection:
        swept = sum(iter(lambda: sweep(connection), 0))
    assert swept > 0
    assert count(embedded.engine, affiliation_table) == 2


@pytest.mark.parametrize("format", ["cloudevents", "atom"])
@pytest.mark.parametrize(
    "erasure",
    [
        lambda event: Erasure(author="7"),
        lambda event: Erasure(resource=("comment", "5")),
        lambda event: Erasure(event=event.id),
    ],
)
def test_what_is_erased_is_retracted(format: str, erasure: Callable[[Event], Erasure]) -> None:
    with publishing(format=format) as harness:
        kept = story(1, author_id=77, sub_resource="comment", sub_resource_id=55)
        gone = story(1, author_id=7, sub_resource="comment", sub_resource_id=5)
        for event in (kept, gone):
            harness.deliver(event)
        with short_transaction(harness.engine) as connection:
            assert harness.plugin.erase(connection, erasure(gone)) == 1
        assert [UUID(item.id) for item in items(harness, "story/1")] == [kept.id]


def test_what_waits_to_be_told_and_what_hooks_were_given_is_erased_too() -> None:
    with publishing(node_config={"access_model": "open"}) as harness:
        hook_options.register(harness.conf)
        harness.conf.set_override("enabled", True, group=hook_options.GROUP)
        harness.deliver(story(1, author_id=77))
        with short_transaction(harness.engine) as connection:
            register(connection, "robot", "robot@pubsub.localhost/1", 60.0)
            service, robot = PubSubService(connection, Settings()), Actor("robot@pubsub.localhost")
            service.subscribe("story/1", robot, robot.jid)
            connection.execute(insert(hook_table).values(a_hook("story/1")))
        gone = story(1, author_id=7)
        harness.deliver(gone)
        assert (count(harness.engine, run_table), count(harness.engine, notice_table)) == (1, 1)
        with short_transaction(harness.engine) as connection:
            assert harness.plugin.erase(connection, Erasure(author="7")) == 3
        assert count(harness.engine, run_table) == 0
        with harness.engine.connect() as connection:
            # That it is retracted is still told.
            assert connection.scalars(select(notice_table.c.kind)).all() == ["retract"]


@pytest.mark.parametrize("change", [{"item_expire": "1"}, {"persist_items": "0"}])
def test_items_that_nobody_can_see_any_more_are_erased_too(
    embedded: Harness, change: dict[str, str]
) -> None:
    embedded.deliver(story(1, author_id=7))
    with short_transaction(embedded.engine) as connection:
        # As another version may have left it.
        connection.execute(update(item_table).values(expires_at=clock(-1)))
        fields = {f"pubsub#{name}": [value] for name, value in change.items()}
        config = filled_in(NodeConfig(), fields)
        connection.execute(update(node_table).values(config=config.to_json()))
        assert embedded.plugin.erase(connection, Erasure(author="7")) == 1
    assert count(embedded.engine, item_table) == 0


def test_what_waits_to_be_told_beside_what_is_erased_is_still_told(embedded: Harness) -> None:
    embedded.deliver(story(1))
    with short_transaction(embedded.engine) as connection:
        register(connection, "xmpp")
        service = PubSubService(connection, Settings())
        service.subscribe("story/1", service.settings.itself, "ann@example.org")
    kept, gone = story(1, author_id=77), story(1, author_id=7)
    embedded.deliver_together(kept, gone)

    with short_transaction(embedded.engine) as connection:
        assert embedded.plugin.erase(connection, Erasure(author="7")) == 2

    with embedded.engine.connect() as connection:
        contents = connection.scalars(
            select(notice_table.c.content).where(notice_table.c.kind == "items")
        ).all()
    told = [item["id"] for content in contents for item in json.loads(content)["items"]]
    assert told == [str(kept.id)]


def a_hook(node: str) -> dict[str, Any]:
    """A hook's row as the registry writes it."""
    at = {"free_at": clock(), "taken_at": clock(), "created_at": clock()}
    yes = {"hears_items": True, "hears_retract": False, "hears_delete": False, "persistent": True}
    who = {"service": "pubsub.localhost", "owner": "pubsub.localhost", "node": node}
    return {
        "same": "x",
        "type": "python_code",
        "arg": "pass",
        "state": "ok",
        "runs": 0,
        "failures": 0,
        **at,
        **yes,
        **who,
    }
