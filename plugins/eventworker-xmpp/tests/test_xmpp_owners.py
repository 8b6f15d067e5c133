"""What owners ask for, and how they are refused (section 8)."""

from __future__ import annotations

import pytest

from tests.helpers.pubsub_xml import (
    DATA,
    NODE_CONFIG,
    PUBSUB,
    Refusal,
    attributes,
    config,
    create,
    done,
    form,
    generic,
    ids,
    item,
    owner,
    publish,
    refusal,
    refused,
    subscribe,
    tag,
    values,
)
from tests.helpers.slixmpp_client import SlixmppClient

COMMANDS = "http://jabber.org/protocol/commands"


def affiliate(node: str, *pairs: tuple[str, str]) -> str:
    entries = "".join(tag("affiliation", None, jid=jid, affiliation=to) for jid, to in pairs)
    return owner(tag("affiliations", node, entries))


def enroll(node: str, *pairs: tuple[str, str]) -> str:
    entries = "".join(tag("subscription", None, jid=jid, subscription=to) for jid, to in pairs)
    return owner(tag("subscriptions", node, entries))


@pytest.mark.row("C1", "C2", "C3")
def test_nodes_are_created_with_and_without_a_name_and_a_configuration(
    alice: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node, title="A title")))
    shown = values(done(alice.ask("get", owner(tag("configure", node)))))
    assert (shown["title"], shown["access_model"]) == (["A title"], ["open"])
    ((instant,),) = attributes(done(alice.ask("set", generic("<create/>"))), "create", "node")
    assert instant
    assert instant != node

    assert refusal(alice.ask("set", create(node))) == Refusal("conflict", None, "cancel")
    wrong = alice.ask("set", create(f"{node}/2", access_model="roster"))
    assert refused(wrong) == ("not-acceptable", "unsupported-access-model")
    named = generic(tag("create", f"{node}/3") + tag("configure", f"{node}/3", config(title="t")))
    assert refused(alice.ask("set", named)) == ("bad-request", None)
    assert refused(alice.ask("set", create("x" * 600))) == ("not-acceptable", None)


@pytest.mark.row("N1", "N2")
def test_every_field_is_shown_and_kept(alice: SlixmppClient, node: str) -> None:
    done(alice.ask("set", create(node)))
    wanted: dict[str, object] = {
        "language": "de",
        "roster_groups_allowed": ["friends", "family"],
        "contact": ["alice@localhost", "bob@localhost"],
        "description": "one\ntwo",
        "item_expire": "max",
        "publish_node_full": "reject",
    }
    done(alice.ask("set", owner(tag("configure", node, config(**wanted)))))

    shown = values(done(alice.ask("get", owner(tag("configure", node)))))

    assert shown["FORM_TYPE"] == [NODE_CONFIG]
    for name, value in wanted.items():
        assert shown[name] == (value if isinstance(value, list) else [value]), name
    # As some clients do: everything that was shown is sent back.
    del shown["FORM_TYPE"]
    everything = form(NODE_CONFIG, {f"pubsub#{name}": value for name, value in shown.items()})
    done(alice.ask("set", owner(tag("configure", node, everything))))
    again = values(done(alice.ask("get", owner(tag("configure", node)))))
    again.pop("FORM_TYPE")
    assert again == shown


