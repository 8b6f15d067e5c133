"""Subscriber use cases: rows S1 to S16, U1 to U3, O1 to O5, D7 and W5."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from eventworker.pubsub.config import SubscribeOptions
from eventworker.pubsub.facts import Actor, Affiliated, Subscription
from eventworker.pubsub.rules import Affiliation, State
from tests.helpers.pubsub import ADMIN, ANN, BEN, OWNER, Desk, form, item, refused
from tests.helpers.pubsub_ear import Ear, Heard, let_leases_end, rows

CHIEF = "chief@example.org"


@pytest.fixture
def node(desk: Desk) -> str:
    return make(desk)


def make(desk: Desk, name: str = "news", **config: object) -> str:
    """A node with an owner who is somebody else's account."""
    desk.create(name, OWNER, form(**config))
    desk.change_node_affiliations(name, OWNER, [Affiliated(name, CHIEF, Affiliation.OWNER)])
    return name


def change(what: Affiliation, who: Actor = ANN) -> list[Affiliated]:
    return [Affiliated("news", who.bare, what)]


def told(jid: str, state: str, subid: str | None = None) -> Heard:
    content = {"jid": jid, "state": state, "subid": subid, "expires_at": None}
    return Heard("subscription", jid, content)


@pytest.mark.row("S2", "U1")
@pytest.mark.parametrize("jid", [ANN.jid, ANN.bare])
def test_a_subscription_is_of_a_full_or_a_bare_address(desk: Desk, node: str, jid: str) -> None:
    assert desk.subscribe(node, ANN, jid) == Subscription(node, jid, State.SUBSCRIBED)
    desk.unsubscribe(node, ANN, jid)
    assert desk.subscriptions(ANN) == []


@pytest.mark.row("S1")
@pytest.mark.parametrize("jid", ["", BEN.jid, "@", "ann@example.org.evil", "example.org"])
def test_nobody_subscribes_somebody_else(desk: Desk, node: str, jid: str) -> None:
    with refused("bad-request", "invalid-jid"):
        desk.subscribe(node, ANN, jid)
    assert rows(desk) == []


@pytest.mark.row("S1", "M4")
def test_an_admin_subscribes_anybody_and_who_it_is_hears_of_it(desk: Desk, node: str) -> None:
    ear = Ear(desk)
    assert desk.subscribe(node, ADMIN, BEN.jid).state is State.SUBSCRIBED
    assert ear.hears() == [told(BEN.jid, "subscribed")]
    desk.unsubscribe(node, ADMIN, BEN.jid)
    assert ear.hears() == [told(BEN.jid, "none")]


@pytest.mark.row("S1")
def test_the_case_of_letters_makes_no_other_subscriber(desk: Desk, node: str) -> None:
    desk.subscribe(node, ANN, "Ann@Example.ORG/desk")
    desk.unsubscribe(node, ANN, ANN.jid)
    assert rows(desk) == []


@pytest.mark.row("S3", "T6")
def test_with_the_model_presence_only_those_subscribe_who_share_theirs(desk: Desk) -> None:
    make(desk, access_model="presence")
    with refused("not-authorized", "presence-subscription-required"):
        desk.subscribe("news", ANN, ANN.jid)
    desk.presence_granted(ANN.bare)
    assert desk.subscribe("news", ANN, ANN.jid).state is State.SUBSCRIBED


@pytest.mark.row("S5")
def test_with_the_model_whitelist_only_members_subscribe(desk: Desk) -> None:
    make(desk, access_model="whitelist")
    with refused("not-allowed", "closed-node"):
        desk.subscribe("news", ANN, ANN.jid)
    desk.change_node_affiliations("news", OWNER, change(Affiliation.MEMBER))
    assert desk.subscribe("news", ANN, ANN.jid).state is State.SUBSCRIBED


@pytest.mark.row("S7", "S12")
def test_with_the_model_authorize_owners_are_asked_and_nothing_is_heard(desk: Desk) -> None:
    make(desk, access_model="authorize")
    ear, owner = Ear(desk), Ear(desk, OWNER.jid, name="owner")
    assert desk.subscribe("news", ANN, ANN.jid).state is State.PENDING
    asked = {"jid": ANN.jid, "subid": None}
    assert ear.hears() == [Heard("authorization", CHIEF, asked)]
    assert owner.hears() == [Heard("authorization", OWNER.bare, asked)]
    desk.publish("news", OWNER, [item("a")])
    assert ear.hears() == []
    with refused("not-authorized", "pending-subscription"):
        desk.subscribe("news", ANN, ANN.jid)
    assert len(rows(desk)) == 1


