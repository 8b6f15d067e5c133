"""What is told of items, and to whom replies to them should go (XEP-0060, section 12.17:
``pubsub#itemreply``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.desk import Desk, Node
from eventworker.pubsub.jid import domain
from eventworker.pubsub.rules import Affiliation
from eventworker.pubsub.tables import affiliation_table

OWNER, PUBLISHER, NOBODY = "owner", "publisher", "none"
#: Owners that are named at the most: each message has them.
_MOST = 5


def shown_publisher(config: NodeConfig, publisher: str | None) -> str | None:
    """Who has published an item, as others are told: nobody, if the node says so."""
    return None if config.itemreply == NOBODY else publisher


def told_of_items(
    desk: Desk, node: Node, publisher: str, items: Iterable[tuple[str, str | None]]
) -> dict[str, Any]:
    """The content of a notice of items that somebody has published.

    :param publisher: bare JID.
    :param items: each its id and its payload, if that is delivered.
    """
    shown = shown_publisher(node.config, publisher)
    told: dict[str, Any] = {
        "items": [{"id": name, "payload": payload, "publisher": shown} for name, payload in items]
    }
    if addresses := _reply_to(desk, node, publisher):
        told["reply_to"] = addresses
    return told


def _reply_to(desk: Desk, node: Node, publisher: str) -> list[str]:
    """The service's own accounts are left out: nobody could write to them."""
    local = desk.settings.service
    if node.config.itemreply == PUBLISHER:
        return [] if domain(publisher) == local else [publisher]
    if node.config.itemreply != OWNER:
        return []
    affiliation = affiliation_table.c
    owners = select(affiliation.jid).where(
        affiliation.node_id == node.id, affiliation.affiliation == Affiliation.OWNER
    )
    found = desk.connection.scalars(owners.order_by(affiliation.jid))
    return [each for each in found if domain(each) != local][:_MOST]
