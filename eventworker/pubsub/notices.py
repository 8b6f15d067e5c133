"""What is said to subscribers, written down in the transaction of what it is about.

A notice is one row, and a delivery of it one row for each listener that has somebody to tell, by
one INSERT inside the database. Subscribers are read when the listener tells them: a node with a
hundred thousand of them costs the publisher no more than a node with one, and whoever has lost his
access meanwhile is told nothing. See :mod:`eventworker.pubsub.deliveries`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    SmallInteger,
    and_,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
)

from eventworker.db import clock
from eventworker.pubsub.config import COLLECTION
from eventworker.pubsub.desk import Desk, Node
from eventworker.pubsub.rules import State
from eventworker.pubsub.tables import (
    Jid,
    child_table,
    delivery_table,
    listener_table,
    notice_table,
    subscription_table,
)

#: Collections above a node that are looked at; more would be a ring.
_HIGHEST = 16


class Word(StrEnum):
    """The kinds of notices, with what their content has."""

    #: ``items``: a list of ``{id, payload, publisher}``; ``stamp`` where it is an old one that a
    #: new subscriber is sent. An empty list says that something happened, and not what.
    ITEMS = "items"
    #: ``ids`` of the items.
    RETRACT = "retract"
    #: Nothing.
    PURGE = "purge"
    #: ``uri`` if there is another node instead.
    DELETE = "delete"
    #: ``fields``: the configuration, if payloads are delivered.
    CONFIGURATION = "configuration"
    #: XEP-0248: ``child`` has been made or put into this collection, or taken out of it.
    ASSOCIATE = "associate"
    DISASSOCIATE = "disassociate"
    #: ``jid``, ``state``, ``subid``, ``expires_at``. To one JID.
    SUBSCRIPTION = "subscription"
    #: ``jid``, ``affiliation``. To one JID.
    AFFILIATION = "affiliation"
    #: ``jid``, ``subid``: an owner is asked to approve. To one JID.
    AUTHORIZATION = "authorization"


#: Of these a collection tells those who want to hear of nodes; of the others those who want items.
OF_NODES = frozenset({Word.DELETE, Word.CONFIGURATION, Word.ASSOCIATE, Word.DISASSOCIATE})
_delivery = delivery_table.c
_COLUMNS = ("notice_id", "listener_id", "audience_id", "level", "recipient", "horizon")


def tell_subscribers(desk: Desk, node: Node, word: Word, content: Mapping[str, Any]) -> None:
    """Tell the node's subscribers, and those of the collections that it is in.

    The caller has locked the node, so that what is told of it is told in order.
    """
    notice = _write(desk, node.name, word, content)
    audience = _audience(desk, node).subquery("audience")
    listener, subscription = listener_table.c, subscription_table.c
    somebody = exists().where(
        subscription.node_id == audience.c.id,
        _is_told(word),
        _heard(word, audience.c.level),
        or_(listener.jid.is_(None), subscription.jid.in_([listener.jid, listener.bare])),
    )
    horizon = select(func.max(subscription.id)).scalar_subquery()
    rows = (
        select(
            literal(notice, BigInteger),
            listener.id,
            audience.c.id,
            audience.c.level,
            literal(None, Jid),
            horizon,
        )
        .select_from(listener_table)
        .join(audience, literal(True))
        .where(_is_alive(), somebody)
    )
    desk.connection.execute(insert(delivery_table).from_select(_COLUMNS, rows))


def tell(desk: Desk, node: str, word: Word, content: Mapping[str, Any], recipient: str) -> None:
    """Tell one address, whatever its subscriptions are."""
    notice = _write(desk, node, word, content)
    listener = listener_table.c
    address = literal(recipient, Jid)
    rows = select(
        literal(notice, BigInteger),
        listener.id,
        literal(None, BigInteger),
        literal(0, SmallInteger),
        address,
        literal(None, BigInteger),
    ).where(
        _is_alive(),
        or_(listener.jid.is_(None), listener.jid == address, listener.bare == address),
    )
    desk.connection.execute(insert(delivery_table).from_select(_COLUMNS, rows))


def _write(desk: Desk, node: str, word: Word, content: Mapping[str, Any]) -> int:
    row = {
        "node": node,
        "kind": word,
        "content": json.dumps(content, ensure_ascii=False),
        "created_at": clock(),
    }
    made = desk.connection.execute(insert(notice_table).values(row))
    key = made.inserted_primary_key
    assert key is not None
    return int(key[0])


def _is_alive() -> Any:
    lease = listener_table.c.lease_until
    return or_(lease.is_(None), lease > clock())


def _is_told(word: Word) -> Any:
    # Those who wait to be subscribed hear only of the end (section 8.4.1).
    return true() if word is Word.DELETE else subscription_table.c.state == State.SUBSCRIBED


def _heard(word: Word, level: Any) -> Any:
    """Whether a subscription to an audience of that level wants to hear of it (XEP-0248)."""
    subscription = subscription_table.c
    kind = "nodes" if word in OF_NODES else "items"
    return or_(
        level == 0,
        and_(
            subscription.type == kind,
            or_(subscription.depth.is_(None), subscription.depth >= level),
        ),
    )


def _audience(desk: Desk, node: Node) -> Any:
    """The node and the collections above it, with their distance."""
    own: Any = select(
        literal(node.id, BigInteger).label("id"), literal(0, SmallInteger).label("level")
    )
    if not node.config.collection and node.kind != COLLECTION:
        return own
    child = child_table.c
    above = own.cte("above", recursive=True)
    step = (
        select(child.collection_id, above.c.level + 1)
        .join_from(above, child_table, child.node_id == above.c.id)
        .where(above.c.level < _HIGHEST)
    )
    above = above.union_all(step)
    return select(above.c.id, func.min(above.c.level).label("level")).group_by(above.c.id)


__all__ = ["OF_NODES", "Word", "tell", "tell_subscribers"]
