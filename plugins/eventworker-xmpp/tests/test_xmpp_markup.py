"""Reading and writing XML, without a connection."""

from __future__ import annotations

from xml.etree.ElementTree import Element, canonicalize, fromstring

import pytest
from eventworker_xmpp.markup import element, written
from eventworker_xmpp.parsing import (
    Closed,
    Opened,
    Stanza,
    StreamParser,
    Unreadable,
    parsed,
)
from hypothesis import given
from hypothesis import strategies as st

HEADER = b"<s:stream xmlns='urn:d' xmlns:s='urn:s' id='1'>"
NAMES = st.sampled_from(["a", "b", "c"])
SPACES = st.sampled_from(["", "urn:a", "urn:b&'<"])
TEXTS = st.text(max_size=8)
KEYS = st.sampled_from(
    ["x", "{urn:a}x", "{urn:b&'<}y", "{http://www.w3.org/XML/1998/namespace}lang"]
)


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> Element:
    space, name = draw(SPACES), draw(NAMES)
    made = Element(f"{{{space}}}{name}" if space else name, draw(st.dictionaries(KEYS, TEXTS)))
    made.text = draw(TEXTS)
    for _ in range(draw(st.integers(0, 2)) if depth else 0):
        child = draw(elements(depth - 1))
        child.tail = draw(TEXTS)
        made.append(child)
    return made


def sayable(one: Element) -> Element:
    """The element with U+FFFD in the place of what XML cannot say."""
    made = Element(one.tag, {key: _clean(value) for key, value in one.items()})
    made.text, made.tail = _clean(one.text or ""), _clean(one.tail or "")
    made.extend(map(sayable, one))
    return made


def _clean(text: str) -> str:
    allowed = {"\t", "\n", "\r"}
    return "".join(
        each
        if each in allowed
        or (each >= " " and not "\ud800" <= each <= "\udfff" and each < "\ufffe")
        or each > "\uffff"
        else "\ufffd"
        for each in text
    )


def same(one: Element, other: Element) -> bool:
    return (
        one.tag == other.tag
        and one.attrib == other.attrib
        and (one.text or "") == (other.text or "")
        and (one.tail or "") == (other.tail or "")
        and len(one) == len(other)
        and all(map(same, one, other))
    )


@given(elements())
def test_what_is_written_reads_as_it_was(one: Element) -> None:
    for outer in ("", "urn:a"):
        text = written(one, outer)
        (read,) = fromstring(f"<o xmlns='{outer}'>{text}</o>" if outer else f"<o>{text}</o>")
        assert same(read, sayable(one)), text


@given(elements(), st.integers(1, 5))
def test_a_stream_is_read_in_pieces_as_in_one(one: Element, size: int) -> None:
    data = HEADER + written(one, "urn:d").encode() + b" <two/></s:stream>"
    reader = StreamParser(max_bytes=10**6)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]

    events = [event for piece in pieces for event in reader.feed(piece)]

    assert [type(each) for each in events] == [Opened, Stanza, Stanza, Closed]
    assert same(events[1].element, sayable(one))  # type: ignore[union-attr]


@pytest.mark.row("T5")
@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE s><s>",
        "<!DOCTYPE s [<!ENTITY a 'b'>]><s>&a;",
        "<!DOCTYPE s SYSTEM 'file:///etc/passwd'><s>",
        "<s><!-- x -->",
        "<s><?x y?>",
    ],
)
def test_what_xmpp_forbids_is_refused(text: str) -> None:
    with pytest.raises(Unreadable) as refused:
        StreamParser(1000).feed(text.encode())
    assert refused.value.condition == "restricted-xml"


@pytest.mark.row("T5")
def test_a_stanza_that_is_too_deep_or_too_large_is_passed_over() -> None:
    reader = StreamParser(max_bytes=100, max_depth=3)
    reader.feed(HEADER)

    deep = reader.feed(b"<a i='1'><b><c><d/></c></b></a>")
    large = reader.feed(b"<a i='2'>" + b"x" * 200 + b"</a>")
    wide = reader.feed(b"<a i='3'>" + b"<b/>" * 50 + b"</a>")
    fine = reader.feed(b"<a i='4'><b><c/></b></a>")

    for events, reason in ((deep, "deeper"), (large, "larger"), (wide, "larger")):
        (stanza,) = events
        assert isinstance(stanza, Stanza)
        assert stanza.spoiled is not None
        assert stanza.spoiled.startswith(reason)
        assert len(stanza.element) == 0
    (stanza,) = fine
    assert isinstance(stanza, Stanza)
    assert stanza.spoiled is None
    assert len(stanza.element[0]) == 1


@pytest.mark.row("T5")
def test_a_stanza_without_end_ends_the_stream() -> None:
    reader = StreamParser(max_bytes=100)
    reader.feed(HEADER)
    assert reader.feed(b"<a>" + b"x" * 1000) == []
    with pytest.raises(Unreadable) as refused:
        reader.feed(b"x" * 1000)
    assert refused.value.condition == "policy-violation"


