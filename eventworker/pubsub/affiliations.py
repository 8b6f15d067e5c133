"""Who is what to a node (XEP-0060, sections 5.7 and 8.9)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, insert, select, update

from eventworker.pubsub.desk import Node
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, Affiliated
from eventworker.pubsub.jid import bare, jid
from eventworker.pubsub.notices import Word, tell
from eventworker.pubsub.rules import BARRED, CAPABILITIES, Action, Affiliation, State
from eventworker.pubsub.subscriptions import Subscriptions
from eventworker.pubsub.tables import affiliation_table, node_table, subscription_table

_affiliation, _subscription = affiliation_table.c, subscription_table.c


class Affiliations(Subscriptions):
    """A look at affiliations, and their change by owners."""

    def affiliations(self, actor: Actor, node: str | None = None) -> list[Affiliated]:
        """The actor's own.

        :param node: only that to this node.
        :raises PubSubError: ``item-not-found``.
        """
        mine = (
            select(node_table.c.name, _affiliation.affiliation)
            .join_from(affiliation_table, node_table, node_table.c.id == _affiliation.node_id)
            .where(_affiliation.jid == actor.bare, node_table.c.name.is_not(None))
        )
        if node is not None:
            mine = mine.where(_affiliation.node_id == self.node(node, actor).id)
        rows = self.connection.execute(mine.order_by(node_table.c.name))
        return [Affiliated(row.name, actor.bare, Affiliation(row.affiliation)) for row in rows]

    def node_affiliations(self, node: str, actor: Actor) -> list[Affiliated]:
        """All that are something to the node.

        :raises PubSubError: ``item-not-found``, ``forbidden``.
        """
        found = self.node(node, actor)
        self.require(found, actor, Action.MANAGE)
        rows = self.connection.execute(
            select(_affiliation.jid, _affiliation.affiliation)
            .where(_affiliation.node_id == found.id)
            .order_by(_affiliation.jid)
        )
        return [Affiliated(node, row.jid, Affiliation(row.affiliation)) for row in rows]

    def change_node_affiliations(
        self, node: str, actor: Actor, changes: Sequence[Affiliated]
    ) -> list[Affiliated]:
        """Set some affiliations; others stay as they are.

        Who becomes owner, publisher or member is subscribed if he had asked to be; the
        subscriptions of an outcast end. New owners are made before old ones go.

        :returns: those that could not be changed, as they still are: the last owner stays one. The
            rest is changed.
        :raises PubSubError: ``bad-request`` if somebody is named twice; ``jid-malformed``,
            ``item-not-found``, ``forbidden``.
        """
        found = self.node(node, actor, lock=True)
        self.require(found, actor, Action.MANAGE)
        named = {bare(jid(change.jid)): change.affiliation for change in changes}
        if len(named) < len(changes):
            raise PubSubError("bad-request", text="an address is named twice")
        refused = []
        for address in sorted(named, key=lambda each: named[each] is not Affiliation.OWNER):
            if not self._affiliate(found, actor, address, named[address]):
                refused.append(Affiliated(node, address, Affiliation.OWNER))
        return refused

    def _affiliate(self, node: Node, actor: Actor, address: str, new: Affiliation) -> bool:
        row = (_affiliation.node_id == node.id, _affiliation.jid == address)
        found = self.connection.scalar(select(_affiliation.affiliation).where(*row))
        old = Affiliation(found or Affiliation.NONE)
        if old is new:
            return True
        if old is Affiliation.OWNER and self._number_of_owners(node) < 2:
            return False
        if new is Affiliation.NONE:
            self.connection.execute(delete(affiliation_table).where(*row))
        elif old is Affiliation.NONE:
            values = {"node_id": node.id, "jid": address, "affiliation": new}
            self.connection.execute(insert(affiliation_table).values(values))
        else:
            change = update(affiliation_table).where(*row).values(affiliation=new)
            self.connection.execute(change)
        content = {"jid": address, "affiliation": new}
        tell(self, node.name, Word.AFFILIATION, content, address)
        self._follow(node, actor, address, new)
        return True

    def _number_of_owners(self, node: Node) -> int:
        owners = select(func.count()).where(
            _affiliation.node_id == node.id, _affiliation.affiliation == Affiliation.OWNER
        )
        return self.connection.scalar(owners) or 0

    def _follow(self, node: Node, actor: Actor, address: str, new: Affiliation) -> None:
        """What the affiliation means for the address's subscriptions."""
        mine = select(subscription_table).where(
            _subscription.node_id == node.id, _subscription.bare == address
        )
        rows = self.connection.execute(mine.order_by(_subscription.id)).all()
        if new in BARRED:
            self._end(node, rows, actor)
        elif Action.SUBSCRIBE in CAPABILITIES[new]:
            for row in rows:
                if row.state == State.PENDING:
                    self._approve(node, row, actor)
