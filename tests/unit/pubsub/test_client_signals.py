"""The client's signals, of both faces."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from eventworker.pubsub import (
    Affiliation,
    Item,
    NodeConfig,
    Signal,
    State,
    listening,
)
from eventworker.pubsub.tables import delivery_table, listener_table
from tests.helpers.databases import count
from tests.helpers.pubsub import entry
from tests.helpers.pubsub_clients import SERVICE
from tests.servers import wait_until

OWNER, ANN, BEN = "owner@example.org", "ann@example.org/desk", "ben@example.org"

NewClient = Callable[..., Any]


class Ear:
    """Writes down what a client's signals say."""

    def __init__(self, client: Any) -> None:
        self.heard: list[tuple[Any, ...]] = []
        for signal in vars(getattr(client, "_client", client)).values():
            if isinstance(signal, Signal):
                signal.connect(self._hear(signal.name))

    def _hear(self, name: str) -> Callable[..., None]:
        def hear(*args: Any, message: Any = None, **more: Any) -> None:
            assert message is not None
            self.heard.append((name, *args, *more.values()))

        return hear

    def hears(self, *expected: tuple[Any, ...]) -> None:
        """Exactly this, in this order."""
        wait_until(lambda: len(self.heard) >= len(expected), 10, lambda: str(self.heard))
        assert [_plain(each) for each in self.heard] == list(expected)


def _plain(heard: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each.id if isinstance(each, Item) else each for each in heard)


def test_published_and_retracted_items_are_heard_in_order(owner: Any, ann: Any) -> None:
    ann.subscribe(SERVICE, "news")
    with ann:
        ear = Ear(ann)
        for number in range(3):
            owner.publish(SERVICE, "news", entry(str(number)), id_=str(number))
        owner.retract(SERVICE, "news", "0")
        owner.purge(SERVICE, "news")
        ear.hears(
            *(("on_item_published", SERVICE, "news", str(number)) for number in range(3)),
            ("on_item_retracted", SERVICE, "news", "0"),
            ("on_node_purged", SERVICE, "news"),
        )
    item = ear.heard[0][3]
    assert (item.payload, item.publisher) == (entry("0"), OWNER)
    assert item.published_at is not None


def test_a_notice_without_an_item_is_heard(owner: Any, ann: Any) -> None:
    owner.set_node_config(SERVICE, {"deliver_payloads": False, "persist_items": False}, "news")
    ann.subscribe(SERVICE, "news")
    with ann:
        ear = Ear(ann)
        owner.notify(SERVICE, "news")
        ear.hears(("on_item_published", SERVICE, "news", None))


def test_a_new_subscriber_hears_the_last_item(owner: Any, ann: Any) -> None:
    owner.set_node_config(SERVICE, {"send_last_published_item": "on_sub"}, "news")
    owner.publish(SERVICE, "news", entry(), id_="last")
    with ann:
        ear = Ear(ann)
        ann.subscribe(SERVICE, "news")
        ear.hears(("on_item_published", SERVICE, "news", "last"))
    (kept,) = ann.get_items(SERVICE, "news")
    said = ear.heard[0][3].published_at
    assert abs((said - kept.published_at).total_seconds()) < 0.001


def test_the_end_of_a_node_is_heard(owner: Any, ann: Any) -> None:
    owner.create(SERVICE, "moved")
    for node in ("news", "moved"):
        ann.subscribe(SERVICE, node)
    with ann:
        ear = Ear(ann)
        owner.delete(SERVICE, "news")
        owner.delete(SERVICE, "moved", redirect_uri="xmpp:there")
        ear.hears(
            ("on_node_deleted", SERVICE, "news", None),
            ("on_node_deleted", SERVICE, "moved", "xmpp:there"),
        )


def test_a_change_of_the_configuration_is_heard(owner: Any, ann: Any) -> None:
    ann.subscribe(SERVICE, "news")
    with ann:
        ear = Ear(ann)
        owner.set_node_config(SERVICE, {"notify_config": True, "title": "News"}, "news")
        owner.set_node_config(SERVICE, {"deliver_payloads": False}, "news")
        wait_until(lambda: len(ear.heard) == 2, 10, lambda: str(ear.heard))
    assert ear.heard[0] == (
        "on_configuration",
        SERVICE,
        "news",
        replace(NodeConfig(), title="News", notify_config=True),
    )
    assert ear.heard[1] == ("on_configuration", SERVICE, "news", None)


def test_what_owners_decide_is_heard(owner: Any, ann: Any) -> None:
    owner.set_node_config(SERVICE, {"access_model": "authorize"}, "news")
    with owner, ann:
        of_owner, of_ann = Ear(owner), Ear(ann)
        assert ann.subscribe(SERVICE, "news").state == State.PENDING
        of_owner.hears(("on_subscription_request", SERVICE, "news", "ann@example.org", None))
        owner.change_node_subscriptions(SERVICE, "news", [("ann@example.org", "subscribed")])
        owner.change_node_affiliations(SERVICE, "news", [("ann@example.org", "publisher")])
        owner.change_node_subscriptions(SERVICE, "news", [("ann@example.org", "none")])
        of_ann.hears(
            ("on_subscription_update", SERVICE, "news", State.SUBSCRIBED, None),
            ("on_affiliation_update", SERVICE, "news", Affiliation.PUBLISHER),
            ("on_subscription_update", SERVICE, "news", State.NONE, None),
        )


