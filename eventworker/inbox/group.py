"""The inbox rows of several events that one plugin is called with in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from operator import attrgetter
from uuid import UUID

from sqlalchemy import Connection, Engine, delete, select

from eventworker.db import GroupBroken, GroupTransaction, Superseded
from eventworker.failpoints import reached
from eventworker.inbox.claims import (
    Outcome,
    connected,
    inbox_table,
    new_rows,
    take_on_postgresql,
)

_inbox = inbox_table.c

#: UUIDs compare themselves in Python, several times slower than their numbers.
_by_number = attrgetter("int")


class GroupClaim:
    """The claim of deliveries that are handled together, as they arrive.

    On PostgreSQL and MariaDB the rows are written at the start, in the order of their ids, so that
    two groups that have events in common wait for each other in one direction only. On SQLite they
    come last, as that of a single call does; nobody else can write meanwhile.

    :ivar taken: the events that are ours to handle, of those asked for.
    """

    def __init__(self, plugin: int, event_ids: Collection[UUID]) -> None:
        self._plugin = plugin
        self._wanted = sorted(event_ids, key=_by_number)
        self.taken: set[UUID] = set()

    @property
    def has_all(self) -> bool:
        """Whether none was settled before."""
        return len(self.taken) == len(self._wanted)

    def look(self, connection: Connection) -> None:
        """Find out what is settled already, where the claim itself cannot tell."""
        known = select(_inbox.event_id).where(
            _inbox.plugin == self._plugin, _inbox.event_id.in_(self._wanted)
        )
        self.taken = set(self._wanted).difference(connection.scalars(known))

    def take(self, connection: Connection) -> str | None:
        """See :class:`~eventworker.db.OwnedTransaction`.

        :raises GroupBroken: when somebody else settled one of them since :meth:`look`.
        """
        if connection.dialect.name == "postgresql":
            identity, taken = take_on_postgresql(connection, self._plugin, self._wanted)
            self.taken = set(taken)
            return identity
        if connection.dialect.name == "mariadb":
            self.look(connection)
        if not self.taken:
            return None
        done = {"plugin": self._plugin, "outcome": int(Outcome.DONE)}
        mine = [{"event_id": each, **done} for each in sorted(self.taken, key=_by_number)]
        new = new_rows(connection.dialect.name)
        if connection.execute(new, mine).rowcount != len(mine):
            raise GroupBroken("an event of the group was handled elsewhere meanwhile")
        return ""

    def give_up(self, connection: Connection, event_ids: Collection[UUID]) -> None:
        """Leave out those of these that were taken, inside the transaction: nothing is done for
        them. The rows of others are somebody else's."""
        dropped = self.taken.intersection(event_ids)
        self.taken -= dropped
        if dropped and self.taken and connection.dialect.name != "sqlite":
            mine = (_inbox.plugin == self._plugin, _inbox.event_id.in_(list(dropped)))
            connection.execute(delete(inbox_table).where(*mine))


@contextmanager
def claimed_group(engine: Engine, claim: GroupClaim) -> Iterator[GroupTransaction]:
    """A transaction for the events that ``claim.taken`` has then, committed with their inbox rows
    at the end of the block, or not at all.

    :raises GroupBroken: when it cannot be committed for a reason that may be one event's alone.
    :raises TransactionLost: when the commit cannot be proven.
    :raises DatabaseUnavailable: when the database is away, or the connection was lost: whether the
        COMMIT was carried out, the inbox rows will tell at the next try.
    """
    with connected(engine) as connection:
        if engine.dialect.name == "sqlite":
            connection.execution_options(eventworker_immediate=True)
        group = GroupTransaction(connection, claim.take)
        try:
            if group.begin():
                if engine.dialect.name == "sqlite":
                    claim.look(connection)
                reached("call.claimed")
            yield group
            if claim.taken:
                group.flush()
                reached("call.returned")
                group.commit()
        except Superseded as error:
            raise GroupBroken("the group's claim was lost") from error
        finally:
            group.release()
