"""Subscriptions that last for a time (section 12.18 of XEP-0060)."""

from collections.abc import Callable

import pytest

from tests.helpers.pubsub import ANN, BEN, OWNER, Desk, form, item, refused
from tests.helpers.pubsub_ear import Ear, let_leases_end, rows


@pytest.fixture
def leased(desk_with: Callable[..., Desk]) -> Desk:
    """A service with a node that Ann subscribes to for an hour, and Ben for good."""
    desk = desk_with(lease_reminder=60)
    desk.create("news", OWNER, form(notify_sub=1))
    desk.subscribe("news", ANN, ANN.jid, form(expire="2999-01-01T00:00:00Z"))
    desk.subscribe("news", BEN, BEN.jid)
    return desk


def test_a_subscription_ends_with_its_lease_and_who_held_it_hears_of_it(leased: Desk) -> None:
    ear = Ear(leased)
    let_leases_end(leased, -30)
    assert leased.end_leases() == 0
    let_leases_end(leased)
    assert leased.end_leases() == 1
    assert leased.end_leases() == 0
    assert [row.jid for row in rows(leased)] == [BEN.jid]
    (heard,) = ear.hears()
    assert (heard.jid, heard.content["state"]) == (ANN.jid, "none")


def test_nothing_is_heard_after_the_end_of_a_lease(leased: Desk) -> None:
    ear = Ear(leased)
    let_leases_end(leased)
    leased.publish("news", OWNER, [item("a")])
    assert ear.items() == [(BEN.jid, "a")]
    assert leased.subscriptions(ANN) == []
    assert [each.jid for each in leased.node_subscriptions("news", OWNER)] == [BEN.jid]


def test_a_subscriber_is_reminded_once_before_the_end_of_his_lease(leased: Desk) -> None:
    ear = Ear(leased)
    assert leased.remind_leases() == 0
    let_leases_end(leased, -30)
    assert leased.remind_leases() == 1
    assert leased.remind_leases() == 0
    (heard,) = ear.hears()
    assert (heard.word, heard.jid, heard.content["state"]) == (
        "subscription",
        ANN.jid,
        "subscribed",
    )
    (ann, _) = rows(leased)
    assert heard.content["expires_at"][:19] == ann.expires_at.isoformat()[:19]


def test_a_lease_that_was_renewed_is_another_one(leased: Desk) -> None:
    for _ in range(2):
        let_leases_end(leased, -30)
        assert leased.remind_leases() == 1
        leased.set_subscription_options("news", ANN, ANN.jid, form(expire="2999-01-01T00:00:00Z"))
        assert leased.remind_leases() == 0


def test_a_lease_that_is_over_is_not_renewed_by_the_options(leased: Desk) -> None:
    leased.configure("news", OWNER, form(access_model="authorize"))
    let_leases_end(leased)
    with refused("unexpected-request", "not-subscribed"):
        leased.set_subscription_options("news", ANN, ANN.jid, form(expire="2999-01-01T00:00:00Z"))
    assert leased.subscribe("news", ANN, ANN.jid).state == "pending"


def test_nobody_is_reminded_where_the_service_does_not_remind(
    desk_with: Callable[..., Desk],
) -> None:
    desk = desk_with(lease_reminder=0)
    desk.create("news", OWNER)
    desk.subscribe("news", ANN, ANN.jid, form(expire="2999-01-01T00:00:00Z"))
    let_leases_end(desk)
    assert desk.remind_leases() == 0
