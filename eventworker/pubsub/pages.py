"""Who is told of a notice, page by page: looked up when it is told, not when it is made.

Subscribers of several nodes are merged, so that nobody is told twice."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, false, func, literal, select, union_all

from eventworker.pubsub.audience import has_access, is_available, is_elsewhere, wants
from eventworker.pubsub.config import SubscribeOptions
from eventworker.pubsub.delivery import Addressee, Delivery, config_of
from eventworker.pubsub.jid import bare, domain
from eventworker.pubsub.notices import OF_A_CHILD, Word, heard, is_told
from eventworker.pubsub.rules import AccessModel, Affiliation, State
from eventworker.pubsub.tables import (
    Name,
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
class _Part:
    """Conditions on the subscriptions of one audience, and its name if it is a collection."""

    where: Sequence[Any]
    collection: str | None = None


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
    states = _states(connection, delivery)
    if not states:
        return []
    reached = states[0].told if after is None else after
    if delivery.recipient is not None:
        if reached is not None:
            return []
        return _single(connection, delivery, states[0], local_domain, admins)
    parts = [
        _part(connection, delivery, state, local_domain, admins)
        for state in states
        # Otherwise removed by hand.
        if state.access_model is not None and state.audience_model is not None
    ]
    if not parts:
        return []
    beyond = [] if reached is None else [_subscription.jid > reached]
    rows = _subscribers(connection, parts, *beyond, limit=limit + 1)
    if len(rows) <= limit:
        return _grouped(rows)
    last = rows[-1].jid  # who may have more than those
    if rows[0].jid == last:
        return _grouped(_subscribers(connection, parts, _subscription.jid == last))
    return _grouped([row for row in rows if row.jid != last])


def _states(connection: Connection, delivery: Delivery) -> list[Row[Any]]:
    """How far a delivery is, and what the nodes that it is about are now, for each audience in the
    order of the rows; none if it is done."""
    plan: list[Any] = []
    if connection.dialect.name == "postgresql":
        # For this transaction. By statistics of a time with few subscribers, or where it takes most
        # of them for absent, the server would read and sort all of them for each page, instead of
        # the next of an index.
        plan.append(func.set_config("enable_sort", "off", True))
    found: Any = connection.execute(
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
            _audience.c.name.label("audience"),
            _audience.c.access_model.label("audience_model"),
            _audience.c.config.label("audience_config"),
        )
        .join_from(delivery_table, notice_table, _notice.id == _delivery.notice_id)
        .join(listener_table, _listener.id == _delivery.listener_id)
        .outerjoin(_origin, _origin.c.id == _notice.node_id)
        .outerjoin(_audience, _audience.c.id == _delivery.audience_id)
        .where(
            _delivery.notice_id == delivery.notice_id, _delivery.listener_id == delivery.listener
        )
        .order_by(_delivery.id)
    )
    return list(found)


def _part(
    connection: Connection,
    delivery: Delivery,
    state: Any,
    local_domain: str,
    admins: Collection[str],
) -> _Part:
    """Who of the subscribers of one audience is told."""
    where = [
        _subscription.node_id == state.audience_id,
        _subscription.id <= state.horizon,
        *_who(delivery.word, state, local_domain, admins),
    ]
    if delivery.word in OF_A_CHILD:
        where.append(_knows(connection, int(delivery.content["child_id"]), admins))
    return _Part(where, state.audience if state.level else None)


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
    if any(config_of(each).presence_based_delivery for each in configs if each is not None):
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


def _subscribers(
    connection: Connection, parts: Sequence[_Part], *where: Any, limit: int | None = None
) -> list[Row[Any]]:
    """Subscribers of all parts, in the order of their addresses.

    The database merges them, since only it knows that order; each part is cut before, so that a
    page costs what it shows.
    """
    looks: list[Any] = [
        select(
            _subscription.jid,
            _subscription.subid,
            _subscription.options,
            literal(part.collection, Name).label("collection"),
        )
        .where(*part.where, *where)
        .order_by(_subscription.jid, _subscription.subid)
        .limit(limit)
        for part in parts
    ]
    if len(looks) == 1:
        return list(connection.execute(looks[0]))
    all_of_them = union_all(*(select(look.subquery()) for look in looks)).subquery()
    merged = select(all_of_them).order_by(all_of_them.c.jid, all_of_them.c.subid).limit(limit)
    return list(connection.execute(merged))


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
    where = [
        _subscription.node_id == state.node_id,
        _subscription.jid.in_([recipient, bare(recipient)]),
        *_who(delivery.word, state, local_domain, admins),
    ]
    rows = _subscribers(connection, [_Part(where)])
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
    for jid, subid, text, collection in rows:
        options = _options(text)
        named = () if collection is None else (collection,)
        if not addressees or addressees[-1].jid != jid:
            addressees.append(Addressee(jid, (subid,), options, named))
            continue
        before = addressees[-1]
        whole = before.options.include_body or options.include_body
        options = replace(before.options, include_body=whole)
        collections = tuple(dict.fromkeys((*before.collections, *named)))
        addressees[-1] = Addressee(jid, (*before.subids, subid), options, collections)
    return addressees


# Most subscriptions have the same options, and a page has hundreds of them.
@lru_cache(maxsize=256)
def _options(text: str) -> SubscribeOptions:
    return SubscribeOptions.from_json(text)
