"""What ``pubsub#itemreply`` does: whom replies to an item should go to (section 12.17)."""

from typing import Any

import pytest

from eventworker.pubsub.facts import Actor, Affiliated
from eventworker.pubsub.rules import Affiliation
from tests.helpers.pubsub import ANN, BEN, OWNER, Desk, form, item
from tests.helpers.pubsub_clients import SERVICE
from tests.servers import wait_until

CARL = Actor("carl@example.org")


def made(desk: Desk, itemreply: str) -> None:
    """A node of OWNER's and ANN's that anybody may publish to, with somebody who listens."""
    desk.create("news", OWNER, form(itemreply=itemreply, publish_model="open"))
    owner = Affiliated("news", ANN.bare, Affiliation.OWNER)
    desk.change_node_affiliations("news", OWNER, [owner])
    desk.listen_to("news")


def told(desk: Desk) -> dict[str, Any]:
    """What is said of the items that were published last."""
    word, content = desk.heard()[-1]
    assert word == "items"
    return content


@pytest.mark.row("P15", "P4")
def test_replies_go_to_the_publisher_by_itself(desk: Desk) -> None:
    desk.create("plain", OWNER)
    assert desk.configuration("plain", OWNER).itemreply == "publisher"
    made(desk, "publisher")
    desk.publish("news", BEN, [item("a"), item("b")])
    assert told(desk)["reply_to"] == [BEN.bare]
    assert [each["publisher"] for each in told(desk)["items"]] == [BEN.bare, BEN.bare]


@pytest.mark.row("P15", "P4")
def test_replies_go_to_the_owners_of_another_address_than_the_services(desk: Desk) -> None:
    made(desk, "owner")
    carl = Affiliated("news", CARL.bare, Affiliation.OWNER)
    desk.change_node_affiliations("news", OWNER, [carl])
    desk.publish("news", BEN, [item("a")])
    assert told(desk)["reply_to"] == [ANN.bare, CARL.bare]
    assert [each["publisher"] for each in told(desk)["items"]] == [BEN.bare]


@pytest.mark.row("P15")
@pytest.mark.parametrize("itemreply", ["publisher", "owner"])
def test_nobody_is_asked_to_write_to_an_account_of_the_service(desk: Desk, itemreply: str) -> None:
    desk.create("own", OWNER, form(itemreply=itemreply))
    desk.listen_to("own")
    desk.publish("own", OWNER, [item("a")])
    assert "reply_to" not in told(desk)


@pytest.mark.row("P15", "P4")
def test_a_node_can_keep_its_publishers_to_itself(desk: Desk) -> None:
    made(desk, "none")
    desk.publish("news", BEN, [item("a")])
    assert "reply_to" not in told(desk)
    assert [each["publisher"] for each in told(desk)["items"]] == [None]
    for asked in ({}, {"max_items": 1}, {"ids": ["a"]}):
        assert [each.publisher for each in desk.items("news", ANN, **asked).entries] == [None]
    desk.retract("news", BEN, ["a"])  # the service knows whose it is
    assert desk.items("news", ANN).entries == []


@pytest.mark.row("P15", "S16")
def test_the_last_item_tells_it_too(desk: Desk) -> None:
    made(desk, "publisher")
    desk.configure("news", OWNER, form(send_last_published_item="on_sub"))
    desk.publish("news", BEN, [item("a")])
    desk.subscribe("news", CARL, CARL.jid)
    assert told(desk)["reply_to"] == [BEN.bare]
    assert "stamp" in told(desk)


@pytest.mark.row("P15")
def test_a_signal_says_whom_to_answer(owner: Any) -> None:
    heard: list[tuple[str, ...]] = []

    @owner.on_item_published.connect  # type: ignore[untyped-decorator]
    def note(*_about: object, message: Any, **_more: object) -> None:
        heard.append(message.reply_to)

    with owner:
        owner.subscribe(SERVICE, "news")
        owner.publish(SERVICE, "news", {"a": 1})
        wait_until(lambda: bool(heard), 10)
    assert heard == [("owner@example.org",)]
