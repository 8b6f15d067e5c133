"""What subscribers ask for, and how they are refused (section 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.helpers.pubsub_xml import (
    OPTIONS,
    Refusal,
    attributes,
    create,
    done,
    form,
    generic,
    ids,
    item,
    options,
    owner,
    publish,
    refusal,
    refused,
    subscribe,
    tag,
    texts,
    values,
)
from tests.helpers.slixmpp_client import SlixmppClient
from tests.helpers.xmpp import ComponentProcess, Loop
from tests.servers import XmppServer

RSM = "http://jabber.org/protocol/rsm"


@pytest.fixture(scope="module")
def several(
    xmpp_server: XmppServer,
    new_component: Callable[..., ComponentProcess],
) -> Iterator[ComponentProcess]:
    """A component that lets an address subscribe to a node more than once."""
    settings = {"multi_subscribe": True, "max_subscriptions": 3}
    with new_component(xmpp_server, jid="several.localhost", pubsub=settings) as process:
        yield process


@pytest.fixture(scope="module")
def reader(
    several: ComponentProcess, xmpp_server: XmppServer, loop: Loop
) -> Iterator[SlixmppClient]:
    """A client that speaks to it."""
    with SlixmppClient(loop, xmpp_server, "carol@localhost/several", several.jid) as client:
        yield client


@pytest.mark.row("S1", "U3", "O2")
def test_nobody_subscribes_or_unsubscribes_somebody_else(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    done(alice.ask("set", subscribe(node, alice.bare)))

    foreign = bob.ask("set", subscribe(node, alice.bare))
    assert refusal(foreign) == Refusal("bad-request", "invalid-jid", "modify")
    assert refused(bob.ask("set", subscribe(node, ""))) == ("bad-request", "invalid-jid")
    for kind, verb in (("set", "unsubscribe"), ("get", "options")):
        answer = bob.ask(kind, generic(tag(verb, node, jid=alice.bare)))
        assert refusal(answer) == Refusal("forbidden", None, "auth")


@pytest.mark.row("S1")
def test_an_admin_subscribes_others(
    slixmpp_clients: Callable[[str], SlixmppClient], alice: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    answer = done(slixmpp_clients("dave").ask("set", subscribe(node, alice.bare)))
    assert attributes(answer, "subscription", "jid", "subscription") == [(alice.bare, "subscribed")]


@pytest.mark.row("S5", "S7", "S8", "S10", "S11", "S12")
def test_who_may_not_subscribe_is_told_why(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    def attempt(name: str, **fields: object) -> Refusal:
        if fields:
            done(alice.ask("set", create(name, **fields)))
        return refusal(bob.ask("set", subscribe(name, bob.bare)))

    closed = attempt(f"{node}/closed", access_model="whitelist")
    assert closed == Refusal("not-allowed", "closed-node", "cancel")
    absent = attempt(f"{node}/presence", access_model="presence")
    assert absent == Refusal("not-authorized", "presence-subscription-required", "auth")
    off = attempt(f"{node}/off", subscribe=0)
    assert off == Refusal("feature-not-implemented", "unsupported", "cancel", "subscribe")
    assert attempt(f"{node}/none") == Refusal("item-not-found", None, "cancel")
    done(alice.ask("set", create(f"{node}/asks", access_model="authorize")))
    first = done(bob.ask("set", subscribe(f"{node}/asks", bob.bare)))
    assert attributes(first, "subscription", "subscription") == [("pending",)]
    again = attempt(f"{node}/asks")
    assert again == Refusal("not-authorized", "pending-subscription", "auth")
    outcast = tag("affiliation", None, jid=bob.bare, affiliation="outcast")
    done(alice.ask("set", owner(tag("affiliations", f"{node}/asks", outcast))))
    assert attempt(f"{node}/asks") == Refusal("forbidden", None, "auth")


@pytest.mark.row("S14")
def test_a_second_request_answers_with_the_subscription_that_is_there(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    for _ in range(2):
        answer = done(bob.ask("set", subscribe(node, bob.bare)))
        assert attributes(answer, "subscription", "node", "jid", "subscription", "subid") == [
            (node, bob.bare, "subscribed", None)
        ]
    found = bob.ask("get", generic(tag("subscriptions", node)))
    assert len(attributes(found, "subscription", "jid")) == 1


@pytest.mark.row("O1", "O3", "O4", "O5")
def test_options_are_shown_set_and_given_at_once(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    default = values(done(bob.ask("get", generic(tag("default", node)))))
    assert (default["FORM_TYPE"], default["deliver"]) == ([OPTIONS], ["1"])

    beside = tag("options", None, options(deliver="false"))
    made = done(bob.ask("set", subscribe(node, bob.bare, beside)))
    assert values(made)["deliver"] == ["0"]
    about = {"node": node, "jid": bob.bare}
    asked = generic(tag("options", **about))
    assert values(done(bob.ask("get", asked)))["deliver"] == ["0"]

    done(bob.ask("set", generic(tag("options", inside=options(deliver="true"), **about))))
    cancelled = form(OPTIONS, {}, "cancel")
    done(bob.ask("set", generic(tag("options", inside=cancelled, **about))))
    assert values(done(bob.ask("get", asked)))["deliver"] == ["1"]


@pytest.mark.row("O2", "O3")
def test_wrong_options_are_refused(alice: SlixmppClient, bob: SlixmppClient, node: str) -> None:
    done(alice.ask("set", create(node)))

    def attempt(kind: str, inside: str = "", **about: str | None) -> tuple[str, str | None]:
        return refused(bob.ask(kind, generic(tag("options", inside=inside, **about))))

    mine = {"node": node, "jid": bob.bare}
    assert attempt("get", **mine) == ("unexpected-request", "not-subscribed")
    assert attempt("get", node=node) == ("bad-request", "jid-required")
    assert attempt("get", jid=bob.bare) == ("bad-request", "nodeid-required")
    assert attempt("get", node=f"{node}/no", jid=bob.bare) == ("item-not-found", None)
    done(bob.ask("set", subscribe(node, bob.bare)))
    wrong = ("bad-request", "invalid-options")
    assert attempt("set", **mine) == wrong
    assert attempt("set", options(deliver="perhaps"), **mine) == wrong
    assert attempt("set", options(expire="1999-01-01T00:00:00Z"), **mine) == wrong


@pytest.mark.row("S9", "S14", "U2", "O2", "I6")
def test_several_subscriptions_have_ids_that_have_to_be_named(
    reader: SlixmppClient, node: str
) -> None:
    done(reader.ask("set", create(node)))
    found = [done(reader.ask("set", subscribe(node, reader.bare))) for _ in range(2)]
    subids = [attributes(each, "subscription", "subid")[0][0] for each in found]
    assert len({*subids, None}) == 3

    for kind, verb in (("set", "unsubscribe"), ("get", "options")):
        none = reader.ask(kind, generic(tag(verb, node, jid=reader.bare)))
        assert refusal(none) == Refusal("bad-request", "subid-required", "modify")
        wrong = reader.ask(kind, generic(tag(verb, node, jid=reader.bare, subid="no")))
        assert refusal(wrong) == Refusal("not-acceptable", "invalid-subid", "modify")
    assert refused(reader.ask("get", generic(tag("items", node)))) == (
        "bad-request",
        "subid-required",
    )
    done(reader.ask("get", generic(tag("items", node, subid=subids[0]))))

    done(reader.ask("set", subscribe(node, reader.jid)))
    full = reader.ask("set", subscribe(node, reader.jid))
    assert refusal(full) == Refusal("policy-violation", "too-many-subscriptions", "wait")
    for subid in subids:
        done(reader.ask("set", generic(tag("unsubscribe", node, jid=reader.bare, subid=subid))))
    done(reader.ask("set", generic(tag("unsubscribe", node, jid=reader.jid))))


@pytest.mark.row("P5", "S15")
def test_who_has_several_subscriptions_is_told_once_and_by_which(
    reader: SlixmppClient, node: str
) -> None:
    done(reader.ask("set", create(node)))
    made = [done(reader.ask("set", subscribe(node, reader.bare))) for _ in range(2)]
    subids = {attributes(each, "subscription", "subid")[0][0] for each in made}
    done(reader.ask("set", subscribe(node, reader.jid)))

    done(reader.ask("set", publish(node, item("1"))))

    reader.message(node, 2)
    reader.settle()
    to_bare = [each for each in reader.messages(node) if each.get("to") == reader.bare]
    assert len(reader.messages(node)) == 2
    (message,) = to_bare
    headers = message[-1]
    assert headers.tag == "{http://jabber.org/protocol/shim}headers"
    assert attributes(headers, "header", "name") == [("SubID",), ("SubID",)]
    assert set(texts(headers, ["header"])) == subids


@pytest.mark.row("U2")
def test_a_subid_that_nobody_needs_is_not_looked_at(bob: SlixmppClient, node: str) -> None:
    done(bob.ask("set", create(node)))
    done(bob.ask("set", subscribe(node, bob.bare)))
    done(bob.ask("set", generic(tag("unsubscribe", node, jid=bob.bare, subid="no"))))


@pytest.mark.row("I1", "I6")
def test_items_are_for_those_who_have_access(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    def attempt(name: str, **fields: object) -> tuple[str, str | None]:
        done(alice.ask("set", create(name, **fields)))
        return refused(bob.ask("get", generic(tag("items", name))))

    assert attempt(f"{node}/closed", access_model="whitelist") == ("not-allowed", "closed-node")
    asks = attempt(f"{node}/asks", access_model="authorize")
    assert asks == ("not-authorized", "not-subscribed")
    absent = attempt(f"{node}/presence", access_model="presence")
    assert absent == ("not-authorized", "presence-subscription-required")
    transient = attempt(f"{node}/transient", persist_items=0)
    assert transient == ("feature-not-implemented", "unsupported")
    missing = bob.ask("get", generic(tag("items", f"{node}/none")))
    assert refused(missing) == ("item-not-found", None)
    assert refused(bob.ask("get", generic("<items/>"))) == ("bad-request", "nodeid-required")


@pytest.mark.row("I2", "I3", "I4", "I5")
def test_items_are_given_as_they_are_asked_for(alice: SlixmppClient, node: str) -> None:
    done(alice.ask("set", create(node)))
    empty = done(alice.ask("get", generic(tag("items", node))))
    assert attributes(empty, "items", "node") == [(node,)]
    assert ids(empty) == []
    done(alice.ask("set", publish(node, *(item(str(number)) for number in range(5)))))

    def asked(inside: str = "", beside: str = "", **attributes: str) -> list[str | None]:
        return ids(
            done(alice.ask("get", generic(tag("items", node, inside, **attributes) + beside)))
        )

    assert asked() == ["0", "1", "2", "3", "4"]
    assert asked(max_items="2") == ["4", "3"]
    assert asked("<item id='3'/><item id='0'/><item id='no'/>") == ["0", "3"]
    assert asked(beside=f"<set xmlns='{RSM}'><max>2</max><after>1</after></set>") == ["2", "3"]
    assert asked(beside=f"<set xmlns='{RSM}'><max>2</max><before/></set>") == ["3", "4"]
    wrong = alice.ask("get", generic(tag("items", node, max_items="-1")))
    assert refused(wrong) == ("bad-request", None)


@pytest.mark.row("I2")
def test_items_that_have_no_room_in_a_stanza_are_fetched_page_by_page(
    alice: SlixmppClient, node: str
) -> None:
    done(alice.ask("set", create(node)))
    large = f"<a xmlns='urn:a'>{'x' * 60000}</a>"
    for number in range(5):
        done(alice.ask("set", publish(node, item(str(number), large))))
    found: list[str | None] = []
    after = ""
    while True:
        page = f"<set xmlns='{RSM}'><max>50</max>{after}</set>"
        answer = done(alice.ask("get", generic(tag("items", node) + (page if after else ""))))
        if not ids(answer):
            break
        found += ids(answer)
        assert len(ids(answer)) < 5
        assert texts(answer, ["count"]) == ["5"]
        after = f"<after>{found[-1]}</after>"

    assert found == ["0", "1", "2", "3", "4"]
