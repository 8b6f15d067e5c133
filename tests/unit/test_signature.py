"""Only those who hold a key can make a message that is believed."""

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eventworker import secret
from eventworker.errors import ConfigError
from eventworker.signature import HEADER, SKEW, BadSignature, Signatures, Signed, signatures_of
from tests.helpers.configuration import configuration

OLD, NEW = "o" * 32, "n" * 32
KEYS = {"new": NEW.encode(), "old": OLD.encode()}
NOW = 1_800_000_000
MESSAGE = Signed(
    routing_key="story",
    message_id="01976a4e-0000-7000-8000-000000000001",
    content_type="application/json",
    app_id="tracker",
    timestamp=NOW,
    headers={"time": "2027-01-15T08:00:00+00:00", "source": "tracker", "seq": 7},
    body=b'{"method": "POST", "resource": "story"}',
)


def signatures(verify: str = "require", keys: dict[str, bytes] = KEYS) -> Signatures:
    return Signatures(keys, verify, remembered=86400.0)


def signed(message: Signed = MESSAGE, keys: dict[str, bytes] = KEYS, at: float = NOW) -> Signed:
    signature = signatures(keys=keys).sign(message, at)
    return replace(message, headers={**message.headers, HEADER: signature})


def refusal(message: Signed, verify: str = "require", now: float = NOW) -> str:
    return signatures(verify).check(message, now)


def test_what_was_signed_is_believed_under_each_of_the_keys() -> None:
    assert refusal(signed()) == ""
    assert refusal(signed(keys={"old": OLD.encode()})) == ""
    assert signed().headers[HEADER].startswith("v1 new ")


def test_without_a_key_nothing_is_signed() -> None:
    assert Signatures({}).sign(MESSAGE) is None


@pytest.mark.parametrize(
    ("verify", "believed"), [("off", True), ("accept", True), ("require", False)]
)
def test_whether_unsigned_messages_are_believed_is_the_configurations(
    verify: str, believed: bool
) -> None:
    assert (refusal(MESSAGE, verify) == "") is believed


def test_a_wrong_signature_is_worse_than_none() -> None:
    wrong = replace(signed(), body=b"{}")
    assert "does not fit" in refusal(wrong, "accept")
    assert refusal(wrong, "off") == ""


