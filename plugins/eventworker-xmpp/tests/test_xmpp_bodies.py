"""What a person can read of a payload."""

from __future__ import annotations

import pytest
from eventworker_xmpp.bodies import body_of


@pytest.mark.row("T5")
@pytest.mark.parametrize(
    "text", ["[" * 60_000, '{"a":' * 10_000, "1" * 60_000, "NaN", "[]", "null", "x", ""]
)
def test_what_is_no_event_has_no_text(text: str) -> None:
    assert body_of(f"<json xmlns='urn:xmpp:json:0'>{text}</json>") == ""
