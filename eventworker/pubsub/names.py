"""NodeIDs and ItemIDs: any text that an XML attribute, and every database, gives back as it was."""

from __future__ import annotations

import re
from uuid import uuid4

from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.tables import MAX_NAME

#: Control characters, lone surrogates and what else XML 1.0 has no way to write.
_NO_NAME = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def node_name(text: str) -> str:
    """The text, if a node can be named so.

    :raises PubSubError: ``not-acceptable``.
    """
    return _name(text, "a node")


def item_name(text: str) -> str:
    """The text, if an item can be named so.

    :raises PubSubError: ``bad-request``.
    """
    return _name(text, "an item", "bad-request")


def can_be_name(text: str) -> bool:
    """Whether a node or an item can be named so; who asks for another one need not ask a database,
    which might not even take the question."""
    return 0 < len(text) <= MAX_NAME and not _NO_NAME.search(text)


def new_name() -> str:
    """A name that nobody has and nobody guesses."""
    return uuid4().hex


def _name(text: str, what: str, condition: str = "not-acceptable") -> str:
    if not can_be_name(text):
        raise PubSubError(
            condition,
            text=f"the name of {what} is 1 to {MAX_NAME} characters, without control characters",
        )
    return text
