"""Who may do what: the affiliations and models of XEP-0060, sections 4.1 to 4.5. Pure: nothing here
asks a database; :meth:`eventworker.pubsub.desk.Desk.standing` finds what is known of an actor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from eventworker.pubsub.errors import PubSubError, unsupported


class Affiliation(StrEnum):
    """What somebody (a bare JID) is to a node."""

    OWNER = "owner"
    PUBLISHER = "publisher"
    PUBLISH_ONLY = "publish-only"
    MEMBER = "member"
    NONE = "none"
    OUTCAST = "outcast"


class State(StrEnum):
    """How far a subscription has come."""

    NONE = "none"
    PENDING = "pending"
    UNCONFIGURED = "unconfigured"
    SUBSCRIBED = "subscribed"


class AccessModel(StrEnum):
    """Who may subscribe and retrieve."""

    OPEN = "open"
    PRESENCE = "presence"
    ROSTER = "roster"
    AUTHORIZE = "authorize"
    WHITELIST = "whitelist"


class PublishModel(StrEnum):
    """Who may publish."""

    PUBLISHERS = "publishers"
    SUBSCRIBERS = "subscribers"
    OPEN = "open"


class Action(StrEnum):
    """What somebody may or may not do to a node."""

    SUBSCRIBE = "subscribe"
    RETRIEVE = "retrieve"
    PUBLISH = "publish"
    RETRACT_OWN = "retract own"
    RETRACT_ANY = "retract any"
    PURGE = "purge"
    CONFIGURE = "configure"
    DELETE = "delete"
    MANAGE = "manage"


_OWN = {Action.PUBLISH, Action.RETRACT_OWN}
_READ = {Action.SUBSCRIBE, Action.RETRIEVE}

#: What each affiliation brings by itself (section 4.1, table 4), whatever the node's models say.
CAPABILITIES: dict[Affiliation, frozenset[Action]] = {
    Affiliation.OWNER: frozenset(Action),
    Affiliation.PUBLISHER: frozenset(_OWN | _READ),
    Affiliation.PUBLISH_ONLY: frozenset(_OWN),
    Affiliation.MEMBER: frozenset(_READ),
    Affiliation.NONE: frozenset(),
    Affiliation.OUTCAST: frozenset(),
}


#: Those who may not subscribe, whatever the access model is.
BARRED = (Affiliation.OUTCAST, Affiliation.PUBLISH_ONLY)
#: Those who may subscribe and retrieve, whatever the access model is.
ADMITTED = tuple(each for each in Affiliation if CAPABILITIES[each] >= _READ)


@dataclass(frozen=True, slots=True)
class Standing:
    """What the rules have to know of somebody at a node.

    :ivar is_admin: of the service; an admin is an owner everywhere.
    :ivar subscribed: has a subscription in the state ``subscribed``.
    :ivar has_presence: shares presence with the service.
    :ivar is_in_group: is in a group of the owner's roster that the node admits.
    """

    affiliation: Affiliation = Affiliation.NONE
    is_admin: bool = False
    subscribed: bool = False
    has_presence: bool = False
    is_in_group: bool = False


def may(
    access_model: AccessModel, publish_model: PublishModel, standing: Standing, action: Action
) -> None:
    """Nothing if somebody of that standing may do it.

    With the model ``authorize``, subscribing is allowed to anyone but outcasts: the subscription is
    pending until an owner approves.

    :raises PubSubError: the condition that the XEP names for it.
    """
    if standing.is_admin or action in CAPABILITIES[standing.affiliation]:
        return
    if standing.affiliation in BARRED:
        raise PubSubError("forbidden")
    if action in (Action.SUBSCRIBE, Action.RETRIEVE):
        _admit(access_model, standing, action)
    elif action in _OWN:
        _let_publish(publish_model, standing)
    else:
        raise PubSubError("forbidden")


def _admit(model: AccessModel, standing: Standing, action: Action) -> None:
    if model is AccessModel.OPEN:
        return
    if model is AccessModel.PRESENCE:
        if not standing.has_presence:
            raise PubSubError("not-authorized", "presence-subscription-required")
    elif model is AccessModel.ROSTER:
        if not standing.is_in_group:
            raise PubSubError("not-authorized", "not-in-roster-group")
    elif model is AccessModel.AUTHORIZE:
        if action is Action.RETRIEVE and not standing.subscribed:
            raise PubSubError("not-authorized", "not-subscribed")
    else:
        raise PubSubError("not-allowed", "closed-node")


def _let_publish(model: PublishModel, standing: Standing) -> None:
    if model is PublishModel.OPEN or (model is PublishModel.SUBSCRIBERS and standing.subscribed):
        return
    raise PubSubError("forbidden")


__all__ = [
    "ADMITTED",
    "BARRED",
    "CAPABILITIES",
    "AccessModel",
    "Action",
    "Affiliation",
    "PublishModel",
    "Standing",
    "State",
    "may",
    "unsupported",
]
