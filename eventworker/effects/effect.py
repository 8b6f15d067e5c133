"""What a plugin's ``perform()`` is given, and the JSON it travels as."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from eventworker.errors import EncodeError

#: Bytes of a payload. What is larger belongs in a table or file of the plugin's own.
MAX_PAYLOAD = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Effect:
    """One effect outside the database that is to be performed.

    :ivar n: which one it is of those that this plugin added for this event, from 1.
    :ivar payload: as it was added, read from JSON.
    :ivar attempt: 1 at the first time.
    :ivar added_at: when it was added, by the database's clock.
    """

    event_id: UUID
    plugin: str
    n: int
    payload: Any
    attempt: int
    added_at: datetime

    @property
    def key(self) -> str:
        """The same each time this effect is performed, and no other's: tell it the other side."""
        return key_of(self.event_id, self.plugin, self.n)


def key_of(event_id: UUID, plugin: str, n: int) -> str:
    """The idempotency key as text. Names of plugins are unique without regard to case."""
    return f"{event_id}/{plugin.lower()}/{n}"


def decode(own: str, shared: str | None) -> Any:
    """A payload as it was added; its own fields go before those that it shares."""
    payload = json.loads(own)
    return payload if shared is None else {**json.loads(shared), **payload}


def encode(payload: Any) -> str:
    """The payload as strict JSON.

    :raises EncodeError: when it is too large, or has a value that JSON cannot say.
    """
    try:
        text = json.dumps(payload, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode("utf-8"))  # which refuses lone surrogates
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(f"the payload of an effect: {error}") from error
    if size > MAX_PAYLOAD:
        raise EncodeError(f"the payload of an effect has {size} bytes, the limit is {MAX_PAYLOAD}")
    return text
