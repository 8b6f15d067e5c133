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
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Select,
    SmallInteger,
    and_,
    bindparam,
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
from eventworker.pubsub.hooks.derive import derive
from eventworker.pubsub.rules import State
from eventworker.pubsub.tables import (
    Jid,
    child_table,
    delivery_table,
    listener_table,
    node_table,
    notice_table,
    subscription_table,
)

#: Collections that are higher above a node hear nothing of it.
_HIGHEST = 16


class Word(StrEnum):
    """The kinds of notices, with what their content has."""

    #: ``items``: a list of ``{id, payload, publisher}``; ``stamp`` where it is an old one that a
    #: new subscriber is sent; ``reply_to``, addresses for replies, if there are any. An empty list
    #: says that something happened, and not what.
    ITEMS = "items"
    #: ``ids`` of the items.
    RETRACT = "retract"
    #: Nothing.
    PURGE = "purge"
    #: ``uri`` if there is another node instead.
    DELETE = "delete"
    #: ``fields``: the configuration, if payloads are delivered.
    CONFIGURATION = "configuration"
    #: XEP-0248: ``child``, a node with the row ``child_id``, has been made or put into this
    #: collection, or taken out of it. Told to those who may know of the child.
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
#: These tell of another node than their own.
OF_A_CHILD = (Word.ASSOCIATE, Word.DISASSOCIATE)
_delivery, _notice = delivery_table.c, notice_table.c
_COLUMNS = ("listener_id", "audience_id", "level", "recipient", "horizon", "notice_id")


def tell_subscribers(desk: Desk, node: Node, word: Word, content: Mapping[str, Any]) -> None:
    """Tell the node's subscribers, those of the collections that it is in, and its hooks.

    Where nobody listens for any of them, nothing is written. The caller has locked the node, so
    that what is told of it is told in order.
    """
    derive(desk, node, word, content)
    nested = bool(node.config.collection) or node.kind == COLLECTION
    values = _values(node.name, word, content)
    _run(desk, _telling(desk.dialect, word, nested), {"told_node": node.id}, values)


@cache
def _telling(dialect: str, word: Word, nested: bool) -> tuple[Any, ...]:
    """
    :param nested: whether the node may be in a collection.
    """
    audience = _audience(nested).subquery("audience")
    listener, subscription = listener_table.c, subscription_table.c
    somebody = exists().where(
        subscription.node_id == audience.c.id,
        is_told(word),
        heard(word, audience.c.level),
        or_(listener.jid.is_(None), subscription.jid.in_([listener.jid, listener.bare])),
    )
    horizon = select(func.max(subscription.id)).scalar_subquery()
    rows = (
        select(
            listener.id.label("listener_id"),
            audience.c.id.label("audience_id"),
            audience.c.level.label("level"),
            literal(None, Jid).label("recipient"),
            horizon.label("horizon"),
        )
        .select_from(listener_table)
        .join(audience, true())
        .where(_is_alive(), somebody)
    )
    return _inserts(dialect, rows, bindparam("told_node", type_=BigInteger))


def tell(desk: Desk, node: str, word: Word, content: Mapping[str, Any], recipient: str) -> None:
    """Tell one address, whatever its subscriptions are; nothing is written if nobody listens."""
    _run(desk, _telling_one(desk.dialect), {"told_to": recipient}, _values(node, word, content))


@cache
def _telling_one(dialect: str) -> tuple[Any, ...]:
    listener = listener_table.c
    address = bindparam("told_to", type_=Jid)
    rows = select(
        listener.id.label("listener_id"),
        literal(None, BigInteger).label("audience_id"),
        literal(0, SmallInteger).label("level"),
        address.label("recipient"),
        literal(None, BigInteger).label("horizon"),
    ).where(
        _is_alive(),
        or_(listener.jid.is_(None), listener.jid == address, listener.bare == address),
    )
    node = node_table.c
    its_id = select(node.id).where(node.name == bindparam("told_name", type_=node.name.type))
    return _inserts(dialect, rows, its_id.scalar_subquery())


def _inserts(dialect: str, rows: Select[Any], node_id: Any) -> tuple[Any, ...]:
    """The INSERT of a notice, if there is a delivery of it, and that of its deliveries; one
    statement where the database can do both in one.

    :param rows: the deliveries, without the notice.
    """

    def write(anybody: Any) -> Any:
        notice = select(node_id, *_NOTICE.values()).where(anybody)
        made = insert(notice_table).from_select(["node_id", *_NOTICE], notice)
        return made.returning(_notice.id)

    deliver = insert(delivery_table)
    if dialect == "postgresql":
        found = rows.cte("found")
        notice = write(select(literal(1)).select_from(found).exists()).cte("notice")
        both = select(found, notice.c.id).join_from(notice, found, true())
        return (deliver.from_select(_COLUMNS, both),)
    anybody = rows.with_only_columns(literal(1)).exists()
    of_notice = rows.add_columns(bindparam("notice", type_=BigInteger))
    return write(anybody), deliver.from_select(_COLUMNS, of_notice)


def _run(
    desk: Desk, statements: tuple[Any, ...], about: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    first, *rest = statements
    done = desk.connection.execute(first, {**about, **values})
    if rest and (notice := done.scalar()) is not None:
        desk.connection.execute(rest[0], {**about, "notice": notice})


_NOTICE: dict[str, Any] = {
    "node": bindparam("told_name", type_=_notice.node.type),
    "kind": bindparam("told_kind", type_=_notice.kind.type),
    "content": bindparam("told_content", type_=_notice.content.type),
    "created_at": clock(),
}


def _values(node: str, word: Word, content: Mapping[str, Any]) -> dict[str, Any]:
    text = json.dumps(content, ensure_ascii=False)
    return {"told_name": node, "told_kind": word, "told_content": text}


def _is_alive() -> Any:
    lease = listener_table.c.lease_until
    return or_(lease.is_(None), lease > clock())


def is_told(word: Word) -> Any:
    """Whether a subscription is in a state to be told this."""
    # Those who wait to be subscribed hear only of the end (section 8.4.1).
    return true() if word is Word.DELETE else subscription_table.c.state == State.SUBSCRIBED


def heard(word: Word, level: Any) -> Any:
    """Whether a subscription to an audience of that level wants to hear of it (XEP-0248)."""
    subscription = subscription_table.c
    depth = subscription.depth
    if word in OF_A_CHILD:
        # What it is about is one deeper than the collection it happens to.
        return and_(subscription.type == "nodes", or_(depth.is_(None), depth > level))
    kind = "nodes" if word in OF_NODES else "items"
    return or_(level == 0, and_(subscription.type == kind, or_(depth.is_(None), depth >= level)))


def _audience(nested: bool) -> Any:
    """The node and the collections above it, with their distance."""
    node = bindparam("told_node", type_=BigInteger)
    own: Any = select(node.label("id"), literal(0, SmallInteger).label("level"))
    if not nested:
        return own
    child = child_table.c
    above = own.cte("above", recursive=True)
    step = (
        select(child.collection_id, above.c.level + 1)
        .join_from(above, child_table, child.node_id == above.c.id)
        .where(above.c.level < _HIGHEST)
    )
    # Not UNION ALL: a node that is reached in many ways is looked at once.
    above = above.union(step)
    return select(above.c.id, func.min(above.c.level).label("level")).group_by(above.c.id)


__all__ = ["OF_A_CHILD", "OF_NODES", "Word", "heard", "is_told", "tell", "tell_subscribers"]
