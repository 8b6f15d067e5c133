"""What clients find out about the service and its nodes, through a real server."""

from __future__ import annotations

import pytest

from tests.helpers.slixmpp_client import SlixmppClient

INFO, ITEMS = "http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items"
PUBSUB = "http://jabber.org/protocol/pubsub"


@pytest.mark.row("D1", "D2")
def test_the_service_says_that_it_is_one_and_what_it_can_do(alice: SlixmppClient) -> None:
    answer = alice.ask("get", f"<query xmlns='{INFO}'/>")

    identity = answer[0].find(f"{{{INFO}}}identity")
    features = {each.get("var") for each in answer[0].iter(f"{{{INFO}}}feature")}
    assert identity is not None
    assert (identity.get("category"), identity.get("type")) == ("pubsub", "service")
    assert {PUBSUB, INFO, ITEMS, f"{PUBSUB}#publish", f"{PUBSUB}#access-open"} <= features
