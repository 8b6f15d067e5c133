"""What owners do with subscriptions: rows Q1 to Q3, M1 to M4 and A5."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from eventworker.pubsub.facts import Actor, Affiliated, Subscription
from eventworker.pubsub.rules import Affiliation, State
from tests.helpers.pubsub import ADMIN, ANN, BEN, OWNER, Desk, form, item, refused
from tests.helpers.pubsub_ear import Ear, Heard, rows

CHIEF = "chief@example.org"


def make(desk: Desk, name: str = "news", **config: object) -> str:
    desk.create(name, OWNER, form(**config))
    return name


def to(state: State, jid: str, subid: str | None = None) -> Subscription:
    return Subscription("news", jid, state, subid)


def states(desk: Desk) -> dict[str, str]:
    return {row.jid: row.state for row in rows(desk)}


@pytest.mark.row("M1")
def test_owners_see_who_subscribes_and_not_who_waits(desk: Desk) -> None:
    make(desk)
    desk.subscribe("news", BEN, BEN.jid)
    desk.subscribe("news", ANN, ANN.jid)
    desk.configure("news", OWNER, form(access_model="authorize"))
    desk.subscribe("news", Actor("carl@example.org"), "carl@example.org")
    expected = [to(State.SUBSCRIBED, ANN.jid), to(State.SUBSCRIBED, BEN.jid)]
    assert desk.node_subscriptions("news", OWNER) == expected
    desk.change_node_subscriptions("news", OWNER, [to(State.UNCONFIGURED, BEN.jid)])
    (_, second) = desk.node_subscriptions("news", ADMIN)
    assert (second.state, second.options_required) == (State.UNCONFIGURED, True)


@pytest.mark.row("A5", "M1", "Q3")
@pytest.mark.parametrize("what", [each for each in Affiliation if each is not Affiliation.OWNER])
def test_only_owners_manage_subscriptions(desk: Desk, what: Affiliation) -> None:
    make(desk)
    desk.subscribe("news", ANN, ANN.jid)
    desk.change_node_affiliations("news", OWNER, [Affiliated("news", BEN.bare, what)])
    for ask in (
        lambda: desk.node_subscriptions("news", BEN),
        lambda: desk.change_node_subscriptions("news", BEN, [to(State.NONE, ANN.jid)]),
        lambda: desk.resend_pending("news", BEN),
        lambda: desk.decide("news", BEN, ANN.jid, None, True),
    ):
        with refused("forbidden"):
            ask()
    assert states(desk) == {ANN.jid: "subscribed"}


@pytest.mark.row("M2", "M4")
def test_a_change_concerns_those_who_are_named_and_they_hear_of_it(desk: Desk) -> None:
    make(desk, send_last_published_item="on_sub")
    desk.publish("news", OWNER, [item("a")])
    for actor in (ANN, BEN):
        desk.subscribe("news", actor, actor.jid)
    ear = Ear(desk)
    changes = [to(State.NONE, ANN.jid), to(State.SUBSCRIBED, "new@example.org")]
    assert desk.change_node_subscriptions("news", OWNER, changes) == []
    assert states(desk) == {BEN.jid: "subscribed", "new@example.org": "subscribed"}
    heard = ear.hears()
    assert [(each.word, each.jid) for each in heard] == [
        ("subscription", ANN.jid),
        ("subscription", "new@example.org"),
        ("items", "new@example.org"),
    ]
    assert [each.content.get("state") for each in heard] == ["none", "subscribed", None]


@pytest.mark.row("M2")
def test_what_is_so_already_is_no_change(desk: Desk) -> None:
    make(desk)
    desk.subscribe("news", ANN, ANN.jid)
    ear = Ear(desk)
    changes = [to(State.SUBSCRIBED, ANN.jid), to(State.NONE, BEN.jid)]
    assert desk.change_node_subscriptions("news", OWNER, changes) == []
    assert (ear.hears(), states(desk)) == ([], {ANN.jid: "subscribed"})


@pytest.mark.row("M3")
def test_what_cannot_be_changed_is_named_as_it_still_is_and_the_rest_is_changed(
    desk: Desk,
) -> None:
    make(desk)
    desk.change_node_affiliations(
        "news", OWNER, [Affiliated("news", "out@example.org", Affiliation.OUTCAST)]
    )
    desk.subscribe("news", ANN, ANN.jid)
    changes = [
        to(State.PENDING, ANN.jid),
        to(State.SUBSCRIBED, "out@example.org/x"),
        to(State.UNCONFIGURED, "nobody@example.org"),
        to(State.SUBSCRIBED, "@nonsense"),
        to(State.SUBSCRIBED, BEN.jid),
    ]
    assert desk.change_node_subscriptions("news", OWNER, changes) == [
        to(State.SUBSCRIBED, ANN.jid),
        to(State.NONE, "out@example.org/x"),
        to(State.NONE, "nobody@example.org"),
        to(State.NONE, "@nonsense"),
    ]
    assert states(desk) == {ANN.jid: "subscribed", BEN.jid: "subscribed"}


@pytest.mark.row("M3")
def test_an_owner_subscribes_nobody_to_too_many_nodes(desk_with: Callable[..., Desk]) -> None:
    desk = desk_with(max_subscriptions=1)
    make(desk)
    make(desk, "other")
    desk.change_node_subscriptions("other", OWNER, [to(State.SUBSCRIBED, ANN.jid)])
    still = desk.change_node_subscriptions("news", OWNER, [to(State.SUBSCRIBED, ANN.jid)])
    assert still == [to(State.NONE, ANN.jid)]


@pytest.mark.row("S9", "M3")
@pytest.mark.parametrize("by", [OWNER, ADMIN])
def test_what_others_subscribe_somebody_to_takes_him_nothing(
    desk_with: Callable[..., Desk], by: Actor
) -> None:
    desk = desk_with(max_subscriptions=2, creators="everyone")
    for name in ("a", "b", "mine", "mine too"):
        make(desk, name)
    for name in ("a", "b"):
        desk.change_node_subscriptions(name, by, [to(State.SUBSCRIBED, ANN.bare)])
    for name in ("mine", "mine too"):
        desk.subscribe(name, ANN, ANN.bare)
    with refused("policy-violation", "too-many-subscriptions"):
        desk.subscribe("a", ANN, ANN.jid)


@pytest.mark.row("M3")
def test_nobody_is_named_twice(desk: Desk) -> None:
    make(desk)
    with refused("bad-request"):
        desk.change_node_subscriptions("news", OWNER, [to(State.NONE, ANN.jid)] * 2)


@pytest.mark.row("M3", "S14")
def test_of_several_subscriptions_the_one_that_is_named_is_changed(
    desk_with: Callable[..., Desk],
) -> None:
    desk = desk_with(multi_subscribe=True)
    make(desk)
    first, second = (desk.subscribe("news", ANN, ANN.jid) for _ in range(2))
    assert desk.change_node_subscriptions("news", OWNER, [to(State.NONE, ANN.jid)]) == [first]
    wrong = to(State.NONE, ANN.jid, "nonsense")
    assert desk.change_node_subscriptions("news", OWNER, [wrong]) == [wrong]
    only = to(State.NONE, ANN.jid, first.subid)
    assert desk.change_node_subscriptions("news", OWNER, [only]) == []
    assert desk.node_subscriptions("news", OWNER) == [second]


@pytest.mark.row("Q2")
@pytest.mark.parametrize(("allow", "state"), [(True, "subscribed"), (False, "none")])
def test_an_owner_decides_and_who_asked_hears_of_it(desk: Desk, allow: bool, state: str) -> None:
    make(desk, access_model="authorize")
    desk.subscribe("news", ANN, ANN.jid)
    desk.subscribe("news", BEN, BEN.jid)
    ear = Ear(desk)
    assert desk.decide("news", OWNER, ANN.jid, None, allow)
    (heard,) = ear.hears()
    assert (heard.word, heard.jid, heard.content["state"]) == ("subscription", ANN.jid, state)
    expected = {BEN.jid: "pending"} | ({ANN.jid: "subscribed"} if allow else {})
    assert states(desk) == expected


@pytest.mark.row("Q2")
def test_a_second_decision_changes_nothing(desk: Desk) -> None:
    make(desk, access_model="authorize")
    desk.subscribe("news", ANN, ANN.jid)
    desk.decide("news", OWNER, ANN.jid, None, True)
    ear = Ear(desk)
    assert not desk.decide("news", OWNER, ANN.jid, None, False)
    assert not desk.decide("news", OWNER, BEN.jid, None, True)
    assert (ear.hears(), states(desk)) == ([], {ANN.jid: "subscribed"})


@pytest.mark.row("Q1", "Q2")
def test_the_id_of_a_request_is_asked_and_answered_where_ids_are_used(
    desk_with: Callable[..., Desk],
) -> None:
    desk = desk_with(multi_subscribe=True)
    make(desk, access_model="authorize")
    owner = Ear(desk, OWNER.jid)
    made = desk.subscribe("news", ANN, ANN.jid)
    asked = {"jid": ANN.jid, "subid": made.subid}
    assert owner.hears() == [Heard("authorization", OWNER.bare, asked)]
    assert not desk.decide("news", OWNER, ANN.jid, "nonsense", True)
    assert desk.decide("news", OWNER, ANN.jid, made.subid, True)


@pytest.mark.row("Q2", "S13")
def test_who_is_approved_and_has_set_no_options_has_still_to_do_so(
    desk_with: Callable[..., Desk],
) -> None:
    desk = desk_with(without_options="wait")
    make(desk, access_model="authorize")
    desk.subscribe("news", ANN, ANN.jid)
    desk.subscribe("news", BEN, BEN.jid, {})
    for actor in (ANN, BEN):
        desk.decide("news", OWNER, actor.jid, None, True)
    assert states(desk) == {ANN.jid: "unconfigured", BEN.jid: "subscribed"}


@pytest.mark.row("Q3")
def test_owners_find_the_nodes_with_requests_and_are_asked_again(desk: Desk) -> None:
    for name in ("b", "a", "c"):
        make(desk, name, access_model="authorize")
    for name in ("a", "b"):
        desk.subscribe(name, ANN, ANN.jid)
        desk.subscribe(name, BEN, BEN.jid)
    desk.change_node_affiliations("a", OWNER, [Affiliated("a", CHIEF, Affiliation.OWNER)])
    chief = desk.settings.actor(CHIEF + "/laptop")
    assert desk.pending_nodes(OWNER) == desk.pending_nodes(ADMIN) == ["a", "b"]
    assert desk.pending_nodes(chief) == ["a"]
    assert desk.pending_nodes(ANN) == []
    ear = Ear(desk)
    desk.resend_pending("a", chief)
    assert ear.hears() == [
        Heard("authorization", chief.jid, {"jid": jid, "subid": None}) for jid in (ANN.jid, BEN.jid)
    ]
    with refused("item-not-found"):
        desk.resend_pending("other", chief)


@pytest.mark.row("Q3")
def test_an_owner_is_not_asked_about_any_number_of_requests_at_once(desk: Desk) -> None:
    make(desk, access_model="authorize")
    for number in range(120):
        desk.subscribe("news", ANN, f"{ANN.bare}/{number}")
    ear = Ear(desk)
    desk.resend_pending("news", desk.settings.actor(OWNER.jid))
    with desk.service() as service:
        service.resend_pending("news", Actor(CHIEF, is_admin=True))
    desk.settings = replace(desk.settings, admins=frozenset({CHIEF}))
    assert [each.jid for each in ear.hears()] == [CHIEF] * 100


@pytest.mark.row("Q1", "M4")
def test_who_is_no_owner_any_more_hears_nothing_of_others_subscriptions(desk: Desk) -> None:
    make(desk, access_model="authorize", notify_sub="1")
    desk.change_node_affiliations("news", OWNER, [Affiliated("news", CHIEF, Affiliation.OWNER)])
    ear = Ear(desk)
    desk.subscribe("news", ANN, ANN.jid)
    desk.change_node_subscriptions("news", ADMIN, [to(State.SUBSCRIBED, ANN.jid)])
    desk.change_node_affiliations("news", OWNER, [Affiliated("news", CHIEF, Affiliation.NONE)])

    heard = [(each.word, each.jid) for each in ear.hears()]

    assert heard == [("subscription", ANN.jid), ("affiliation", CHIEF)]


@pytest.mark.row("U1", "S12")
def test_a_request_can_be_taken_back(desk: Desk) -> None:
    make(desk, access_model="authorize")
    desk.subscribe("news", ANN, ANN.jid)
    desk.unsubscribe("news", ANN, ANN.jid)
    assert desk.pending_nodes(OWNER) == []
