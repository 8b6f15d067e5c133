"""Notices on their way: what a listener has still to tell, and to whom, page by page.

A listener is one process at a time. It reads its deliveries in order; for each it asks for a page
of addressees, tells them, and notes how far it has come. If it dies in between, the next one tells
that page again: every notice arrives at least once, with the same id. ::

    for delivery in waiting(connection, listener, 100):
        while addressees := page(connection, delivery, 500, settings.service):
            ...
            told(connection, delivery, addressees[-1].jid)
        done(connection, delivery)

each call in a transaction of its own.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, delete, false, func, select, update

from eventworker.pubsub.audience import has_access, is_available, is_elsewhere, wants
from eventworker.pubsub.config import NodeConfig, SubscribeOptions
from eventworker.pubsub.jid import bare, domain
from eventworker.pubsub.listeners import register, remove, renew
from eventworker.pubsub.notices import OF_A_CHILD, Word, heard, is_told
from eventworker.pubsub.rules import AccessModel, Affiliation, State
from eventworker.pubsub.tables import (
    affiliation_table,
    delivery_table,
    listener_table,
    node_table,
    notice_table,
    subscription_table,
)

_delivery, _notice, _listener = delivery_table.c, notice_table.c, listener_table.c
_subscription = subscription_table.c
# Made once: an alias has a copy of each column.
_origin, _audience = node_table.alias("origin"), node_table.alias("audience")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a listener has still to tell.

    :ivar content: see :class:`~eventworker.pubsub.notices.Word`.
    :ivar audience: the node whose subscribers are told: the node itself or a collection above it;
        None for one that has been deleted meanwhile, and where there is a recipient.
    :ivar recipient: the one address that is told, or None.
    :ivar notice_id: the same for all listeners.
    :ivar config: of the node; that of a new one if it is not there any more.
    """

    id: int
    node: str
    word: Word
    content: Mapping[str, Any]
    audience: str | None
    recipient: str | None
    made_at: datetime
    notice_id: int
    config: NodeConfig = field(default_factory=NodeConfig)


@dataclass(frozen=True, slots=True)
class Addressee:
    """Somebody who is told.

    :ivar subids: of all his subscriptions that this is about.
    :ivar options: of the first one; ``include_body`` if any asks for it.
    """

    jid: str
    subids: tuple[str, ...] = ()
    options: SubscribeOptions = field(default_factory=SubscribeOptions)


def waiting(connection: Connection, listener: int, limit: int) -> list[Delivery]:
    """The first of what the listener has to tell, in order."""
    rows = connection.execute(
        select(
            _delivery.id,
            _delivery.notice_id,
            _delivery.recipient,
            _notice.node,
            _notice.kind,
            _notice.content,
            _notice.created_at,
            _origin.c.config,
            _audience.c.name.label("audience"),
        )
        .join_from(delivery_table, notice_table, _notice.id == _delivery.notice_id)
        .outerjoin(_origin, _origin.c.id == _notice.node_id)
        .outerjoin(_audience, _audience.c.id == _delivery.audience_id)
        .where(_delivery.listener_id == listener)
        .order_by(_delivery.id)
        .limit(limit)
    )
    return [
        Delivery(
            row.id,
            row.node,
            Word(row.kind),
            json.loads(row.content),
            row.audience,
            row.recipient,
            row.created_at,
            row.notice_id,
            NodeConfig() if row.config is None else _config(row.config),
        )
        for row in rows
    ]


def page(
    connection: Connection,
    delivery: Delivery,
    limit: int,
    local_domain: str,
    admins: Collection[str] = (),
    after: str | None = None,
) -> list[Addressee]:
    """The next who are told, at most ``limit``, in the order of their addresses; none when all are.

    :param local_domain: the service's own, whose accounts listen for themselves.
    :param admins: of the service, who have access to every node.
    :param after: everybody up to this address is being told; None: up to whom :func:`told` says.
    """
    state = _state(connection, delivery.id)
    if state is None:
        return []
    reached = state.told if after is None else after
    if delivery.recipient is not None:
        if reached is not None:
            return []
        return _single(connection, delivery, state, local_domain, admins)
    if state.access_model is None or state.audience_model is None:  # removed by hand
        return []
    where = [
        _subscription.node_id == state.audience_id,
        _subscription.id <= state.horizon,
        *_who(delivery.word, state, local_domain, admins),
    ]
    if delivery.word in OF_A_CHILD:
        where.append(_knows(connection, int(delivery.content["child_id"]), admins))
    if reached is not None:
        where.append(_subscription.jid > reached)
    rows = _subscribers(connection, *where, limit=limit + 1)
    if len(rows) <= limit:
        return _grouped(rows)
    last = rows[-1].jid  # who may have more than those
    if rows[0].jid == last:
        return _grouped(_subscribers(connection, *where, _subscription.jid == last))
    return _grouped([row for row in rows if row.jid != last])


def told(connection: Connection, delivery: Delivery, up_to_jid: str) -> None:
    """Everybody up to this address has been told."""
    mine = update(delivery_table).where(_delivery.id == delivery.id)
    connection.execute(mine.values(told=up_to_jid))


def done(connection: Connection, delivery: Delivery) -> None:
    """All have been told."""
    connection.execute(delete(delivery_table).where(_delivery.id == delivery.id))
    # Looked up before: on MariaDB a DELETE with such a condition would wait for the other listener,
    # which waits for this one. If both see each other, the notice is swept.
    others = select(_delivery.id).where(_delivery.notice_id == delivery.notice_id)
    if connection.execute(others.limit(1)).first() is None:
        connection.execute(delete(notice_table).where(_notice.id == delivery.notice_id))


