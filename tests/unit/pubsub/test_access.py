"""Who may do what, and who is told: every access model, publish model and affiliation. Rows S3 to
S8, S12, I1, P10 and the table of section 6."""

import pytest

from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Affiliated
from eventworker.pubsub.jid import domain
from eventworker.pubsub.rules import (
    AccessModel,
    Action,
    Affiliation,
    PublishModel,
    Standing,
    State,
    may,
)
from tests.helpers.pubsub import ADMIN, ANN, OWNER, Desk, form, item, read_roster
from tests.helpers.pubsub_ear import Ear

OWNER_DOMAIN = domain(OWNER.jid)
YES = None
NO = "forbidden"
CLOSED = "not-allowed closed-node"
UNSEEN = "not-authorized presence-subscription-required"
UNLISTED = "not-authorized not-in-roster-group"
STRANGER = "not-authorized not-subscribed"

#: What each affiliation may do whatever the models are; None where they decide.
FIXED = {
    # subscribe, retrieve, publish, retract own, retract any, purge, configure, delete, manage
    Affiliation.OWNER: (YES,) * 9,
    Affiliation.PUBLISHER: (YES, YES, YES, YES, NO, NO, NO, NO, NO),
    Affiliation.PUBLISH_ONLY: (NO, NO, YES, YES, NO, NO, NO, NO, NO),
    Affiliation.MEMBER: (YES, YES, "model", "model", NO, NO, NO, NO, NO),
    Affiliation.NONE: ("model", "model", "model", "model", NO, NO, NO, NO, NO),
    Affiliation.OUTCAST: (NO,) * 9,
}
#: To subscribe and to retrieve, for those who are nothing to the node.
BY_ACCESS = {
    AccessModel.OPEN: (YES, YES),
    AccessModel.PRESENCE: (UNSEEN, UNSEEN),
    AccessModel.ROSTER: (UNLISTED, UNLISTED),
    AccessModel.AUTHORIZE: (YES, STRANGER),
    AccessModel.WHITELIST: (CLOSED, CLOSED),
}
BY_PUBLISH = {PublishModel.OPEN: YES, PublishModel.PUBLISHERS: NO, PublishModel.SUBSCRIBERS: NO}
#: Whom a node of the model roster admits.
FRIENDS = {"roster_groups_allowed": "friends"}


def expected(
    access: AccessModel, publish: PublishModel, affiliation: Affiliation, action: Action
) -> str | None:
    fixed = FIXED[affiliation][list(Action).index(action)]
    if fixed != "model":
        return fixed
    if action is Action.SUBSCRIBE:
        return BY_ACCESS[access][0]
    return BY_ACCESS[access][1] if action is Action.RETRIEVE else BY_PUBLISH[publish]


def answer(call: object, *args: object) -> str | None:
    try:
        call(*args)  # type: ignore[operator]
    except PubSubError as error:
        return " ".join(filter(None, (error.condition, error.detail)))
    return None


@pytest.mark.row("S3", "S4", "S5", "S8", "I1", "P10")
@pytest.mark.parametrize("affiliation", list(Affiliation))
@pytest.mark.parametrize("access", list(AccessModel))
def test_the_rules_are_those_of_the_table(access: AccessModel, affiliation: Affiliation) -> None:
    for publish in PublishModel:
        for action in Action:
            wanted = expected(access, publish, affiliation, action)
            assert answer(may, access, publish, Standing(affiliation), action) == wanted
            admin = Standing(affiliation, is_admin=True)
            assert answer(may, access, publish, admin, action) is None


@pytest.mark.row("S3", "S4", "S12", "I1", "P10")
def test_presence_a_subscription_and_a_group_open_what_they_are_for() -> None:
    for model, standing in (
        (AccessModel.PRESENCE, Standing(has_presence=True)),
        (AccessModel.AUTHORIZE, Standing(subscribed=True)),
        (AccessModel.ROSTER, Standing(is_in_group=True)),
    ):
        for action in (Action.SUBSCRIBE, Action.RETRIEVE):
            assert answer(may, model, PublishModel.PUBLISHERS, standing, action) is None
    subscriber = Standing(subscribed=True)
    for publish, wanted in ((PublishModel.SUBSCRIBERS, YES), (PublishModel.PUBLISHERS, NO)):
        for access in AccessModel:
            assert answer(may, access, publish, subscriber, Action.PUBLISH) == wanted


@pytest.mark.row("S3", "S8", "P10")
@pytest.mark.parametrize("affiliation", [Affiliation.OUTCAST, Affiliation.PUBLISH_ONLY])
def test_nothing_helps_whom_his_affiliation_keeps_out(affiliation: Affiliation) -> None:
    standing = Standing(affiliation, subscribed=True, has_presence=True, is_in_group=True)
    for access in AccessModel:
        for publish in PublishModel:
            for action in (Action.SUBSCRIBE, Action.RETRIEVE):
                assert answer(may, access, publish, standing, action) == NO
            wanted = NO if affiliation is Affiliation.OUTCAST else YES
            assert answer(may, access, publish, standing, Action.PUBLISH) == wanted


