"""The grammar of W3C Trace Context: what is passed on as it is, and what is dropped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventworker import tracecontext
from eventworker.event import decode
from eventworker.transport import Message
from tests.helpers.events import TRACEPARENT, TRACESTATE, make_event

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

VALID = {
    "sampled": f"00-{TRACE}-{SPAN}-01",
    "not sampled": f"00-{TRACE}-{SPAN}-00",
    "flags of the future": f"00-{TRACE}-{SPAN}-ff",
    "a later version": f"01-{TRACE}-{SPAN}-01",
    "a later version with more to say": f"cc-{TRACE}-{SPAN}-01-what-the-future-brings",
    "a later version with nothing more to say": f"01-{TRACE}-{SPAN}-01-",
}
INVALID = {
    "nothing": "",
    "no text": 7,
    "bytes": VALID["sampled"].encode(),
    "a list": [VALID["sampled"]],
    "the forbidden version": f"ff-{TRACE}-{SPAN}-01",
    "a version of one digit": f"0-{TRACE}-{SPAN}-01",
    "a trace of zeros": f"00-{'0' * 32}-{SPAN}-01",
    "a parent of zeros": f"00-{TRACE}-{'0' * 16}-01",
    "capitals": VALID["sampled"].upper(),
    "a short trace": f"00-{TRACE[1:]}-{SPAN}-01",
    "a long parent": f"00-{TRACE}-{SPAN}0-01",
    "no flags": f"00-{TRACE}-{SPAN}",
    "half a flag": f"00-{TRACE}-{SPAN}-0",
    "version 00 with more to say": f"00-{TRACE}-{SPAN}-01-more",
    "a later version without a dash": f"01-{TRACE}-{SPAN}-01.more",
    "a later version without end": f"01-{TRACE}-{SPAN}-01-{'x' * 255}",
    "a line break at the end": f"00-{TRACE}-{SPAN}-01\n",
    "NUL in the future": f"01-{TRACE}-{SPAN}-01-\x00",
    "digits of another script": f"00-{TRACE[:-1]}٣-{SPAN}-01",
}


@pytest.mark.parametrize("text", VALID.values(), ids=VALID)
def test_a_valid_traceparent_is_passed_on_as_it_is(text: str) -> None:
    assert tracecontext.valid(text) == (text, None)
    assert tracecontext.trace_id(text) == TRACE


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID)
def test_an_invalid_traceparent_is_dropped_and_its_tracestate_with_it(text: object) -> None:
    assert tracecontext.valid(text, TRACESTATE) == (None, None)


def test_a_tracestate_without_a_traceparent_is_not_looked_at() -> None:
    assert tracecontext.valid(None, TRACESTATE) == (None, None)
    assert tracecontext.trace_id(None) is None


STATES: dict[str, tuple[object, str | None]] = {
    "one member": ("rojo=00f067aa0ba902b7", "rojo=00f067aa0ba902b7"),
    "two": ("rojo=1,congo=2", "rojo=1,congo=2"),
    "blanks around members": ("rojo=1 ,\t congo=2 ", "rojo=1,congo=2"),
    "a blank that belongs to the value": ("rojo= 1", "rojo= 1"),
    "empty members": (",rojo=1,, ,", "rojo=1"),
    "nothing but empty members": (" , ,", None),
    "a tenant": ("fw529a3039@dt=1,0a_-*/@=~", "fw529a3039@dt=1,0a_-*/@=~"),
    "32 members": (",".join(f"k{n}=v" for n in range(32)), ",".join(f"k{n}=v" for n in range(32))),
    "33 members": (",".join(f"k{n}=v" for n in range(33)), None),
    "a member without a value": ("rojo", None),
    "an empty value": ("rojo=", None),
    "an equals sign in a value": ("rojo=a=b", None),
    "a capital in a key": ("Rojo=1", None),
    "a key of 257": (f"{'k' * 257}=1", None),
    "a value of 257": (f"k={'v' * 257}", None),
    "a control character": ("rojo=1\x00", None),
    "not ASCII": ("rojo=ž", None),
    "no text": (5, None),
    "no end": ("," * 100_000, None),
}


@pytest.mark.parametrize(("state", "expected"), STATES.values(), ids=STATES)
def test_a_tracestate_is_passed_on_or_dropped_and_the_traceparent_stays(
    state: object, expected: str | None
) -> None:
    assert tracecontext.valid(TRACEPARENT, state) == (TRACEPARENT, expected)


def test_a_tracestate_that_is_too_long_loses_whole_members_long_ones_first() -> None:
    short = [f"k{number}={'v' * 60}" for number in range(7)]
    state = ",".join([short[0], f"long={'v' * 200}", *short[1:]])
    assert tracecontext.valid(TRACEPARENT, state) == (TRACEPARENT, ",".join(short))

    state = ",".join(f"k{number:02}={'v' * 60}" for number in range(20))
    kept = tracecontext.valid(TRACEPARENT, state)[1]
    assert kept is not None
    assert 512 - 66 < len(kept) <= 512
    assert state.startswith(kept + ",")


@given(st.text(alphabet="0123456789abcdef-\n ", max_size=60) | st.text(), st.text())
def test_any_text_is_passed_on_or_dropped_and_nothing_else(parent: str, state: str) -> None:
    once = tracecontext.valid(parent, state)
    assert tracecontext.valid(*once) == once
    assert tracecontext.valid(TRACEPARENT, state)[0] == TRACEPARENT


def test_an_event_is_read_whatever_its_trace_context_is() -> None:
    body = make_event().encode()
    assert decode(body, traceparent="nonsense", tracestate=TRACESTATE).traceparent is None
    event = decode(body, traceparent=TRACEPARENT, tracestate="non sense")
    assert (event.traceparent, event.tracestate) == (TRACEPARENT, None)


def test_an_event_is_sent_whatever_its_trace_context_is() -> None:
    """The header is a stranger's; the application's transaction must not fail for it."""
    message = Message.of(make_event(traceparent="x\x00", tracestate=TRACESTATE))
    assert (message.traceparent, message.tracestate) == (None, None)
    message = Message.of(make_event(traceparent=TRACEPARENT, tracestate=TRACESTATE))
    assert (message.traceparent, message.tracestate) == (TRACEPARENT, TRACESTATE)
