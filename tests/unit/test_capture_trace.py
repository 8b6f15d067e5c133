"""Which headers of a trace are passed on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventworker.capture.trace import trace_context

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (None, None),
        ("", None),
        ("congo=t61rcWkgMzE", "congo=t61rcWkgMzE"),
        ("rojo=00f067aa0ba902b7, congo=t61", "rojo=00f067aa0ba902b7,congo=t61"),
        ("a=1,,b=2,", "a=1,b=2"),
        ("fw529a3039@dt=FfAAAA, 0a_b-c*/d=!", "fw529a3039@dt=FfAAAA,0a_b-c*/d=!"),
        ("no equals sign", None),
        ("A=1", None),
        ("a=1,b=\x7f", None),
        ("a=" + "x" * 600, None),
        (",".join(f"k{number}={'x' * 90}" for number in range(6)), None),
    ],
)
def test_a_state_is_kept_whole_or_not_at_all(state: str | None, kept: str | None) -> None:
    assert trace_context(PARENT, state) == (PARENT, kept)


@pytest.mark.parametrize(
    "parent",
    [
        None,
        "",
        PARENT.upper(),
        PARENT[:-1],
        PARENT + "-more",
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + PARENT[35:],
        PARENT[:36] + "0" * 16 + "-01",
        PARENT + "," + PARENT,
        "cc" + PARENT[2:] + "-" + "x" * 300,
    ],
)
def test_a_malformed_parent_is_none_and_takes_the_state_along(parent: str | None) -> None:
    assert trace_context(parent, "a=1") == (None, None)


def test_a_later_version_may_have_more() -> None:
    assert trace_context("cc" + PARENT[2:] + "-what", None) == ("cc" + PARENT[2:] + "-what", None)
    assert trace_context(f" {PARENT}\t", None) == (PARENT, None)


@given(st.text(max_size=80), st.text(max_size=80))
def test_nothing_that_a_client_sends_breaks_a_request(parent: str, state: str) -> None:
    for kept in (*trace_context(parent, state), *trace_context(PARENT, state)):
        assert kept is None or kept.isascii()
