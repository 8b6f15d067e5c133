"""The service as the plugin uses it: with an eye on whose nodes those are that it finds.

What a node will be called is no secret. Where everyone may create nodes, somebody could have made
it before its first event, to read what is published there, or to keep it away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from eventworker.pubsub.desk import Node
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, Fields, NewItem
from eventworker.pubsub.jid import domain
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.tables import redirect_table


class Publisher(PubSubService):
    """Publishes to no node that a stranger has made."""

    def make(self, name: str, fields: Mapping[str, Sequence[str]]) -> bool:
        """Make a node, unless it is there; returns whether it is the service's own then."""
        try:
            self.create(name, self.settings.itself, fields)
        except PubSubError as error:
            if error.condition != "conflict":  # another one was first
                raise
            return self._is_ours(self.node(name).creator)
        return True

    def has_moved_ours(self, name: str) -> bool:
        """Whether a node that has gone elsewhere was the service's own."""
        creator = self.connection.scalar(
            select(redirect_table.c.creator).where(redirect_table.c.name == name)
        )
        return creator is not None and self._is_ours(creator)

    def _published_to(
        self,
        name: str,
        actor: Actor,
        items: Sequence[NewItem],
        namespaces: Sequence[str | None],
        options: Fields | None,
    ) -> Node:
        found = super()._published_to(name, actor, items, namespaces, options)
        if not self._is_ours(found.creator):
            raise PubSubError(
                "forbidden",
                text=f"it was made by {found.creator}, who is no admin; delete it, or name nodes "
                "of events differently",
            )
        return found

    def _is_ours(self, creator: str) -> bool:
        """Whether that is the service itself, an account of its own, or an admin."""
        return domain(creator) == self.settings.service or self.settings.actor(creator).is_admin
