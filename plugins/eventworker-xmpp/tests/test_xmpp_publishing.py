"""What publishers ask for, and how they are refused (section 7)."""

from __future__ import annotations

import pytest

from tests.helpers.pubsub_xml import (
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
    tag,
    texts,
)
from tests.helpers.slixmpp_client import SlixmppClient


def published(client: SlixmppClient, node: str, *items: str) -> list[str | None]:
    return ids(done(client.ask("set", publish(node, *items))))


def kept(client: SlixmppClient, node: str) -> list[str | None]:
    return ids(done(client.ask("get", generic(tag("items", node)))))


@pytest.mark.row("P1", "P2", "P4")
def test_an_item_has_an_id_and_a_publisher(alice: SlixmppClient, node: str) -> None:
    done(alice.ask("set", create(node)))

    made = published(alice, node, item())
    assert made[0]
    assert published(alice, node, item("1")) == ["1"]
    assert published(
        alice, node, "<item id='1' publisher='bob@localhost'><b xmlns='urn:b'/></item>"
    )
    found = done(alice.ask("get", generic(tag("items", node))))

    assert attributes(found, "item", "id", "publisher") == [
        (made[0], alice.bare),
        ("1", alice.bare),
    ]
    assert [child.tag for each in found.iter(f"{{{PUBSUB}}}item") for child in each] == [
        "{urn:a}a",
        "{urn:b}b",
    ]


@pytest.mark.row("T1")
@pytest.mark.parametrize(
    "name",
    [
        "Straße/ 猫\U0001f408/'\"<&>",
        " begins and ends with a space ",
        "two  spaces",
        "ÄÖ",
        "x" * 512,
    ],
)
def test_names_of_nodes_and_items_come_back_as_they_were(alice: SlixmppClient, name: str) -> None:
    done(alice.ask("set", create(name)))
    published(alice, name, tag("item", None, "<a xmlns='urn:a'/>", id=name))

    found = done(alice.ask("get", generic(tag("items", name))))

    assert attributes(found, "items", "node") == [(name,)]
    assert ids(found) == [name]


def test_a_payload_keeps_its_namespaces_its_attributes_and_its_text(
    alice: SlixmppClient, node: str
) -> None:
    payload = (
        "<e:entry xmlns:e='urn:e' xmlns:f='urn:f' f:a='1' b='&quot;&apos;' xml:lang='de'>"
        "a &lt; b &amp;&amp; c<none xmlns=''>deep</none>  tail\n</e:entry>"
    )
    done(alice.ask("set", create(node)))
    published(alice, node, item("1", payload))

    found = done(alice.ask("get", generic(tag("items", node))))

    (entry,) = found.iter("{urn:e}entry")
    assert entry.attrib == {
        "{urn:f}a": "1",
        "b": "\"'",
        "{http://www.w3.org/XML/1998/namespace}lang": "de",
    }
    assert entry.text == "a < b && c"
    assert (entry[0].tag, entry[0].text, entry[0].tail) == ("none", "deep", "  tail\n")