@pytest.mark.row("S7", "S12")
def test_who_waits_and_has_not_to_any_more_is_subscribed_by_asking_again(desk: Desk) -> None:
    make(desk, access_model="authorize")
    for actor in (ANN, BEN):
        desk.subscribe("news", actor, actor.jid)
    desk.configure("news", OWNER, form(access_model="open"))
    assert desk.subscribe("news", ANN, ANN.jid).state is State.SUBSCRIBED
    assert desk.subscribe("news", BEN, BEN.jid, form(deliver=0)).state is State.SUBSCRIBED
    assert not desk.subscription_options("news", BEN, BEN.jid).deliver
    assert len(rows(desk)) == 2


@pytest.mark.row("S12")
def test_members_and_admins_wait_for_nobody(desk: Desk) -> None:
    make(desk, access_model="authorize")
    desk.change_node_affiliations("news", OWNER, change(Affiliation.MEMBER))
    assert desk.subscribe("news", ANN, ANN.jid).state is State.SUBSCRIBED
    assert desk.subscribe("news", ADMIN, BEN.jid).state is State.SUBSCRIBED
    assert desk.subscribe("news", BEN, BEN.bare).state is State.SUBSCRIBED  # as he is already


@pytest.mark.row("S8")
@pytest.mark.parametrize("what", [Affiliation.OUTCAST, Affiliation.PUBLISH_ONLY])
def test_an_outcast_may_not_subscribe_nor_be_subscribed(desk: Desk, what: Affiliation) -> None:
    make(desk)
    desk.change_node_affiliations("news", OWNER, change(what))
    for actor in (ANN, ADMIN):
        with refused("forbidden"):
            desk.subscribe("news", actor, ANN.jid)
    assert rows(desk) == []