def _state(connection: Connection, delivery: int) -> Any:
    """How far a delivery is, and what the nodes that it is about are now; None if it is done."""
    plan: list[Any] = []
    if connection.dialect.name == "postgresql":
        # For this transaction. By statistics of a time with few subscribers, or where it takes most
        # of them for absent, the server would read and sort all of them for each page, instead of
        # the next of an index.
        plan.append(func.set_config("enable_sort", "off", True))
    return connection.execute(
        select(
            *plan,
            _delivery.told,
            _delivery.horizon,
            _delivery.level,
            _delivery.audience_id,
            _notice.node_id,
            _listener.jid,
            _listener.bare,
            _origin.c.access_model,
            _origin.c.config,
            _audience.c.access_model.label("audience_model"),
            _audience.c.config.label("audience_config"),
        )
        .join_from(delivery_table, notice_table, _notice.id == _delivery.notice_id)
        .join(listener_table, _listener.id == _delivery.listener_id)
        .outerjoin(_origin, _origin.c.id == _notice.node_id)
        .outerjoin(_audience, _audience.c.id == _delivery.audience_id)
        .where(_delivery.id == delivery)
    ).first()


def _who(word: Word, state: Any, local_domain: str, admins: Collection[str]) -> list[Any]:
    """Conditions on subscriptions to the audience."""
    own = state.level == 0
    in_state = is_told(word) if own else _subscription.state == State.SUBSCRIBED
    where = [wants(in_state), heard(word, state.level)]
    # That a node has gone may be known to all who are still subscribed to it.
    model = AccessModel.OPEN if own and word is Word.DELETE else AccessModel(state.access_model)
    where.append(has_access(state.node_id, model, admins, subscribed=own))
    if not own:
        model = AccessModel(state.audience_model)
        where.append(has_access(state.audience_id, model, admins, subscribed=True))
    if state.jid is not None:
        where.append(_subscription.jid.in_([state.jid, state.bare]))
        return where
    where.append(is_elsewhere(local_domain))
    configs = (state.config, state.audience_config)
    if any(_config(each).presence_based_delivery for each in configs if each is not None):
        where.append(is_available())
    return where


def _knows(connection: Connection, child: int, admins: Collection[str]) -> Any:
    """Whether the subscriber may know of another node, as whoever lists the collection."""
    found = connection.scalar(select(node_table.c.access_model).where(node_table.c.id == child))
    if found is None:
        return false()
    # Who may ask to be let in may know of it.
    model = AccessModel.OPEN if found == AccessModel.AUTHORIZE else AccessModel(found)
    return has_access(child, model, admins, subscribed=False)


def _subscribers(connection: Connection, *where: Any, limit: int | None = None) -> list[Row[Any]]:
    rows = (
        select(_subscription.jid, _subscription.subid, _subscription.options)
        .where(*where)
        .order_by(_subscription.jid, _subscription.subid)
        .limit(limit)
    )
    return list(connection.execute(rows))


def _single(
    connection: Connection,
    delivery: Delivery,
    state: Any,
    local_domain: str,
    admins: Collection[str],
) -> list[Addressee]:
    """The one who is told. Items go to him only if he still has access by a subscription, and who
    else subscribes only if he is still an owner."""
    recipient = str(delivery.recipient)
    local = state.jid is None and domain(recipient) == local_domain
    if local:
        return []
    if delivery.word is not Word.ITEMS:
        is_his = delivery.word is Word.AFFILIATION or _is_about(delivery, recipient)
        knows = is_his or bare(recipient) in (*admins, local_domain)
        return [Addressee(recipient)] if knows or _owns(connection, state, recipient) else []
    if state.access_model is None:  # the node has gone
        return []
    rows = _subscribers(
        connection,
        _subscription.node_id == state.node_id,
        _subscription.jid.in_([recipient, bare(recipient)]),
        *_who(delivery.word, state, local_domain, admins),
    )
    by_resource = sorted(rows, key=lambda row: row.jid != recipient)
    return [replace(each, jid=recipient) for each in _grouped(by_resource)[:1]]


def _is_about(delivery: Delivery, recipient: str) -> bool:
    """Whether the subscription that is told of is the recipient's own, and not one to his node."""
    return delivery.word is Word.SUBSCRIPTION and bare(delivery.content["jid"]) == bare(recipient)


def _owns(connection: Connection, state: Any, recipient: str) -> bool:
    """Whether the recipient is still an owner of the node."""
    affiliation = affiliation_table.c
    mine = (affiliation.node_id == state.node_id, affiliation.jid == bare(recipient))
    return connection.scalar(select(affiliation.affiliation).where(*mine)) == Affiliation.OWNER


def _grouped(rows: list[Any]) -> list[Addressee]:
    addressees: list[Addressee] = []
    for jid, subid, text in rows:
        options = _options(text)
        if not addressees or addressees[-1].jid != jid:
            addressees.append(Addressee(jid, (subid,), options))
            continue
        before = addressees[-1]
        whole = before.options.include_body or options.include_body
        options = replace(before.options, include_body=whole)
        addressees[-1] = Addressee(jid, (*before.subids, subid), options)
    return addressees


# Most subscriptions have the same options, and a page has hundreds of them.
@lru_cache(maxsize=256)
def _options(text: str) -> SubscribeOptions:
    return SubscribeOptions.from_json(text)


@lru_cache(maxsize=256)
def _config(text: str) -> NodeConfig:
    return NodeConfig.from_json(text)


__all__ = [
    "Addressee",
    "Delivery",
    "done",
    "page",
    "register",
    "remove",
    "renew",
    "told",
    "waiting",
]
