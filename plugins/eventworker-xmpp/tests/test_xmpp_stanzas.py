"""Forms, errors, parts of lists and notifications, without a connection."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest
from eventworker_xmpp import forms, messages, paging
from eventworker_xmpp.bodies import body_of
from eventworker_xmpp.configured import options_of
from eventworker_xmpp.errors import error_element
from eventworker_xmpp.markup import written
from eventworker_xmpp.notifications import _WRITERS, Writer

from eventworker.errors import ConfigError
from eventworker.pubsub import options as pubsub
from eventworker.pubsub.config import NodeConfig, SubscribeOptions
from eventworker.pubsub.deliveries import Addressee, Delivery
from eventworker.pubsub.errors import PubSubError, unsupported
from eventworker.pubsub.facts import Page
from eventworker.pubsub.forms import filled_in
from eventworker.pubsub.notices import Word
from tests.helpers.configuration import configuration
from tests.helpers.pubsub_xml import (
    ERRORS,
    NODE_CONFIG,
    STANZAS,
    attributes,
    config,
    form,
    ids,
    texts,
    values,
)

AT = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
#: Every condition of the XEP's own that aioxmpp knows.
DETAILS = (
    "closed-node",
    "configuration-required",
    "invalid-jid",
    "invalid-options",
    "invalid-payload",
    "invalid-subid",
    "item-forbidden",
    "item-required",
    "jid-required",
    "max-items-exceeded",
    "max-nodes-exceeded",
    "nodeid-required",
    "not-in-roster-group",
    "not-subscribed",
    "payload-too-big",
    "payload-required",
    "pending-subscription",
    "presence-subscription-required",
    "subid-required",
    "too-many-subscriptions",
)


def delivery(word: Word, content: Mapping[str, Any], **fields: Any) -> Delivery:
    given: dict[str, Any] = {
        "id": 7,
        "node": "a & b",
        "audiences": ("a & b",),
        "listener": 1,
        "recipient": None,
        "made_at": AT,
        "notice_id": 3,
    }
    return Delivery(word=word, content=content, **(given | fields))


def items(*payloads: str | None, **more: Any) -> Delivery:
    entries = [
        {"id": str(number), "payload": payload, "publisher": "ann@a.b"}
        for number, payload in enumerate(payloads)
    ]
    return delivery(Word.ITEMS, {"items": entries}, **more)


def sent(
    told: Delivery,
    addressee: Addressee = Addressee("bob@a.b"),  # noqa: B008 - a constant
    *,
    subids: bool = False,
    max_bytes: int = 100_000,
) -> list[Element]:
    writer = Writer("pubsub.a.b", True, max_bytes)
    return [fromstring(each.to(addressee, subids)) for each in writer.messages(told)]


def test_a_form_that_is_shown_can_be_sent_back() -> None:
    shown = forms.shown(NodeConfig(title="<&>", contact=("a@b",)), NODE_CONFIG)
    back = fromstring(written(shown))

    assert filled_in(NodeConfig(), forms.filled(back, NODE_CONFIG), strict=True) == NodeConfig(
        title="<&>", contact=("a@b",)
    )
    kinds = {each.get("var"): each.get("type") for each in back if each.get("var")}
    assert kinds["pubsub#access_model"] == "list-single"
    assert kinds["FORM_TYPE"] == "hidden"


@pytest.mark.parametrize(
    "text",
    [
        form("urn:other", {"a": 1}),
        form(NODE_CONFIG, {"a": 1}, "nonsense"),
        config(title="t").replace("</x>", "<field var='pubsub#title'/></x>"),
        form(NODE_CONFIG, {"a": ["x"] * 10001}),
    ],
)
def test_a_form_that_is_none_of_this_kind_is_refused(text: str) -> None:
    with pytest.raises(PubSubError, match="bad-request"):
        forms.filled(fromstring(text), NODE_CONFIG)


def test_a_form_without_a_type_and_fields_without_a_name_are_taken() -> None:
    text = "<x xmlns='jabber:x:data'><field/><field var='a'><value>1</value></field></x>"
    assert forms.filled(fromstring(text), NODE_CONFIG) == {"a": ["1"]}


@pytest.mark.parametrize("detail", DETAILS)
def test_every_condition_of_the_xep_is_written_in_its_namespace(detail: str) -> None:
    error = fromstring(written(error_element(PubSubError("not-acceptable", detail))))
    assert [each.tag for each in error] == [f"{{{STANZAS}}}not-acceptable", f"{{{ERRORS}}}{detail}"]
    assert error.get("type") == "modify"


def test_an_error_says_what_is_unsupported_and_where_to_go() -> None:
    made = error_element(unsupported("purge-nodes"))
    assert attributes(made, "unsupported", "feature") == [("purge-nodes",)]
    gone = error_element(PubSubError("gone", uri="xmpp:a?;node=b", text="x" * 1000))
    assert texts(gone, ["gone"]) == ["xmpp:a?;node=b"]
    assert texts(gone, ["text"]) == ["x" * 300]


@pytest.mark.parametrize(
    ("page", "first", "expected"),
    [
        (None, 0, "abcde"),
        (Page(limit=2), 0, "ab"),
        (Page(limit=0), 0, ""),
        (Page(limit=2, after="b"), 2, "cd"),
        (Page(limit=2, before="d"), 1, "bc"),
        (Page(limit=2, before=""), 3, "de"),
        (Page(limit=2, index=4), 4, "e"),
        (Page(limit=9, after="e"), 5, ""),
    ],
)
def test_a_part_of_a_list(page: Page | None, first: int, expected: str) -> None:
    part = paging.part_of("abcde", page, str)
    assert (part.first, "".join(part.entries), part.total) == (first, expected, 5)


def test_a_part_after_what_is_not_there_is_not_found() -> None:
    with pytest.raises(PubSubError, match="item-not-found"):
        paging.part_of("abcde", Page(after="x"), str)


@pytest.mark.row("P3", "P5", "W4")
def test_a_message_differs_only_in_whom_it_goes_to_and_what_he_wants() -> None:
    told = items("<a xmlns='urn:a'/>", config=NodeConfig(notification_type="normal"))
    (plain,) = sent(told)
    (with_ids,) = sent(told, Addressee("b'&<@a.b", ("1", "2")), subids=True)

    assert (plain.get("type"), plain.get("to")) == ("normal", "bob@a.b")
    assert plain.get("id") == with_ids.get("id") == f"n-7-{int(AT.timestamp() * 1000):x}"
    assert with_ids.get("to") == "b'&<@a.b"
    assert texts(with_ids[-1], ["header"]) == ["1", "2"]
    assert attributes(plain, "header", "name") == []


@pytest.mark.row("T7")
def test_a_body_is_for_those_who_want_one_and_for_payloads_that_are_known() -> None:
    entry = "<entry xmlns='http://www.w3.org/2005/Atom'><title>News</title></entry>"
    event = """<json xmlns='urn:xmpp:json:0'>{"type": "t", "subject": "s"}</json>"""
    reader = Addressee("bob@a.b", (), SubscribeOptions(include_body=True))

    (message,) = sent(items(entry, event, "<a xmlns='urn:a'/>"), reader)

    assert texts(message, ["body"]) == ["News\nt s"]
    assert texts(sent(items(entry))[0], ["body"]) == []
    for unknown in (None, "no xml", "<json xmlns='urn:xmpp:json:0'>[</json>"):
        assert body_of(unknown) == ""


def test_what_has_no_room_in_one_message_goes_into_several_or_without_payload() -> None:
    payload = f"<a xmlns='urn:a'>{'x' * 1500}</a>"
    told = sent(items(*[payload] * 5, f"<a xmlns='urn:a'>{'x' * 9000}</a>"), max_bytes=7200)

    assert [key for message in told for key in ids(message)] == ["0", "1", "2", "3", "4", "5"]
    assert len(told) == 3
    assert len({message.get("id") for message in told}) == 3
    large = next(each for each in told[-1].iter() if each.get("id") == "5")
    assert len(large) == 0


def test_a_configuration_that_has_no_room_in_a_message_is_told_without_its_values() -> None:
    fields = {"pubsub#title": ["News"], "pubsub#description": ["&" * 3000]}
    told = delivery(Word.CONFIGURATION, {"fields": fields})

    assert values(sent(told)[0])["title"] == ["News"]
    (short,) = sent(told, max_bytes=10_000)
    assert attributes(short, "configuration", "node") == [("a & b",)]
    assert [each for each in short.iter() if each.tag.endswith("}x")] == []


@pytest.mark.row("P5")
def test_no_message_is_larger_than_it_may_be_whatever_its_names_are() -> None:
    odd = "&" * 512
    told = items(*[f"<a xmlns='urn:a'>{'x' * 3000}</a>"] * 9, node=odd, audiences=(odd, f"{odd}'"))
    subids = tuple(f"{number:016x}" for number in range(1000))
    greedy = Addressee("'" * 200 + "@a.b/" + "'" * 190, subids, collections=(f"{odd}'",))

    made = [each.to(greedy, True) for each in Writer("pubsub.a.b", True, 20_000).messages(told)]

    assert max(map(len, made)) <= 20_000
    for each in made:
        said = texts(fromstring(each), ["header"])
        assert said[:3] == [f"{odd}'", *subids[:2]]


def test_there_is_a_message_for_every_kind_of_notice() -> None:
    assert set(_WRITERS) == set(Word)


def test_a_payload_that_lost_its_namespace_would_not_be_it() -> None:
    (message,) = sent(items("<a><b/></a>"))
    assert [each.tag for each in message.iter() if each.tag in ("a", "b")] == ["a", "b"]


def test_a_message_is_remembered_for_its_node_and_not_for_ever() -> None:
    remembered = messages.Sent(most=2)
    for number in range(3):
        remembered.note(f"n-{number}", (f"node {number}",))
    assert [remembered.nodes(f"n-{number}") for number in range(3)] == [
        None,
        ("node 1",),
        ("node 2",),
    ]


def test_the_options_say_what_is_wrong_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = configuration()
    with pytest.raises(ConfigError, match=r"\[xmpp\] secret is not set"):
        options_of(conf)
    monkeypatch.setenv("OS_XMPP__SECRET", "env:NOT_THERE")
    with pytest.raises(ConfigError, match=r"\[xmpp\] secret: .*NOT_THERE"):
        options_of(conf)
    conf.set_override("secret", "s", group="xmpp")
    pubsub.register(conf)
    conf.set_override("service", "ann@example.org", group="pubsub")
    with pytest.raises(ConfigError, match=r"\[pubsub\] service: ann@example.org is no address"):
        options_of(conf)
