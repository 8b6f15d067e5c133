"""Who of the subscribers is told: asked when something is told, not when it is published, so that
nobody hears of a node who has lost his access to it. Conditions on a row of the subscriptions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import and_, func, literal, not_, or_, select

from eventworker.db import clock
from eventworker.pubsub.groups import is_in_group, there_is
from eventworker.pubsub.rules import ADMITTED, BARRED, AccessModel, Affiliation, State
from eventworker.pubsub.tables import (
    MAX_RESOURCE,
    affiliation_table,
    presence_table,
    subscription_table,
)

_subscription, _presence = subscription_table.c, presence_table.c


def in_force(subscription: Any = _subscription) -> Any:
    """Whether its lease is not over, whether or not it has been ended.

    :param subscription: columns, where they are not those of the table itself.
    """
    return or_(subscription.expires_at.is_(None), subscription.expires_at > clock())


def wants(word_state: Any) -> Any:
    """Whether the subscription is in force, in a state to be told, and notifications are wanted."""
    return and_(word_state, _subscription.deliver, in_force())


def has_access(node: int, model: AccessModel, admins: Collection[str], *, subscribed: bool) -> Any:
    """Whether the subscriber may retrieve items of that node: what :func:`rules.may` says, in SQL.

    :param subscribed: the row is a subscription to this node, not to a collection above it.
    """
    affiliation = _affiliation(node)
    is_admitted, is_barred = affiliation.in_(ADMITTED), affiliation.in_(BARRED)
    if model is AccessModel.OPEN or (model is AccessModel.AUTHORIZE and subscribed):
        welcome: Any = not_(is_barred)
    elif model is AccessModel.PRESENCE:
        shares = there_is(_presence.bare == _subscription.bare, _presence.resource == "")
        welcome = or_(is_admitted, and_(shares, not_(is_barred)))
    elif model is AccessModel.AUTHORIZE:
        welcome = or_(is_admitted, and_(_is_subscribed(node), not_(is_barred)))
    elif model is AccessModel.ROSTER:
        listed = is_in_group(node, _subscription.bare)
        welcome = or_(is_admitted, and_(listed, not_(is_barred)))
    else:
        welcome = is_admitted
    return or_(_subscription.bare.in_(admins), welcome) if admins else welcome


def is_available() -> Any:
    """Whether the subscribed resource is there, or, without one, any."""
    bare, jid = _subscription.bare, _subscription.jid
    named = func.substr(jid, func.length(bare) + 2, MAX_RESOURCE)
    return there_is(
        _presence.bare == bare,
        _presence.resource != "",
        or_(jid == bare, _presence.resource == named),
    )


def is_elsewhere(local_domain: str) -> Any:
    """Whether the address is none of the service's own accounts."""
    bare = _subscription.bare
    local = bare.endswith("@" + local_domain, autoescape=True)
    return and_(bare != local_domain, not_(local))


def _affiliation(node: int) -> Any:
    """What the subscriber is to the node."""
    affiliation = affiliation_table.c
    found = select(affiliation.affiliation).where(
        affiliation.node_id == node, affiliation.jid == _subscription.bare
    )
    return func.coalesce(found.scalar_subquery(), literal(Affiliation.NONE.value))


def _is_subscribed(node: int) -> Any:
    own = subscription_table.alias("own").c
    return there_is(
        own.node_id == node,
        own.bare == _subscription.bare,
        own.state == State.SUBSCRIBED,
        in_force(own),
    )