@pytest.mark.row("S9")
def test_an_address_has_only_so_many_subscriptions(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(max_subscriptions=2)
    for name in ("a", "b", "c"):
        make(desk, name)
    desk.subscribe("a", ANN, ANN.jid)
    desk.subscribe("b", ANN, ANN.bare)
    with refused("policy-violation", "too-many-subscriptions"):
        desk.subscribe("c", ANN, ANN.bare)
    desk.subscribe("b", ANN, ANN.bare)  # is not another one
    desk.delete("a", OWNER)
    desk.subscribe("c", ANN, ANN.bare)


@pytest.mark.row("S10")
def test_a_node_may_take_no_subscriptions(desk: Desk) -> None:
    make(desk, subscribe=0)
    with refused("feature-not-implemented", "unsupported", "subscribe"):
        desk.subscribe("news", ANN, ANN.jid)


@pytest.mark.row("S11", "X2")
def test_a_node_that_has_gone_says_where_to(desk: Desk, node: str) -> None:
    with refused("item-not-found"):
        desk.subscribe("other", ANN, ANN.jid)
    desk.delete(node, OWNER, "xmpp:pubsub.example.org?;node=new")
    with refused("gone"):
        desk.subscribe(node, ANN, ANN.jid)


@pytest.mark.row("S13")
def test_a_subscription_may_wait_for_its_options(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(without_options="wait")
    make(desk, send_last_published_item="on_sub")
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    for _ in range(2):
        made = desk.subscribe("news", ANN, ANN.jid)
        assert (made.state, made.options_required) == (State.UNCONFIGURED, True)
    desk.publish("news", OWNER, [item("b")])
    assert ear.hears() == []
    desk.set_subscription_options("news", ANN, ANN.jid, form(deliver=1))
    assert desk.subscriptions(ANN) == [Subscription("news", ANN.jid, State.SUBSCRIBED)]
    assert ear.items() == [(ANN.jid, "b")]
    assert desk.subscribe("news", BEN, BEN.jid, {}).state is State.SUBSCRIBED


@pytest.mark.row("S13")
def test_a_request_without_options_may_be_refused(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(without_options="refuse")
    make(desk)
    with refused("not-acceptable", "configuration-required"):
        desk.subscribe("news", ANN, ANN.jid)
    assert desk.subscribe("news", ANN, ANN.jid, form(deliver=1)).state is State.SUBSCRIBED


@pytest.mark.row("S14")
def test_asking_again_answers_with_the_subscription_that_is_there(desk: Desk, node: str) -> None:
    first = desk.subscribe(node, ANN, ANN.jid)
    assert first.subid is None
    assert desk.subscribe(node, ANN, ANN.jid, form(deliver=0)) == first
    assert len(rows(desk)) == 1
    assert not desk.subscription_options(node, ANN, ANN.jid).deliver


@pytest.mark.row("S14", "D7")
def test_with_multi_subscribe_every_subscription_shows_an_id_of_its_own(
    desk_with: Callable[..., Desk],
) -> None:
    desk = desk_with(multi_subscribe=True)
    make(desk)
    made = [desk.subscribe("news", ANN, ANN.jid) for _ in range(3)]
    assert len({each.subid for each in made}) == 3
    assert desk.subscriptions(ANN) == desk.node_subscriptions("news", OWNER)
    assert {each.subid for each in desk.subscriptions(ANN)} == {each.subid for each in made}


@pytest.mark.row("S16")
@pytest.mark.parametrize("when", ["on_sub", "on_sub_and_presence"])
def test_a_new_subscriber_is_sent_the_last_item_with_its_time(desk: Desk, when: str) -> None:
    make(desk, send_last_published_item=when)
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a"), item("b")])
    desk.subscribe("news", ANN, ANN.bare)
    (heard,) = ear.hears()
    assert (heard.word, heard.jid) == ("items", ANN.bare)
    (only,) = heard.content["items"]
    (last,) = desk.items("news", OWNER, max_items=1).entries
    assert only == {"id": "b", "payload": last.payload, "publisher": OWNER.bare}
    sent = datetime.fromisoformat(heard.content["stamp"])
    assert abs(sent - last.published_at) < timedelta(milliseconds=1)


@pytest.mark.row("S16")
@pytest.mark.parametrize(
    "config",
    [
        {"send_last_published_item": "never"},
        {"deliver_notifications": 0},
        {"persist_items": 0},
        {"access_model": "authorize"},
    ],
)
def test_no_last_item_is_sent_where_nobody_is_to_have_it(
    desk: Desk, config: dict[str, object]
) -> None:
    make(desk, **{"send_last_published_item": "on_sub", **config})
    desk.publish("news", OWNER, [item("a")])
    ear = Ear(desk)
    desk.subscribe("news", ANN, ANN.bare)
    assert ear.items() == []


@pytest.mark.row("S16")
def test_no_last_item_is_sent_of_a_node_that_keeps_none_any_more(desk: Desk) -> None:
    make(desk, send_last_published_item="on_sub")
    desk.publish("news", OWNER, [item("a")])
    desk.configure("news", OWNER, form(persist_items=0))
    ear = Ear(desk)
    desk.subscribe("news", ANN, ANN.bare)
    assert ear.items() == []


@pytest.mark.row("S16")
def test_the_last_item_comes_without_payload_where_none_are_delivered(desk: Desk) -> None:
    make(desk, send_last_published_item="on_sub", deliver_payloads=0)
    desk.publish("news", OWNER, [item("a")])
    ear = Ear(desk)
    desk.subscribe("news", ANN, ANN.bare)
    assert [each.content["items"][0]["payload"] for each in ear.hears()] == [None]


@pytest.mark.row("U2")
def test_of_several_subscriptions_one_is_named_by_its_id(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(multi_subscribe=True)
    make(desk)
    first, second = (desk.subscribe("news", ANN, ANN.jid) for _ in range(2))
    for verb in (desk.unsubscribe, desk.subscription_options):
        with refused("bad-request", "subid-required"):
            verb("news", ANN, ANN.jid)
        with refused("not-acceptable", "invalid-subid"):
            verb("news", ANN, ANN.jid, "nonsense")
    desk.set_subscription_options("news", ANN, ANN.jid, form(deliver=0), second.subid)
    assert desk.subscription_options("news", ANN, ANN.jid, first.subid).deliver
    assert not desk.subscription_options("news", ANN, ANN.jid, second.subid).deliver
    desk.unsubscribe("news", ANN, ANN.jid, first.subid)
    assert desk.subscriptions(ANN) == [second]
    with refused("not-acceptable", "invalid-subid"):
        desk.unsubscribe("news", ANN, ANN.jid, first.subid)
    desk.unsubscribe("news", ANN, ANN.jid)
    assert desk.subscriptions(ANN) == []


@pytest.mark.row("U2", "S14")
def test_an_id_is_not_heard_where_none_are_used(desk: Desk, node: str) -> None:
    desk.settings = replace(desk.settings, multi_subscribe=True)
    desk.subscribe(node, ANN, ANN.jid)
    desk.subscribe(node, ANN, ANN.jid)
    desk.settings = replace(desk.settings, multi_subscribe=False)
    desk.unsubscribe(node, ANN, ANN.jid, "nonsense")
    assert rows(desk) == []


@pytest.mark.row("U3")
def test_who_does_not_subscribe_cannot_unsubscribe(desk: Desk, node: str) -> None:
    desk.subscribe(node, ANN, ANN.jid)
    for jid in (ANN.bare, "ann@example.org/other"):
        with refused("unexpected-request", "not-subscribed"):
            desk.unsubscribe(node, ANN, jid)
    with refused("forbidden"):
        desk.unsubscribe(node, BEN, ANN.jid)
    with refused("item-not-found"):
        desk.unsubscribe("other", ANN, ANN.jid)
    assert len(rows(desk)) == 1


@pytest.mark.row("O1", "O3")
def test_options_are_kept_and_those_left_out_stay(desk: Desk, node: str) -> None:
    desk.subscribe(node, ANN, ANN.jid)
    desk.set_subscription_options(node, ANN, ANN.jid, form(include_body=1))
    desk.set_subscription_options(node, ANN, ANN.jid, form(deliver="false"))
    expected = SubscribeOptions(include_body=True, deliver=False)
    assert desk.subscription_options(node, ANN, ANN.jid) == expected


@pytest.mark.row("O2")
def test_the_options_of_a_subscription_are_its_owners_alone(desk: Desk, node: str) -> None:
    desk.subscribe(node, ANN, ANN.jid)

    def set_options(node: str, actor: Actor, jid: str) -> None:
        desk.set_subscription_options(node, actor, jid, form(deliver=0))

    for verb in (desk.subscription_options, set_options):
        with refused("forbidden"):
            verb(node, BEN, ANN.jid)
        with refused("bad-request", "jid-required"):
            verb(node, ANN, "")
        with refused("unexpected-request", "not-subscribed"):
            verb(node, ANN, ANN.bare)
        with refused("item-not-found"):
            verb("other", ANN, ANN.jid)
    assert desk.subscription_options(node, ADMIN, ANN.jid).deliver


@pytest.mark.row("O3")
@pytest.mark.parametrize(
    "wrong",
    [
        {"deliver": "maybe"},
        {"deliver": ["1", "0"]},
        {"expire": "tomorrow"},
        {"expire": "2001-01-01T00:00:00Z"},
        {"expire": "0001-01-01T00:00:00+23:00"},
        {"subscription_type": "all"},
        {"subscription_depth": "-1"},
    ],
)
def test_invalid_options_are_refused_and_change_nothing(
    desk: Desk, node: str, wrong: dict[str, object]
) -> None:
    with refused("bad-request", "invalid-options"):
        desk.subscribe(node, ANN, ANN.jid, form(**wrong))
    assert rows(desk) == []
    desk.subscribe(node, ANN, ANN.jid)
    before = rows(desk)
    with refused("bad-request", "invalid-options"):
        desk.set_subscription_options(node, ANN, ANN.jid, form(**wrong))
    assert rows(desk) == before


@pytest.mark.row("O3", "S10")
def test_what_a_form_has_beside_the_options_is_passed_over(desk: Desk, node: str) -> None:
    values = {"FORM_TYPE": ["x"], "pubsub#digest": ["1"], **form(deliver=1, expire="")}
    desk.subscribe(node, ANN, ANN.jid, values)
    assert desk.subscription_options(node, ANN, ANN.jid) == SubscribeOptions()


@pytest.mark.row("O4")
def test_options_come_with_the_request_to_subscribe(desk: Desk, node: str) -> None:
    ear = Ear(desk)
    desk.subscribe(node, ANN, ANN.jid, form(deliver=0))
    desk.subscribe(node, BEN, BEN.jid)
    desk.publish(node, OWNER, [item("a")])
    assert ear.items() == [(BEN.jid, "a")]


@pytest.mark.row("O5")
def test_default_options_are_those_of_who_configures_nothing(desk: Desk, node: str) -> None:
    assert desk.default_subscription_options(ANN) == SubscribeOptions()
    assert desk.default_subscription_options(ANN, node) == SubscribeOptions()
    make(desk, "brief", tempsub=1)
    assert desk.default_subscription_options(ANN, "brief").expire == "presence"
    with refused("item-not-found"):
        desk.default_subscription_options(ANN, "other")


@pytest.mark.row("D7")
def test_everybody_sees_his_own_subscriptions_of_all_his_resources(desk: Desk) -> None:
    make(desk, "b")
    make(desk, "a", access_model="authorize")
    assert desk.subscriptions(ANN) == []
    desk.subscribe("b", ANN, ANN.jid)
    desk.subscribe("b", ANN, ANN.bare)
    desk.subscribe("a", ANN, ANN.jid)
    desk.subscribe("b", BEN, BEN.jid)
    expected = [
        Subscription("a", ANN.jid, State.PENDING),
        Subscription("b", ANN.jid, State.SUBSCRIBED),
        Subscription("b", ANN.bare, State.SUBSCRIBED),
    ]
    assert desk.subscriptions(Actor("ann@example.org/elsewhere")) == expected
    assert desk.subscriptions(ANN, "a") == expected[:1]
    assert desk.subscriptions(BEN, "a") == []
    with refused("item-not-found"):
        desk.subscriptions(ANN, "other")
    desk.delete("b", OWNER)
    assert desk.subscriptions(ANN) == expected[:1]


@pytest.mark.row("N1")
def test_owners_may_hear_of_subscribers_who_come_and_go(desk: Desk) -> None:
    make(desk, notify_sub=1)
    ear = Ear(desk)
    desk.subscribe("news", ANN, ANN.jid)
    desk.unsubscribe("news", ANN, ANN.jid)
    assert [(each.jid, each.content["jid"], each.content["state"]) for each in ear.hears()] == [
        (CHIEF, ANN.jid, "subscribed"),
        (CHIEF, ANN.jid, "none"),
    ]
    chief = desk.settings.actor(CHIEF)
    desk.subscribe("news", chief, CHIEF)
    assert ear.hears() == []  # he knows


@pytest.mark.row("W5")
def test_a_subscription_of_an_address_that_is_gone_ends_at_once(desk: Desk) -> None:
    for name in ("a", "b"):
        make(desk, name)
        desk.subscribe(name, ANN, ANN.bare)
    desk.subscribe("a", ANN, ANN.jid)
    ear = Ear(desk)
    desk.bounced(ANN.bare, ["a"], gone=True)
    assert [(row.jid, row.node_id) for row in rows(desk)] == [
        (ANN.bare, rows(desk)[0].node_id),
        (ANN.jid, rows(desk)[1].node_id),
    ]
    desk.bounced(ANN.bare, None, gone=True)
    assert [row.jid for row in rows(desk)] == [ANN.jid]
    assert ear.hears() == []  # it would bounce again


@pytest.mark.row("W5")
def test_a_subscription_ends_when_too_much_has_come_back(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(max_bounces=3)
    make(desk)
    desk.subscribe("news", ANN, ANN.jid)
    for _ in range(2):
        desk.bounced(ANN.jid, ["news"], gone=False)
    desk.subscribe("news", ANN, ANN.jid)  # is there, so it counts from the start
    for _ in range(2):
        desk.bounced(ANN.jid, None, gone=False)
    desk.available(ANN.jid)
    for _ in range(2):
        desk.bounced(ANN.jid, ["news"], gone=False)
    assert len(rows(desk)) == 1
    desk.bounced(ANN.jid, ["news"], gone=False)
    assert rows(desk) == []
    desk.bounced(ANN.jid, ["news"], gone=False)  # what is still under way


@pytest.mark.row("O3", "S14")
def test_a_lease_is_no_longer_than_allowed_and_begins_anew_by_asking_again(
    desk_with: Callable[..., Desk],
) -> None:
    desk = desk_with(longest_lease=600)
    make(desk)
    now = datetime.now(UTC)
    for options in (None, form(expire="2999-01-01"), form(expire="presence")):
        let_leases_end(desk, -10)
        made = desk.subscribe("news", ANN, ANN.jid, options)
        assert timedelta(seconds=590) < made.expires_at - now < timedelta(seconds=660)
    soon = (now + timedelta(seconds=300)).replace(microsecond=0)
    made = desk.subscribe("news", ANN, ANN.jid, form(expire=soon.isoformat()))
    assert made.expires_at == desk.subscription_options("news", ANN, ANN.jid).expire == soon


@pytest.mark.row("S7")
def test_who_subscribes_after_the_end_of_his_lease_subscribes_anew(
    desk_with: Callable[..., Desk],
) -> None:
    desk = desk_with(longest_lease=600)
    make(desk, access_model="authorize")
    desk.subscribe("news", ANN, ANN.jid)
    let_leases_end(desk)
    (before,) = rows(desk)
    assert desk.subscribe("news", ANN, ANN.jid).state is State.PENDING
    (after,) = rows(desk)
    assert before.id != after.id or before.subid != after.subid