@pytest.mark.row("N2", "N3")
def test_wrong_configurations_change_nothing(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    def attempt(inside: str, by: SlixmppClient = alice) -> tuple[str, str | None]:
        return refused(by.ask("set", owner(tag("configure", node, inside))))

    done(alice.ask("set", create(node, title="kept")))
    assert attempt(config(title="new", max_items="many")) == ("not-acceptable", None)
    unheard = ("not-acceptable", "unsupported-access-model")
    assert attempt(config(title="new", access_model="who knows")) == unheard
    assert attempt(config(title="new"), bob) == ("forbidden", None)
    assert attempt("") == ("bad-request", None)
    assert attempt(form("urn:other", {"pubsub#title": "new"})) == ("bad-request", None)
    twice = f"<field var='pubsub#title'><value>{1}</value></field>" * 2
    assert attempt(f"<x xmlns='{DATA}' type='submit'>{twice}</x>") == ("bad-request", None)
    done(alice.ask("set", owner(tag("configure", node, form(NODE_CONFIG, {}, "cancel")))))
    unknown = form(NODE_CONFIG, {"pubsub#unheard_of": "1", "other#field": "2"})
    done(alice.ask("set", owner(tag("configure", node, unknown))))

    assert refused(alice.ask("get", owner("<configure/>"))) == ("bad-request", "nodeid-required")
    assert refused(bob.ask("get", owner(tag("configure", node)))) == ("forbidden", None)
    shown = values(alice.ask("get", owner(tag("configure", node))))
    assert shown["title"] == ["kept"]


@pytest.mark.row("N5")
def test_the_default_configuration_is_shown(bob: SlixmppClient) -> None:
    assert values(done(bob.ask("get", owner("<default/>"))))["node_type"] == ["leaf"]
    answer = done(bob.ask("get", owner("<default type='collection'/>")))
    assert values(answer)["node_type"] == ["collection"]


@pytest.mark.row("X1", "X2", "S11", "G1", "A5")
def test_nodes_are_purged_and_deleted_by_owners_only(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    done(alice.ask("set", publish(node, item("1"))))
    for verb in ("purge", "delete"):
        assert refusal(bob.ask("set", owner(tag(verb, node)))) == Refusal("forbidden", None, "auth")
    for verb in ("subscriptions", "affiliations"):
        assert refused(bob.ask("get", owner(tag(verb, node)))) == ("forbidden", None)

    done(alice.ask("set", owner(tag("purge", node))))
    assert ids(done(alice.ask("get", generic(tag("items", node))))) == []
    redirect = "<redirect uri='xmpp:elsewhere.localhost?;node=x'/>"
    done(alice.ask("set", owner(tag("delete", node, redirect))))

    gone = bob.ask("set", subscribe(node, bob.bare))
    assert refused(gone) == ("gone", None)
    (element,) = gone.iter("{urn:ietf:params:xml:ns:xmpp-stanzas}gone")
    assert element.text == "xmpp:elsewhere.localhost?;node=x"
    assert refused(alice.ask("set", owner(tag("delete", f"{node}/no")))) == (
        "item-not-found",
        None,
    )


@pytest.mark.row("M1", "M2", "M3", "W6")
def test_subscriptions_of_others_are_changed_one_by_one(
    alice: SlixmppClient, bob: SlixmppClient, carol: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    done(alice.ask("set", enroll(node, (bob.bare, "subscribed"), (carol.bare, "subscribed"))))
    outcast = affiliate(node, (carol.bare, "outcast"))
    done(alice.ask("set", outcast))

    answer = alice.ask("set", enroll(node, (carol.bare, "subscribed"), (bob.bare, "none")))

    assert refused(answer) == ("not-acceptable", None)
    assert attributes(answer, "subscription", "jid", "subscription") == [(carol.bare, "none")]
    listed = done(alice.ask("get", owner(tag("subscriptions", node))))
    assert attributes(listed, "subscriptions", "node") == [(node,)]
    assert attributes(listed, "subscription", "jid") == []
    unchanged = owner(tag("subscriptions", node, tag("subscription", None, jid=bob.bare)))
    done(alice.ask("set", unchanged))
    assert refused(alice.ask("set", enroll(node, (bob.bare, "perhaps"))))[0] == "bad-request"
    assert refused(alice.ask("set", enroll(node, ("@", "subscribed"))))[0] == "jid-malformed"


@pytest.mark.row("A1", "A2", "A3", "A5", "W6")
def test_affiliations_are_changed_one_by_one(
    alice: SlixmppClient, bob: SlixmppClient, carol: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    done(alice.ask("set", affiliate(node, (bob.jid, "publisher"), (carol.bare, "member"))))
    listed = done(alice.ask("get", owner(tag("affiliations", node))))
    assert attributes(listed, "affiliations", "node") == [(node,)]
    assert set(attributes(listed, "affiliation", "jid", "affiliation")) == {
        (alice.bare, "owner"),
        (bob.bare, "publisher"),
        (carol.bare, "member"),
    }

    answer = alice.ask("set", affiliate(node, (alice.bare, "none"), (carol.bare, "none")))
    assert refused(answer) == ("not-acceptable", None)
    assert attributes(answer, "affiliation", "jid", "affiliation") == [(alice.bare, "owner")]
    listed = done(alice.ask("get", owner(tag("affiliations", node))))
    assert (carol.bare,) not in attributes(listed, "affiliation", "jid")
    twice = affiliate(node, (bob.bare, "member"), (bob.bare, "none"))
    assert refused(alice.ask("set", twice)) == ("bad-request", None)
    unheard = refusal(alice.ask("set", affiliate(node, (bob.bare, "king"))))
    assert unheard == Refusal(
        "feature-not-implemented", "unsupported", "cancel", "king-affiliation"
    )
    assert refused(bob.ask("set", affiliate(node, (bob.bare, "owner")))) == ("forbidden", None)


def answered(client: SlixmppClient, asked: object, allow: str) -> None:
    """Fill in the form that an owner was sent, and send it back."""
    fields = values(asked)  # type: ignore[arg-type]
    del fields["FORM_TYPE"]
    fields["allow"] = [allow]
    filled = form(
        f"{PUBSUB}#subscribe_authorization",
        {f"pubsub#{name}": value for name, value in fields.items()},
    ).replace("&", "&amp;")
    key = asked.get("id")  # type: ignore[attr-defined]
    client.send(f"<message to='{client.service}' id='{key}'>{filled}</message>")


@pytest.mark.row("S12", "Q1", "Q2")
def test_an_owner_is_asked_and_lets_in_or_not(
    alice: SlixmppClient, bob: SlixmppClient, carol: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node, access_model="authorize")))
    for client, allow, state in ((bob, "1", "subscribed"), (carol, "false", "none")):
        done(client.ask("set", subscribe(node, client.bare)))
        asked = alice.wait_for(
            lambda stanza, who=client.bare: (
                any(each.text == who for each in stanza.iter())  # type: ignore[misc]
                and bool(attributes(stanza, "field", "var"))
                and any(each.text == node for each in stanza.iter())
            )
        )
        assert values(asked)["FORM_TYPE"] == [f"{PUBSUB}#subscribe_authorization"]
        assert values(asked)["subscriber_jid"] == [client.bare]
        answered(alice, asked, allow)
        message = client.message(node)
        assert attributes(message, "subscription", "jid", "subscription") == [(client.bare, state)]


@pytest.mark.row("Q1")
def test_a_form_of_a_stranger_is_refused_and_changes_nothing(
    alice: SlixmppClient, bob: SlixmppClient, carol: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node, access_model="authorize")))
    done(bob.ask("set", subscribe(node, bob.bare)))
    asked = alice.message(node)

    answered(carol, asked, "1")

    error = carol.wait_for(
        lambda stanza: stanza.get("id") == asked.get("id") and stanza.get("type") == "error"
    )
    assert refused(error) == ("forbidden", None)
    mine = done(bob.ask("get", generic(tag("subscriptions", node))))
    assert attributes(mine, "subscription", "subscription") == [("pending",)]


