"""Two readers of strict JSON, of which the quick one may only be quicker."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eventworker.errors import DecodeError
from eventworker.event import Event, _body_of_ours, decode, event_of
from eventworker.strictjson import MAX_DEPTH, quick_object, slow_object, strict_object
from tests.helpers.events import STORYBOARD_FIELDS, events, json_values, make_event, nested
from tests.helpers.poison import BODIES

ID = make_event().id
TIME = make_event().time


def outcome(read: Callable[[], Any]) -> str:
    """What was read, with types and order, or why it was refused."""
    try:
        return repr(read())
    except DecodeError as error:
        return f"refused: {error.reason}"


def agree(body: bytes) -> None:
    quick = quick_object(body)
    if quick is not None:
        assert outcome(lambda: quick) == outcome(lambda: slow_object(body))

    def slowly() -> Event:
        return event_of(slow_object(body), body, id=ID, time=TIME, source="x")

    assert outcome(lambda: decode(body, id=ID, time=TIME, source="x")) == outcome(slowly)


def braced(members: list[str]) -> str:
    return f"{{{','.join(members)}}}"


#: JSON as strangers write it: any blanks, any escapes, and keys that come twice.
blanks = st.sampled_from(["", "", "", " ", "\n", "\t "])
strings = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["a", "b", ":", '":', "\\", '\\":', "http://x:1", "\u2028", "\x7f", "é:"]),
)
written = st.one_of(
    strings.map(json.dumps),
    strings.map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(['"\\u003a"', '"\\u003A:"', '"\\\\u003a"', '"\\/"', '"\\ud83d\\udc0d"']),
    st.sampled_from(['"\\ud800"', '"\\udc0d\\ud83d"', '"\x01"', '"\\x"']),
)
digits = st.text("0123456789", min_size=1, max_size=40)
numbers = st.one_of(
    st.integers().map(str),
    st.floats().map(repr),
    st.sampled_from(["-0", "-0.0", "1e999", "0e999", "1e-999", "01", "1.", "+1", "NaN", "1E5"]),
    st.builds(lambda whole, part: f"{int(whole)}.{part}", digits, digits),
    st.builds(lambda part, power: f"0.{part}e{power}", digits, st.integers(-400, 400)),
)
leaves = st.one_of(written, numbers, st.sampled_from(["null", "true", "false"]))


def containers(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    member = st.builds(
        lambda key, before, after, value: f"{key}{before}:{after}{value}",
        written,
        blanks,
        blanks,
        inner,
    )
    return st.one_of(
        st.lists(member, max_size=5).map(braced),
        st.lists(inner, max_size=4).map(lambda each: f"[{' ,'.join(each)}]"),
    )


texts = st.recursive(leaves, containers, max_leaves=12)
objects = st.lists(
    st.builds("{}:{}".format, written | st.sampled_from(['"method"', '"resource"']), texts),
    max_size=6,
).map(lambda each: braced(['"method":"PUT"', '"resource":"story"', *each]))
pieces = st.one_of(
    st.sampled_from(["{", "}", "[", "]", ":", ",", '"', "\\", " ", "\n", "1", "-", "null", "a"]),
    st.sampled_from(['"a"', '"a":', '"method":"PUT"', "1e999", "NaN", "\x00", "\ufeff", "é"]),
    st.sampled_from(["\\u003a", "\\ud83d", "\\udc0d"]),
)


@given(objects | texts)
@example('{"method":"PUT","resource":"x","a":":","a":1}')
@example('{"method":"PUT","resource":"x","a":1,"a":"\\u003a"}')
@example('{"method":"PUT","resource":"x","a" :1,"b":2,"a":":"}')
@example('{"method":"PUT","resource":"x","resource_after":{"a":1,"a":"\\":"}}')
def test_both_read_the_same_of_what_strangers_write(text: str) -> None:
    agree(text.encode("utf-8", "surrogatepass"))


@given(st.lists(pieces, max_size=30).map("".join))
def test_both_refuse_the_same_fragments(text: str) -> None:
    agree(text.encode())


@given(st.binary(max_size=40))
def test_both_refuse_the_same_bytes(body: bytes) -> None:
    agree(body)


@given(events, st.data())
def test_both_read_the_same_of_our_own_bodies_and_of_damaged_ones(
    event: Event, data: st.DataObject
) -> None:
    body = json.dumps({name: getattr(event, name) for name in STORYBOARD_FIELDS}).encode()
    if data.draw(st.booleans()):
        body = event.encode(2**24)
    agree(body)
    place = data.draw(st.integers(0, len(body)))
    gone = data.draw(st.integers(0, 4))
    added = data.draw(st.binary(max_size=4) | pieces.map(str.encode))
    agree(body[:place] + added + body[place + gone :])


@given(st.dictionaries(st.text(), json_values, max_size=4), st.integers(0, 3))
def test_a_member_that_comes_twice_is_refused_wherever_it_is(
    image: dict[str, Any], place: int
) -> None:
    pairs = [f"{json.dumps(key)}:{json.dumps(value)}" for key, value in image.items()] or ['"a":1']
    twice = braced([*pairs, pairs[place % len(pairs)]])
    body = braced(['"method":"PUT"', '"resource":"x"', f'"resource_after":{twice}'])
    with pytest.raises(DecodeError, match="duplicate keys"):
        strict_object(body.encode(), 2**20)
    agree(body.encode())


@pytest.mark.parametrize("body", [each.body for each in BODIES.values()], ids=BODIES)
def test_both_agree_about_everything_that_has_ever_been_poison(body: bytes) -> None:
    agree(body[: 2**20])


@pytest.mark.parametrize("depth", range(MAX_DEPTH - 3, MAX_DEPTH + 3))
@pytest.mark.parametrize("leaf", ["", "1", "[]", '{"a":1}'])
def test_both_agree_where_the_depth_ends(depth: int, leaf: str) -> None:
    deep = "[" * depth + leaf + "]" * depth
    agree(f'{{"method":"PUT","resource":"x","resource_after":{{"a":{deep}}}}}'.encode())
    agree(f'{{"method":"PUT","resource":"x","extra":[{deep},{{}},[],{{}}]}}'.encode())


def test_the_quick_way_is_taken_for_what_is_usual() -> None:
    event = make_event(resource_after={"a": "http://x:1", "b": [1, 2.5, {"c": "é\n"}]})
    assert _body_of_ours(event.encode()) is not None
    assert quick_object(json.dumps(STORYBOARD_FIELDS).encode()) == STORYBOARD_FIELDS
    assert quick_object(json.dumps(STORYBOARD_FIELDS, indent=1).encode()) == STORYBOARD_FIELDS
    many = {"a": [nested(5) for _ in range(100)]}
    assert quick_object(json.dumps(many).encode()) == many