def test_what_becomes_of_a_collection_is_heard(owner: Any, ann: Any) -> None:
    owner.create(SERVICE, "all", config={"node_type": "collection"})
    ann.subscribe(SERVICE, "all", config={"subscription_type": "nodes"})
    with ann:
        ear = Ear(ann)
        owner.set_node_config(SERVICE, {"collection": ["all"]}, "news")
        owner.set_node_config(SERVICE, {"collection": []}, "news")
        ear.hears(
            ("on_node_associated", SERVICE, "all", "news"),
            ("on_node_disassociated", SERVICE, "all", "news"),
        )


def test_a_message_says_to_whom_it_was_and_when(owner: Any, ann: Any) -> None:
    messages: list[Any] = []

    def note(*_: Any, message: Any, **_more: Any) -> None:
        messages.append(message)

    for jid in (ANN, None):
        ann.subscribe(SERVICE, "news", subscription_jid=jid)
    with ann:
        ann.on_item_published.connect(note)
        owner.publish(SERVICE, "news", entry(), id_="a")
        wait_until(lambda: len(messages) == 2, 10, "nothing is heard")
    assert {each.jid for each in messages} == {ANN, "ann@example.org"}
    assert len({each.id for each in messages}) == 1
    (kept,) = owner.get_items(SERVICE, "news")
    assert abs((messages[0].sent_at - kept.published_at).total_seconds()) < 5


def test_a_handler_may_be_a_coroutine_and_one_that_fails_stops_no_other(
    owner: Any, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    @ann.on_item_published.connect
    def fails(*_: Any, **__: Any) -> None:
        raise LookupError("no such thing")

    @ann.on_item_published.connect
    async def waits(_jid: str, _node: str, item: Item, **_: Any) -> None:
        heard.append(item.id)

    def leaves(*_: Any, **__: Any) -> None:
        heard.append("never")

    ann.on_item_published.connect(leaves)
    ann.on_item_published.disconnect(leaves)
    ann.on_item_published.disconnect(leaves)
    ann.subscribe(SERVICE, "news")
    with ann:
        for name in ("a", "b"):
            owner.publish(SERVICE, "news", entry(), id_=name)
        wait_until(lambda: len(heard) == 2, 10, lambda: str(heard))
    assert heard == ["a", "b"]
    assert caplog.text.count("LookupError: no such thing") == 2
    assert "on_item_published: handler" in caplog.text


def test_a_client_that_does_not_listen_is_owed_nothing(
    owner: Any, ann: Any, sqlite_engine: Engine
) -> None:
    ann.subscribe(SERVICE, "news")
    with ann:
        assert count(sqlite_engine, listener_table) == 1
        with pytest.raises(ValueError, match="listens already"):
            ann.listen()
    assert count(sqlite_engine, listener_table) == 0
    owner.publish(SERVICE, "news", entry(), id_="unheard")
    with ann:
        ear = Ear(ann)
        owner.publish(SERVICE, "news", entry(), id_="heard")
        ear.hears(("on_item_published", SERVICE, "news", "heard"))


def test_a_client_may_be_closed_by_a_handler(owner: Any, ann: Any, sqlite_engine: Engine) -> None:
    real = getattr(ann, "_client", ann)

    @ann.on_item_published.connect
    def close(*_: Any, **__: Any) -> Any:
        return real.close()  # a coroutine is awaited

    ann.subscribe(SERVICE, "news")
    ann.listen()
    owner.publish(SERVICE, "news", entry())
    wait_until(lambda: count(sqlite_engine, listener_table) == 0, 10, "it listens still")


def test_who_was_away_for_too_long_hears_what_comes_next(
    owner: Any,
    ann: Any,
    sqlite_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(listening, "LEASE", 0.3)
    ann.subscribe(SERVICE, "news")
    with ann:
        ear = Ear(ann)
        with sqlite_engine.begin() as connection:
            connection.execute(listener_table.delete())
        wait_until(lambda: count(sqlite_engine, listener_table) == 1, 10, "it is gone")
        owner.publish(SERVICE, "news", entry(), id_="again")
        ear.hears(("on_item_published", SERVICE, "news", "again"))
    assert f"{ANN} was away for too long" in caplog.text


def test_a_client_goes_on_when_the_database_is_there_again(
    owner: Any, ann: Any, sqlite_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    ann.subscribe(SERVICE, "news")
    with ann:
        ear = Ear(ann)
        with sqlite_engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {delivery_table.name} RENAME TO away"))
        rename = f"ALTER TABLE away RENAME TO {delivery_table.name}"
        wait_until(lambda: "hears nothing for now" in caplog.text, 10, "it did not notice")
        with sqlite_engine.begin() as connection:
            connection.execute(text(rename))
        owner.publish(SERVICE, "news", entry(), id_="again")
        ear.hears(("on_item_published", SERVICE, "news", "again"))
    assert caplog.text.count("hears nothing for now") == 1