@pytest.mark.row("Q3")
def test_an_owner_has_the_requests_sent_again_by_a_command(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    def command(inside: str = "", **attributes: str) -> str:
        return tag("command", f"{PUBSUB}#get-pending", inside, xmlns=COMMANDS, **attributes)

    done(alice.ask("set", create(node, access_model="authorize")))
    done(bob.ask("set", subscribe(node, bob.bare)))
    alice.message(node)

    first = done(alice.ask("set", command(action="execute")))
    ((session, status),) = attributes(first, "command", "sessionid", "status")
    assert status == "executing"
    assert session
    offered = [each.text for each in first.iter(f"{{{DATA}}}value")]
    assert node in offered
    chosen = form(f"{PUBSUB}#subscribe_authorization", {"pubsub#node": node.replace("&", "&amp;")})
    last = done(alice.ask("set", command(chosen, sessionid=session)))
    assert attributes(last, "command", "status", "sessionid") == [("completed", session)]

    assert values(alice.message(node, 2))["subscriber_jid"] == [bob.bare]
    assert refused(bob.ask("set", command(chosen))) == ("forbidden", None)
    cancelled = done(alice.ask("set", command(action="cancel", sessionid=session)))
    assert attributes(cancelled, "command", "status") == [("canceled",)]
    other = tag("command", "urn:other", xmlns=COMMANDS)
    assert refused(alice.ask("set", other)) == ("item-not-found", None)