def test_a_long_stream_is_read_on_with_a_fresh_parser() -> None:
    reader = StreamParser(max_bytes=10**6)
    reader.feed(HEADER)
    first = reader._parser
    stanza = b"<s:a b='c'><d xmlns='urn:x'>" + b"x" * 500000 + b"</d></s:a>"

    events = [event for _ in range(40) for event in reader.feed(stanza)]

    assert reader._parser is not first
    assert {each.element.tag for each in events if isinstance(each, Stanza)} == {"{urn:s}a"}
    assert len(events) == 40
    assert reader.feed(b"</s:stream>") == [Closed()]


def test_a_payload_is_read_without_its_comments() -> None:
    read = parsed("<a xmlns='urn:a'>one<!-- two -->three</a>")
    assert (read.tag, read.text) == ("{urn:a}a", "onethree")


@pytest.mark.parametrize(
    "text", ["", "text", "<a/><b/>", "<a>", "<!DOCTYPE a><a/>", "<a>\ud800</a>"]
)
def test_what_is_no_element_is_no_payload(text: str) -> None:
    with pytest.raises(Unreadable):
        parsed(text)


def test_elements_are_written_without_what_is_not_there() -> None:
    one = element("urn:a", "b", {"c": "d", "e": None}, [element("urn:f", "g")], "text")
    assert written(one, "urn:a") == "<b c='d'>text<g xmlns='urn:f'/></b>"
    assert canonicalize(written(one)) == '<b xmlns="urn:a" c="d">text<g xmlns="urn:f"></g></b>'


def test_an_element_with_the_reserved_prefix_is_written_with_it() -> None:
    said = "<a xmlns='urn:a'><xml:b c='1'><d/></xml:b></a>"
    assert written(parsed(said)) == said


RESERVED = "http://www.w3.org/XML/1998/namespace"


@pytest.mark.row("T5")
@pytest.mark.parametrize(
    "bad",
    [
        f"<iq id='bad' xmlns='urn:d'><x a='>'><b xmlns='{RESERVED}'>&lt;iq/></b></x>t</iq>",
        f"<iq id='bad'><b xmlns:c='{RESERVED}'/></iq >",
        "<iq id='bad'><b xmlns:xml='urn:x'/><b xmlns:xmlns='urn:x'/></iq>",
    ],
)
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_reserved_namespace_costs_only_the_stanza_that_has_it(bad: str, step: int) -> None:
    text = f"<iq id='1'/>{bad}<iq id='2'>t</iq>{bad}{bad}<iq id='3'><a/></iq>".encode()
    reader = StreamParser(1000)
    reader.feed(HEADER)
    events = [
        event for at in range(0, len(text), step) for event in reader.feed(text[at : at + step])
    ]

    stanzas = [each for each in events if isinstance(each, Stanza)]
    assert [each.element.get("id") for each in stanzas] == ["1", "bad", "2", "bad", "bad", "3"]
    assert {each.element.tag for each in stanzas} == {"{urn:d}iq"}
    assert [each.spoiled is None for each in stanzas] == [True, False, True, False, False, True]
    assert [len(each.element) for each in stanzas] == [0, 0, 0, 0, 0, 1]
    assert reader.feed(b"</s:stream>") == [Closed()]


@pytest.mark.row("T5")
def test_a_stanza_that_is_itself_of_a_reserved_namespace_is_nobodys() -> None:
    reader = StreamParser(1000)
    reader.feed(HEADER)
    bad = f"<iq a='>' xmlns='{RESERVED}'/><iq xmlns='{RESERVED}'><iq/></iq>".encode()
    (stanza,) = reader.feed(bad + b"<iq id='1'/>")
    assert isinstance(stanza, Stanza)
    assert (stanza.element.get("id"), stanza.spoiled) == ("1", None)


@pytest.mark.row("T5")
@pytest.mark.parametrize("after", ["<!-- c -->", "</x>", "<?p i?>"])
def test_what_ends_a_stream_does_so_also_beside_a_reserved_namespace(after: str) -> None:
    reader = StreamParser(1000)
    reader.feed(HEADER)
    with pytest.raises(Unreadable):
        reader.feed(f"<iq><b xmlns='{RESERVED}'/>{after}</iq>".encode())


@pytest.mark.row("T5")
def test_a_stanza_without_end_is_one_also_when_it_is_passed_over() -> None:
    reader = StreamParser(1000)
    reader.feed(HEADER)
    reader.feed(f"<iq><b xmlns='{RESERVED}'/>".encode())
    with pytest.raises(Unreadable, match="without end"):
        reader.feed(b"x" * 16_000)


@pytest.mark.row("T5")
def test_a_stanza_of_too_many_elements_is_passed_over() -> None:
    reader = StreamParser(1_000_000)
    reader.feed(HEADER)
    many, few = (f"<iq id='1'>{'<a/>' * number}</iq>".encode() for number in (30_000, 10_000))
    (large, small) = reader.feed(many + few)
    assert isinstance(large, Stanza)
    assert isinstance(small, Stanza)
    assert (len(large.element), large.spoiled) == (0, "of more than 20000 elements")
    assert (len(small.element), small.spoiled) == (10_000, None)
    assert abs(small.size - len(few)) < 10