CHANGES: list[dict[str, Any]] = [
    {"routing_key": "user"},
    {"message_id": "01976a4e-0000-7000-8000-000000000002"},
    {"message_id": None},
    {"content_type": "application/cloudevents+json"},
    {"app_id": "other"},
    {"timestamp": NOW + 1},
    {"body": MESSAGE.body + b" "},
    {"headers": {}},
    {"headers": {**MESSAGE.headers, "source": "other"}},
    {"headers": {**MESSAGE.headers, "seq": 8}},
    {"headers": {**MESSAGE.headers, "seq": "7"}},
    {"headers": {**MESSAGE.headers, "traceparent": "added"}},
    {"headers": {"time": MESSAGE.headers["time"], "source": "tracker"}},
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_no_part_of_a_message_can_be_changed(change: dict[str, Any]) -> None:
    headers = {**change.get("headers", MESSAGE.headers), HEADER: signed().headers[HEADER]}
    assert "does not fit" in refusal(replace(MESSAGE, **{**change, "headers": headers}))


@given(st.integers(min_value=0), st.integers(1, 255))
def test_a_flipped_byte_of_the_body_is_found(place: int, flip: int) -> None:
    body = bytearray(MESSAGE.body)
    body[place % len(body)] ^= flip
    assert "does not fit" in refusal(replace(signed(), body=bytes(body)))


@given(st.integers(min_value=0), st.characters(codec="utf-8"))
def test_a_changed_character_of_the_signature_is_found(place: int, other: str) -> None:
    good = signed().headers[HEADER]
    place %= len(good)
    bad = good[:place] + other + good[place + 1 :]
    assume(bad != good)
    assert refusal(replace(signed(), headers={**MESSAGE.headers, HEADER: bad})) != ""


HEADERS = st.dictionaries(
    st.text(max_size=5).filter(lambda name: name != HEADER and not name.startswith("x-")),
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
    max_size=4,
)
MESSAGES = st.builds(
    Signed,
    st.text(max_size=5),
    st.none() | st.text(max_size=5),
    st.none() | st.text(max_size=5),
    st.none() | st.text(max_size=5),
    st.none() | st.integers(0, 9),
    HEADERS,
    st.binary(max_size=20),
)


def shape(message: Signed) -> object:
    """With the types, as 1, True and "1" are not the same."""
    headers = [(name, type(value), value) for name, value in sorted(message.headers.items())]
    return (replace(message, headers={}), headers)


@given(MESSAGES, MESSAGES)
def test_two_messages_never_have_one_signature(one: Signed, other: Signed) -> None:
    assume(shape(one) != shape(other))
    assert one.canonical("k", 1) != other.canonical("k", 1)


@given(MESSAGES)
def test_every_message_that_can_be_signed_is_believed(message: Signed) -> None:
    assert refusal(signed(message)) == ""


def test_an_unknown_key_is_named() -> None:
    stranger = signed(keys={"stranger": b"s" * 32})
    assert refusal(stranger) == "signature: there is no key stranger here"


def test_a_key_under_another_keys_id_does_not_fit() -> None:
    assert "does not fit" in refusal(signed(keys={"new": OLD.encode()}))


def test_a_copy_is_not_believed_once_the_inbox_may_have_forgotten() -> None:
    assert refusal(signed(), now=NOW + 86400 - SKEW) == ""
    assert "older than [retention] inbox_days" in refusal(signed(), now=NOW + 86400 - SKEW + 1)


def test_the_second_of_signing_counts_not_the_time_of_the_event() -> None:
    """A relay that was away for a month sends what is old and newly signed."""
    assert refusal(signed(at=NOW + 30 * 86400), now=NOW + 30 * 86400) == ""


def test_a_signature_of_the_future_is_not_believed() -> None:
    assert refusal(signed(at=NOW + SKEW)) == ""
    assert "clocks" in refusal(signed(at=NOW + SKEW + 1))


@pytest.mark.parametrize(
    "text",
    ["", "v1", "v2 new 1 " + "0" * 64, "v1 new -1 " + "0" * 64, 7, b"v1", ["v1"], {"v1": 1}],
    ids=repr,
)
def test_a_header_that_is_no_signature_is_refused(text: object) -> None:
    for verify in ("accept", "require"):
        assert "no signature" in refusal(replace(MESSAGE, headers={HEADER: text}), verify)


def test_what_a_broker_adds_on_the_way_does_not_matter() -> None:
    added = {"x-death": [{"count": 1}], "x-first-death-queue": "q", "x-delivery-count": 3}
    assert refusal(replace(signed(), headers={**signed().headers, **added})) == ""


def test_what_cannot_be_checked_is_not_believed() -> None:
    odd = replace(signed(), headers={**signed().headers, "table": {"a": 1}})
    assert "cannot be signed" in refusal(odd)
    with pytest.raises(BadSignature):
        signatures().sign(replace(MESSAGE, headers={"when": 1.5}))
    # Nothing that pika hands over, so its mistake would be ours; it is refused all the same.
    assert "cannot be checked" in refusal(
        replace(signed(), headers={HEADER: signed().headers[HEADER], 1: 2})
    )  # type: ignore[dict-item]


def options(keys: str | None = None, verify: str = "require") -> Any:
    return configuration(security={"signing_keys": keys, "verify_signatures": verify}).security


@pytest.mark.parametrize("separator", [",", ", ", "\n", " "])
def test_keys_are_a_list_of_which_the_first_signs(separator: str) -> None:
    made = signatures_of(options(f"new:{NEW}{separator}old:{OLD}\n"), 1.0)
    assert made.sign(MESSAGE, NOW) == signed().headers[HEADER]
    assert made.check(signed(keys={"old": OLD.encode()}), NOW) == ""


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ("", "needs signing_keys"),
        (NEW, "entry 1: write ID:KEY"),
        (f"new:{NEW}, :{OLD}", "entry 2: write ID:KEY"),
        (f"a/b:{NEW}", "entry 1: write ID:KEY"),
        ("new:tooshort", "entry 1: the key has fewer than 32 characters"),
        (f"new:{NEW},new:{OLD}", "entry 2: there are two keys"),
    ],
)
def test_keys_that_cannot_be_used_are_refused_without_being_quoted(keys: str, reason: str) -> None:
    with pytest.raises(ConfigError) as error:
        signatures_of(options(keys), 1.0)
    assert reason in str(error.value)
    for word in (NEW, OLD, "tooshort"):
        assert word not in str(error.value)


def test_keys_are_secrets() -> None:
    made = signatures_of(options(f"new:{NEW}"), 1.0)
    assert NEW not in repr(made)
    assert secret.hidden(f"with {NEW}") == "with ***"


def test_the_clock_is_the_hosts() -> None:
    fresh = signatures().sign(MESSAGE)
    assert fresh is not None
    assert abs(int(fresh.split()[2]) - time.time()) < 60
