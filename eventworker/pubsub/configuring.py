"""A node's configuration as somebody asks for it: read from a form, and judged."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.sax.saxutils import escape

from eventworker.pubsub.config import COLLECTION, LEAF, NodeConfig, wrong_number
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Fields
from eventworker.pubsub.forms import PREFIX, filled_in, texts_of
from eventworker.pubsub.options import Settings
from eventworker.pubsub.rules import AccessModel

#: Bytes of all values together, as XML: a configuration is told, and one message has all of it.
_MOST = 32768
#: Not said to everybody: children have a list of their own, and the rest concerns owners.
_UNTOLD = {PREFIX + name for name in ("children", "children_association_whitelist", "collection")}
#: What XML 1.0 has no way to write.
NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def told_of(config: NodeConfig) -> dict[str, list[str]]:
    """What others than a node's owners are told of its configuration."""
    return {name: texts for name, texts in texts_of(config).items() if name not in _UNTOLD}


def default_of(settings: Settings, kind: str) -> NodeConfig:
    """Configuration of a new node of that kind, ``leaf`` or ``collection``."""
    return replace(settings.node_defaults, node_type=kind)


def new_config(settings: Settings, fields: Fields) -> NodeConfig:
    """Configuration of a new node for which a form says this.

    :raises PubSubError: see :func:`changed_config`.
    """
    kinds = [text for text in fields.get(PREFIX + "node_type", ()) if text]
    default = default_of(settings, COLLECTION if kinds == [COLLECTION] else LEAF)
    return changed_config(settings, default, fields)


def changed_config(settings: Settings, config: NodeConfig, fields: Fields) -> NodeConfig:
    """The configuration after a form has been sent; what it leaves out stays, what it has beside
    the registered fields is passed over.

    :raises PubSubError: ``not-acceptable`` for a value that cannot be, ``not-allowed`` for one that
        cannot be on this node.
    """
    _require_text(fields)
    models = [text for text in fields.get(PREFIX + "access_model", ()) if text]
    if not set(models) <= set(AccessModel):
        raise PubSubError("not-acceptable", "unsupported-access-model")
    try:
        changed = filled_in(config, fields)
    except ValueError as error:
        raise PubSubError("not-acceptable", text=str(error)) from None
    if changed.node_type != config.node_type:
        raise PubSubError("not-allowed", "invalid-options", text="the type of a node is for good")
    if changed.node_type == LEAF and changed.children:
        raise PubSubError("not-allowed", "invalid-options", text="a leaf has no children")
    # Only what is changed: a form is sent back whole, and what it says may be older than a limit.
    wrong = wrong_number(changed, settings.max_items, settings.max_payload_size, before=config)
    if wrong is not None:
        raise PubSubError("not-acceptable", text=wrong)
    size = _size(changed)
    if size > _MOST and size > _size(config):
        raise PubSubError("not-acceptable", text=f"a configuration has at most {_MOST} bytes")
    return changed


def _require_text(fields: Fields) -> None:
    for name, texts in fields.items():
        if any(map(NO_TEXT.search, texts)):
            raise PubSubError(
                "not-acceptable", text=f"{name[:100]} has characters that no XML can have"
            )


def _size(config: NodeConfig) -> int:
    """Bytes of the values as XML; of the whole, since it can grow field by field."""
    return sum(
        len(escape(text).encode())
        for name, texts in texts_of(config).items()
        # What is in a collection may be long, and is told by a list of its own.
        if name != PREFIX + "children"
        for text in texts
    )
