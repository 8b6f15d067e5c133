"""Who of the subscribers is told: asked when something is told, not when it is published, so that
nobody hears of a node who has lost his access to it. Conditions on a row of the subscriptions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import and_, exists, func, not_, or_, true

from eventworker.db import clock
from eventworker.pubsub.rules import ADMITTED, BARRED, AccessModel, Affiliation, State
from eventworker.pubsub.tables import (
    MAX_RESOURCE,
    affiliation_table,
    presence_table,
    subscription_table,
)

_subscription, _presence = subscription_table.c, presence_table.c


def wants(word_state: Any) -> Any:
    """Whether the subscription is in force, in a state to be told, and notifications are wanted."""
    ends = _subscription.expires_at
    return and_(word_state, _subscription.deliver, or_(ends.is_(None), ends > clock()))


def has_access(node: int, model: AccessModel, admins: Collection[str], *, subscribed: bool) -> Any:
    """Whether the subscriber may retrieve items of that node: what :func:`rules.may` says, in SQL.

    :param subscribed: the row is a subscription to this node, not to a collection above it.
    """
    if model is AccessModel.OPEN or (model is AccessModel.AUTHORIZE and subscribed):
        welcome: Any = true()
    elif model is AccessModel.PRESENCE:
        shares = exists().where(_presence.bare == _subscription.bare, _presence.resource == "")
        welcome = or_(shares, _is(node, ADMITTED))
    elif model is AccessModel.AUTHORIZE:
        welcome = or_(_is_subscribed(node), _is(node, ADMITTED))
    else:
        welcome = _is(node, ADMITTED)
    welcome = and_(welcome, not_(_is(node, BARRED)))
    return or_(_subscription.bare.in_(admins), welcome) if admins else welcome


def is_available() -> Any:
    """Whether the subscribed resource is there, or, without one, any."""
    bare, jid = _subscription.bare, _subscription.jid
    named = func.substr(jid, func.length(bare) + 2, MAX_RESOURCE)
    return exists().where(
        _presence.bare == bare,
        _presence.resource != "",
        or_(jid == bare, _presence.resource == named),
    )


def is_elsewhere(local_domain: str) -> Any:
    """Whether the address is none of the service's own accounts."""
    bare = _subscription.bare
    local = bare.endswith("@" + local_domain, autoescape=True)
    return and_(bare != local_domain, not_(local))


def _is(node: int, affiliations: tuple[Affiliation, ...]) -> Any:
    affiliation = affiliation_table.c
    return exists().where(
        affiliation.node_id == node,
        affiliation.jid == _subscription.bare,
        affiliation.affiliation.in_(affiliations),
    )


def _is_subscribed(node: int) -> Any:
    own = subscription_table.alias("own").c
    return exists().where(
        own.node_id == node,
        own.bare == _subscription.bare,
        own.state == State.SUBSCRIBED,
        or_(own.expires_at.is_(None), own.expires_at > clock()),
    )
