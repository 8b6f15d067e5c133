"""Who shares presence with the service, and who is there (XEP-0060, sections 4.5, 12.1 and 12.4).

Only what somebody tells who is connected to an XMPP server; whether it asks for presence is up to
him.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, exists, or_, select, update

from eventworker.db import clock, insert_new
from eventworker.pubsub.expiry import Expiry
from eventworker.pubsub.jid import bare, resource
from eventworker.pubsub.rules import State
from eventworker.pubsub.subscriptions import Subscriptions, node_of
from eventworker.pubsub.tables import (
    MAX_RESOURCE,
    affiliation_table,
    node_table,
    presence_table,
    subscription_table,
)

_presence, _subscription = presence_table.c, subscription_table.c

#: Resources of one address that are known to be there at the same time.
_RESOURCES = 100
#: Seconds after which a stranger's is forgotten, and strangers that are forgotten at once.
_STRANGE, _AT_ONCE = 86400.0, 1000


class Presence(Subscriptions, Expiry):
    """What follows from presence."""

    def presence_granted(self, bare: str) -> None:
        """The address, without resource, shares its presence from now on."""
        self._arrived(bare, "")

    def presence_revoked(self, bare: str) -> None:
        """It no longer does: it has no access to nodes of the model ``presence``, and its temporary
        subscriptions end."""
        self.connection.execute(delete(presence_table).where(_presence.bare == bare))
        self._end_temporary(_subscription.bare == bare)

    def available(self, full: str) -> None:
        """A resource is there. If it was not, it is sent the last items of its nodes that do so."""
        if not resource(full) or not self._arrived(bare(full), resource(full)):
            return
        self._forget_oldest(bare(full))
        mine = (_subscription.bare == bare(full), _subscription.jid.in_([full, bare(full)]))
        self.connection.execute(update(subscription_table).where(*mine).values(bounces=0))
        # A look for the word in the stored text spares reading every configuration.
        wanted = node_table.c.config.contains("on_sub_and_presence")
        rows = self._with_nodes(*mine, _subscription.state == State.SUBSCRIBED, wanted)
        for row in {row.node_id: row for row in rows}.values():  # once for each node
            node = node_of(row)
            if node.config.send_last_published_item == "on_sub_and_presence":
                self._send_last_item(node, row, full)

    def unavailable(self, full: str) -> None:
        """A resource has gone; of an address without resource, all have.

        Temporary subscriptions end, and with the last resource the items of a publisher go from
        the nodes with ``purge_offline``.
        """
        gone = [_presence.bare == bare(full), _presence.resource != ""]
        if resource(full):
            gone.append(_presence.resource == resource(full)[:MAX_RESOURCE])
        self.connection.execute(delete(presence_table).where(*gone))
        mine = _subscription.bare == bare(full)
        left = select(_presence.at).where(_presence.bare == bare(full), _presence.resource != "")
        if self._exists(left):
            self._end_temporary(mine & (_subscription.jid == full))
        else:
            # First what locks nodes, as it is everywhere.
            self.publisher_gone(bare(full))
            self._end_temporary(mine)

    def forget_strangers(self) -> int:
        """Forget resources of those who are nothing to the service, some of them; returns their
        number.

        Anybody may say that he is there, under any number of addresses. Whoever does not share his
        presence is not asked again, so that nothing else would end that.
        """
        sharing = presence_table.alias("sharing").c
        known = (
            exists().where(sharing.bare == _presence.bare, sharing.resource == ""),
            exists().where(_subscription.bare == _presence.bare),
            exists().where(affiliation_table.c.jid == _presence.bare),
        )
        strange = (_presence.resource != "", _presence.at < clock(-_STRANGE), ~or_(*known))
        look = select(_presence.bare).where(*strange).distinct().limit(_AT_ONCE)
        found = self.connection.scalars(look).all()
        if not found:
            return 0
        theirs = delete(presence_table).where(_presence.bare.in_(found), _presence.resource != "")
        return self.connection.execute(theirs).rowcount

    def _arrived(self, address: str, name: str) -> bool:
        """Whether that is new."""
        row = {"bare": address, "resource": name[:MAX_RESOURCE], "at": clock()}
        new = insert_new(self.dialect, presence_table).values(row).returning(_presence.bare)
        return self.connection.execute(new).first() is not None

    def _forget_oldest(self, address: str) -> None:
        """Anybody may say under any number of names that he is there."""
        his = (_presence.bare == address, _presence.resource != "")
        by_age = select(_presence.resource).where(*his).order_by(_presence.at.desc())
        more = self.connection.scalars(by_age.limit(_RESOURCES).offset(_RESOURCES)).all()
        if more:
            self.connection.execute(
                delete(presence_table).where(*his, _presence.resource.in_(more))
            )

    def _end_temporary(self, mine: Any) -> None:
        for row in self._with_nodes(mine, _subscription.temporary):
            self._end(node_of(row), [row], None)