@pytest.mark.row("S3", "S4", "S5", "S8", "S12", "I1", "P10")
@pytest.mark.parametrize("access", list(AccessModel))
def test_the_service_does_as_the_rules_say(desk: Desk, access: AccessModel) -> None:
    desk.rosters_granted(OWNER_DOMAIN, 60)
    for affiliation in Affiliation:
        for publish in PublishModel:
            node = f"{affiliation} {publish}"
            desk.create(node, OWNER, form(access_model=access, publish_model=publish))
            desk.change_node_affiliations(node, OWNER, [Affiliated(node, ANN.bare, affiliation)])
            verbs = {
                Action.RETRIEVE: lambda node=node: desk.items(node, ANN),
                Action.PUBLISH: lambda node=node: desk.publish(node, ANN, [item("own")]),
                Action.RETRACT_OWN: lambda node=node: desk.retract(node, ANN, ["own"]),
                Action.SUBSCRIBE: lambda node=node: desk.subscribe(node, ANN, ANN.jid),
                Action.PURGE: lambda node=node: desk.purge(node, ANN),
                Action.CONFIGURE: lambda node=node: desk.configure(node, ANN, {}),
                Action.MANAGE: lambda node=node: desk.node_subscriptions(node, ANN),
                Action.DELETE: lambda node=node: desk.delete(node, ANN),
            }
            for action, verb in verbs.items():
                wanted = expected(access, publish, affiliation, action)
                assert answer(verb) == wanted, (node, action)


@pytest.mark.row("S12")
@pytest.mark.parametrize("affiliation", list(Affiliation))
def test_who_has_to_be_approved_is_not_subscribed(desk: Desk, affiliation: Affiliation) -> None:
    desk.create("news", OWNER, form(access_model="authorize"))
    desk.change_node_affiliations("news", OWNER, [Affiliated("news", ANN.bare, affiliation)])
    wanted = expected(AccessModel.OPEN, PublishModel.OPEN, affiliation, Action.SUBSCRIBE)
    if wanted is not None:
        assert answer(desk.subscribe, "news", ANN, ANN.jid) == wanted
        return
    state = State.PENDING if affiliation is Affiliation.NONE else State.SUBSCRIBED
    assert desk.subscribe("news", ANN, ANN.jid).state is state
    subscribed = None if state is State.SUBSCRIBED else STRANGER
    assert answer(desk.items, "news", ANN) == subscribed


@pytest.mark.row("S4", "S8", "I1")
@pytest.mark.parametrize("affiliation", list(Affiliation))
def test_a_group_opens_a_node_to_those_who_are_not_barred(
    desk: Desk, affiliation: Affiliation
) -> None:
    desk.rosters_granted(OWNER_DOMAIN, 60)
    desk.create("news", OWNER, form(access_model="roster", **FRIENDS))
    desk.change_node_affiliations("news", OWNER, [Affiliated("news", ANN.bare, affiliation)])
    read_roster(desk, (ANN.bare, "friends"))
    for action, verb in (
        (Action.RETRIEVE, lambda: desk.items("news", ANN)),
        (Action.SUBSCRIBE, lambda: desk.subscribe("news", ANN, ANN.jid)),
    ):
        wanted = expected(AccessModel.OPEN, PublishModel.PUBLISHERS, affiliation, action)
        assert answer(verb) == wanted
    if wanted is None:
        ear = Ear(desk)
        desk.publish("news", OWNER, [item("a")])
        assert ear.items() == [(ANN.jid, "a")]


@pytest.mark.row("S3", "S4", "S5", "S8", "S12")
@pytest.mark.parametrize("access", list(AccessModel))
def test_who_has_lost_his_access_is_told_nothing(desk: Desk, access: AccessModel) -> None:
    """Whatever was published while he had it: he is looked at when he is told."""
    desk.rosters_granted(OWNER_DOMAIN, 60)
    for affiliation in Affiliation:
        node = str(affiliation)
        desk.create(node, OWNER)
        desk.subscribe(node, ANN, ANN.jid)
    ear = Ear(desk)
    for affiliation in Affiliation:
        node = str(affiliation)
        desk.publish(node, OWNER, [item(node)])
        desk.configure(node, OWNER, form(access_model=access))
        desk.change_node_affiliations(node, OWNER, [Affiliated(node, ANN.bare, affiliation)])
    told = {name for _, name in ear.items()}
    assert told == {
        str(affiliation)
        for affiliation in Affiliation
        # An approved subscription is all that this model asks for.
        if (affiliation is Affiliation.NONE and access is AccessModel.AUTHORIZE)
        or expected(access, PublishModel.OPEN, affiliation, Action.RETRIEVE) is None
    }


@pytest.mark.row("S1", "S5")
def test_admins_are_told_of_nodes_that_are_closed(desk: Desk) -> None:
    desk.settings = type(desk.settings)(admins=frozenset({ADMIN.bare}))
    desk.create("news", OWNER, form(access_model="whitelist"))
    desk.subscribe("news", ADMIN, ADMIN.bare)
    ear = Ear(desk)
    desk.publish("news", OWNER, [item("a")])
    assert ear.items() == [(ADMIN.bare, "a")]
