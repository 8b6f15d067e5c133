"""What a publish-subscribe service refuses, in the words of XEP-0060.

An error has one of XMPP's conditions (RFC 6120, section 8.3.3), often one of the XEP's own beside
it, and a type that says what the other side can do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eventworker.errors import EventworkerError

#: The type of an error by its condition (XEP-0060 and RFC 6120).
_TYPES = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "gone": "cancel",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "payment-required": "auth",
    "policy-violation": "wait",
    "redirect": "modify",
    "registration-required": "auth",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
    "unexpected-request": "cancel",
}


class PubSubError(EventworkerError):
    """The service refuses; nothing was changed.

    :ivar condition: XMPP's condition, such as ``item-not-found``.
    :ivar detail: the XEP's own condition, such as ``closed-node``, or None.
    :ivar feature: with ``unsupported``, the feature that is meant, such as ``retrieve-items``.
    :ivar uri: with ``gone`` and ``redirect``, where the node is now.
    :ivar kind: what can be done about it: ``auth``, ``cancel``, ``modify`` or ``wait``.
    """

    def __init__(
        self,
        condition: str,
        detail: str | None = None,
        *,
        feature: str | None = None,
        uri: str | None = None,
        kind: str | None = None,
        text: str | None = None,
    ) -> None:
        words = [condition, *([detail] if detail else []), *([feature] if feature else [])]
        super().__init__(" ".join(words) + (f": {text}" if text else ""))
        self.condition = condition
        self.detail = detail
        self.feature = feature
        self.uri = uri
        self.kind = kind or _TYPES[condition]
        self.text = text


class RosterNeeded(PubSubError):
    """Access depends on a roster that has not been read for this request. Whoever can read it may
    do so and ask again; to all others it says what it is: access is refused.

    :ivar owner: whose roster.
    """

    def __init__(self, owner: str) -> None:
        super().__init__("not-authorized", "not-in-roster-group")
        self.owner = owner


class PartlyRefused(PubSubError):
    """Some entries of a change of several are refused; the others are changed (section 8.8.2.4).

    :ivar refused: those, as they still are.
    """

    def __init__(self, refused: Sequence[Any]) -> None:
        words = ", ".join(f"{each.jid}" for each in refused)
        super().__init__("not-acceptable", text=f"not changed: {words}")
        self.refused = refused


def unsupported(feature: str) -> PubSubError:
    """``feature-not-implemented``: this service, or this node, does not do that."""
    return PubSubError("feature-not-implemented", "unsupported", feature=feature)