@pytest.mark.row("P6", "P7", "P8", "P9", "P10", "P11")
def test_what_a_node_is_not_for_is_refused(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    def attempt(name: str, *items: str, by: SlixmppClient = alice, **fields: object) -> Refusal:
        if fields:
            done(alice.ask("set", create(name, **fields)))
        return refusal(by.ask("set", publish(name, *items)))

    assert attempt(f"{node}/1", title="t") == Refusal("bad-request", "item-required", "modify")
    assert attempt(f"{node}/1", item("1", ""))[:2] == ("bad-request", "payload-required")
    two = item("1", "<a xmlns='urn:a'/><b xmlns='urn:b'/>")
    assert attempt(f"{node}/1", two)[:2] == ("bad-request", "invalid-payload")
    transient = {"persist_items": 0, "deliver_payloads": 0}
    assert attempt(f"{node}/2", item("1"), **transient)[:2] == ("bad-request", "item-forbidden")
    done(alice.ask("set", publish(f"{node}/2")))
    assert attempt(f"{node}/3", item("1"), type="urn:b")[:2] == ("bad-request", "invalid-payload")
    big = item("1", f"<a xmlns='urn:a'>{'x' * 200}</a>")
    assert attempt(f"{node}/4", big, max_payload_size=100)[:2] == (
        "not-acceptable",
        "payload-too-big",
    )
    assert attempt(f"{node}/1", item("1"), by=bob)[:2] == ("forbidden", None)
    assert attempt(f"{node}/none", item("1"))[:2] == ("item-not-found", None)
    assert attempt(f"{node}/1", "<entry/>")[:2] == ("bad-request", None)
    assert refused(alice.ask("set", generic(f"<publish>{item('1')}</publish>"))) == (
        "bad-request",
        "nodeid-required",
    )


@pytest.mark.row("P12")
def test_publish_options_are_conditions(alice: SlixmppClient, node: str) -> None:
    def attempt(**fields: object) -> str:
        wanted = {f"pubsub#{name}": value for name, value in fields.items()}
        asked = form(f"{PUBSUB}#publish-options", wanted)
        beside = tag("publish-options", None, asked)
        return generic(tag("publish", node, item("1")) + beside)

    done(alice.ask("set", create(node, title="t")))
    done(alice.ask("set", attempt(access_model="open", title="t")))
    unmet = ("conflict", "precondition-not-met")
    assert refused(alice.ask("set", attempt(access_model="whitelist"))) == unmet
    assert refused(alice.ask("set", attempt(what="ever"))) == unmet


@pytest.mark.row("P13", "P14")
def test_a_full_node_makes_room_or_refuses(alice: SlixmppClient, node: str) -> None:
    done(alice.ask("set", create(node, max_items=2)))
    for key in ("1", "2", "3"):
        published(alice, node, item(key))
    assert kept(alice, node) == ["2", "3"]
    done(alice.ask("set", owner(tag("configure", node, config(publish_node_full="reject")))))

    full = alice.ask("set", publish(node, item("4")))
    assert refusal(full) == Refusal("conflict", "node-full", "cancel")
    many = alice.ask("set", publish(node, item("4"), item("5"), item("6")))
    assert refusal(many) == Refusal("not-allowed", "max-items-exceeded", "cancel")
    assert kept(alice, node) == ["2", "3"]


@pytest.mark.row("P14")
def test_a_batch_is_published_as_a_whole_or_not_at_all(alice: SlixmppClient, node: str) -> None:
    done(alice.ask("set", create(node)))
    assert published(alice, node, item("1"), item("2")) == ["1", "2"]

    alice.ask("set", publish(node, item("3"), item("4", "")))

    assert kept(alice, node) == ["1", "2"]


@pytest.mark.row("R1", "R2", "R3")
def test_items_are_retracted_by_those_who_may(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    def attempt(client: SlixmppClient, name: str | None, *keys: str) -> tuple[str, str | None]:
        inside = "".join(f"<item id='{key}'/>" for key in keys)
        return refused(client.ask("set", generic(tag("retract", name, inside))))

    done(alice.ask("set", create(node, publish_model="open")))
    published(alice, node, item("1"))
    published(bob, node, item("2"))

    assert attempt(bob, node, "1") == ("forbidden", None)
    assert attempt(alice, node, "no") == ("item-not-found", None)
    assert attempt(alice, node) == ("bad-request", "item-required")
    assert attempt(alice, None, "1") == ("bad-request", "nodeid-required")
    assert attempt(alice, f"{node}/none", "1") == ("item-not-found", None)
    done(bob.ask("set", generic(tag("retract", node, "<item id='2'/>"))))
    done(alice.ask("set", generic(tag("retract", node, "<item id='1'/>", notify="true"))))
    assert kept(alice, node) == []
    wrong = alice.ask("set", generic(tag("retract", node, "<item id='1'/>", notify="maybe")))
    assert refused(wrong) == ("bad-request", None)


@pytest.mark.row("R2")
def test_what_is_not_kept_is_not_retracted(alice: SlixmppClient, node: str) -> None:
    done(alice.ask("set", create(node, persist_items=0)))
    answer = alice.ask("set", generic(tag("retract", node, "<item id='1'/>")))
    assert refusal(answer).feature == "persistent-items"
    assert texts(answer, ["text"]) in ([], [None])
