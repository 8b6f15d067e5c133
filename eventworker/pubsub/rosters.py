"""What is known of rosters (XEP-0060, section 4.5), for nodes of the access model ``roster``.

Only what somebody tells who may read them, as a component may whose server trusts it (XEP-0356). He
says of everything how long it holds: when he has gone, or may read no more, nothing is known soon,
and then those nodes are closed to all who are nothing to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects import mysql

from eventworker.db import clock, insert_new, insert_or_update
from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.desk import Desk, Node
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.groups import there_is
from eventworker.pubsub.jid import domain
from eventworker.pubsub.rules import AccessModel, Affiliation
from eventworker.pubsub.tables import (
    MAX_GROUP,
    affiliation_table,
    node_table,
    roster_entry_table,
    roster_group_table,
    roster_host_table,
    roster_table,
)

_node, _affiliation = node_table.c, affiliation_table.c
_server, _roster, _contact = roster_host_table.c, roster_table.c, roster_entry_table.c
_group = roster_group_table.c
#: Rows that are written at once.
_AT_ONCE = 500
#: Somebody in a group: his address, without resource, and the group.
Entry = tuple[str, str]


class Rosters(Desk):
    """Who may read rosters tells here what is in them."""

    def rosters_granted(self, server: str, seconds: float) -> None:
        """The rosters of this server's accounts can be read, as far as is known for so long."""
        until = {"good_until": clock(seconds)}
        row = {"domain": server, **until}
        self.connection.execute(insert_or_update(self.dialect, roster_host_table, row, dict(until)))

    def rosters_withdrawn(self, server: str | None = None) -> None:
        """The rosters of this server's accounts cannot be read any more, or of no server's; nothing
        is known of them from now on."""
        servers, rosters = [_server.good_until > clock()], [_roster.good_until > clock()]
        if server is not None:
            servers.append(_server.domain == server)
            rosters.append(_roster.owner.endswith("@" + server, autoescape=True))
        over = {"good_until": clock()}
        self.connection.execute(update(roster_host_table).where(*servers).values(over))
        self.connection.execute(update(roster_table).where(*rosters).values(over))

    def roster_servers(self) -> list[str]:
        """The servers whose rosters can be read, or could be a short time ago."""
        return list(self.connection.scalars(select(_server.domain).order_by(_server.domain)))

    def roster_wanted(self, owner: str) -> datetime | None:
        """Now, by the database's clock, if a node's access depends on this roster; else None."""
        node = select(_node.id).where(_node.roster_of == owner, *_naming())
        if not self._exists(node):
            return None
        return self.connection.scalar(select(clock()))

    def rosters_wanted(self, after: str, limit: int) -> list[str]:
        """The owners on whose rosters some node's access depends, in their order.

        :param after: those whose address comes after this one.
        """
        look = select(_node.roster_of).where(_node.roster_of > after, *_naming()).distinct()
        return list(self.connection.scalars(look.order_by(_node.roster_of).limit(limit)))

    def roster_taken(
        self, owner: str, entries: Iterable[Entry], asked_at: datetime, seconds: float
    ) -> None:
        """A roster, as it was some time after it was asked for. Of its entries those are kept that
        are in a group that some node admits.

        :param asked_at: by the database's clock. What was asked for earlier than what is known is
            passed over: it may be older.
        :param seconds: how long, from then, it holds.
        """
        row = self._row_of(owner)
        if row is None or row.asked_at > asked_at:
            return
        named = select(_group.name).join(node_table, _node.id == _group.node_id).distinct()
        admitted = set(self.connection.scalars(named.where(_node.roster_of == owner, *_naming())))
        kept = sorted({entry for entry in entries if entry[1] in admitted})
        digest = sha256(repr(kept).encode()).hexdigest()
        if digest != row.digest:
            self.connection.execute(delete(roster_entry_table).where(_contact.roster_id == row.id))
            for first in range(0, len(kept), _AT_ONCE):
                part = kept[first : first + _AT_ONCE]
                rows = [
                    {"roster_id": row.id, "jid": jid, "group_name": group} for jid, group in part
                ]
                self.connection.execute(insert(roster_entry_table).values(rows))
        end = asked_at + timedelta(seconds=seconds)
        values = {"digest": digest, "asked_at": asked_at, "good_until": end}
        change = update(roster_table).where(_roster.id == row.id)
        self.connection.execute(change.values(values))

    def roster_lost(self, owner: str) -> None:
        """A roster could not be read: nothing is known of it."""
        lost = update(roster_table).where(_roster.owner == owner, _roster.good_until > clock())
        self.connection.execute(lost.values(good_until=clock()))

    def access_models(self, actor: Actor) -> list[AccessModel]:
        """Those that a node of the actor's can have now: ``roster`` where rosters can be read."""
        known = actor.is_admin and self.has_rosters()
        if known or self._is_readable(actor.bare):
            return list(AccessModel)
        return [model for model in AccessModel if model is not AccessModel.ROSTER]

    def has_rosters(self) -> bool:
        """Whether the rosters of any server's accounts can be read."""
        return self._exists(select(_server.domain).where(_server.good_until > clock()))

    def _roster_for(self, node: Node | None, actor: Actor, config: NodeConfig) -> str | None:
        """Whose roster is meant: that of the owner who names the groups.

        :param node: as it is; None for one that the actor is about to make.
        :param config: as it will be.
        :raises PubSubError: ``unsupported-access-model``, when it cannot be read.
        """
        if config.access_model != AccessModel.ROSTER:
            return None
        named = node is None or (
            (node.config.access_model, node.config.roster_groups_allowed)
            != (config.access_model, config.roster_groups_allowed)
        )
        before = None if node is None else node.roster_of
        if node is not None and before is not None and not named and self._is_owner(node, before):
            return before
        owner = actor.bare
        if node is not None and not self._is_owner(node, owner):  # an admin
            owner = before or node.creator
        if self._is_readable(owner):
            return owner
        if named:
            raise PubSubError(
                "not-acceptable",
                "unsupported-access-model",
                text=f"the roster of {owner} cannot be read here",
            )
        return before

    def _keep_groups(self, node: Node, owner: str | None, groups: Collection[str]) -> None:
        """Note whom the node admits; nobody without a roster."""
        if owner is None and node.roster_of is None:
            return
        change = update(node_table).where(_node.id == node.id)
        self.connection.execute(change.values(roster_of=owner))
        self.connection.execute(delete(roster_group_table).where(_group.node_id == node.id))
        rows = [
            {"node_id": node.id, "name": name}
            for name in sorted(set(groups))
            if len(name) <= MAX_GROUP
        ]
        if owner is not None and rows:
            self.connection.execute(insert(roster_group_table).values(rows))

    def _is_readable(self, owner: str) -> bool:
        server = domain(owner)
        good = select(_server.domain).where(_server.domain == server, _server.good_until > clock())
        return owner != server and self._exists(good)

    def _is_owner(self, node: Node, address: str) -> bool:
        owner = select(_affiliation.jid).where(
            _affiliation.node_id == node.id,
            _affiliation.jid == address,
            _affiliation.affiliation == Affiliation.OWNER,
        )
        return self._exists(owner)

    def _row_of(self, owner: str) -> Any:
        """The row of a roster, locked, so that of two who have read it one comes after the other;
        made if it is not there."""
        mine = select(roster_table).where(_roster.owner == owner)
        if not self._exists(mine):
            long_ago = clock(-10 * 365 * 86400)
            new = {"owner": owner, "digest": "", "asked_at": long_ago, "good_until": long_ago}
            if self.dialect == "mariadb":
                # Those who come too late would share a lock on the row there, and wait for each
                # other to lock it. So it is an update that changes nothing.
                made = mysql.insert(roster_table).values(new)
                self.connection.execute(made.on_duplicate_key_update(owner=_roster.owner))
            else:
                self.connection.execute(insert_new(self.dialect, roster_table).values(new))
        return self.connection.execute(mine.with_for_update()).first()


def _naming() -> list[Any]:
    """Whether a node is there and he whose roster is meant is an owner of it."""
    return [
        _node.name.is_not(None),
        there_is(
            _affiliation.node_id == _node.id,
            _affiliation.jid == _node.roster_of,
            _affiliation.affiliation == Affiliation.OWNER,
        ),
    ]
