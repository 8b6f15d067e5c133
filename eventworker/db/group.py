"""One transaction that several calls of one plugin share, a session each.

A call whose plugin has only added new objects sends nothing of its own: its objects are gathered,
and one flush writes those of all such calls, many rows to a statement. Before any call sends a
statement, what was gathered is flushed. So each call finds what the calls before it have done, as
if each had been committed.

There are no savepoints between the calls. Whatever cannot be undone for one call alone breaks the
group: its transaction is rolled back, and its events are done anew, in smaller groups and at last
one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.orm import Session

from eventworker.db.session import EventSession, Origin
from eventworker.db.transaction import OwnedTransaction
from eventworker.errors import TransactionLost


class GroupBroken(BaseException):
    """The transaction of a group must not be committed.

    No Exception, so that a plugin does not swallow it by chance; one that swallows it all the same
    changes nothing.
    """


class GroupTransaction(OwnedTransaction):
    """An owned transaction for the calls of one plugin with several events.

    :param claim: as in :class:`~eventworker.db.transaction.OwnedTransaction`, for all events.
    :ivar statements: how many were sent, by whomever.
    """

    def __init__(self, connection: Connection, claim: Callable[[Connection], str | None]) -> None:
        super().__init__(connection, claim)
        self.statements = 0
        self._gathered = Session(bind=connection, join_transaction_mode="rollback_only")
        self._is_gathered = False
        self._broken: BaseException | None = None
        self._watched: Any = None

    def begin(self) -> bool:
        begun = super().begin()
        if begun and not self._claim_last:
            # It would make the inbox rows of all calls final, of those to come too. SQLite's cannot
            # be replaced, and has no such rows yet.
            self._watched = self._driver
            self._watched.commit = self._refuse_driver_commit
        return begun

    def session(self) -> GroupSession:
        """A session for the next call."""
        return GroupSession(self)

    def end_call(self, session: GroupSession) -> None:
        """Keep what a call has done. Its session is not to be used any more.

        :raises GroupBroken: when it has broken the group.
        """
        self.require_open()
        if session.has_only_added:
            session.forget_origin()  # it holds nothing that had to be closed
            self._gather(session)
        else:
            session.commit()
            session.dispose()
        self.require_whole()

    def _gather(self, session: GroupSession) -> None:
        added = list(session.new)
        if not added:
            return
        try:
            session.expunge_all()
            self._gathered.add_all(added)
        except BaseException as error:
            # Some of them may be here already, and must not be written for a call that failed.
            self.break_up(error)
        self._is_gathered = True

    def flush(self) -> None:
        """Write what was gathered.

        :raises GroupBroken: when that fails; whose fault it is, nobody can tell.
        """
        if not self._is_gathered:
            return
        self._is_gathered = False
        try:
            self._gathered.flush()
        except BaseException as error:
            self.break_up(error)

    def break_up(self, reason: BaseException | str) -> None:
        """Let this transaction come to nothing.

        :raises GroupBroken: always.
        """
        if isinstance(reason, GroupBroken):
            raise reason
        broken = GroupBroken(str(reason))
        if isinstance(reason, BaseException):
            broken.__cause__ = reason
        self._broken = self._broken or broken
        raise broken

    def require_whole(self) -> None:
        """
        :raises GroupBroken: when a call has broken the group and its plugin did not let it be seen.
        """
        if self._broken is not None:
            raise GroupBroken(str(self._broken)) from self._broken

    def restart(self) -> None:
        self.break_up("the plugin rolled back")

    def commit(self) -> None:
        self.require_whole()
        self._unwatch()
        super().commit()

    def require_open(self) -> None:
        try:
            super().require_open()
        except TransactionLost as error:
            self.break_up(error)

    def about_to_send(self) -> None:
        super().about_to_send()
        self.statements += 1
        self.flush()

    def note_error(self, error: BaseException) -> None:
        super().note_error(error)
        # On PostgreSQL nothing can follow an error, and elsewhere nobody knows what came of it.
        if self._broken is None:
            self._broken = error

    def release(self) -> None:
        self._unwatch()
        super().release()
        self._gathered.close()

    def _refuse_driver_commit(self) -> None:
        self.break_up("the plugin committed through the driver")

    def _unwatch(self) -> None:
        if self._watched is not None:
            del self._watched.commit
            self._watched = None


class GroupSession(EventSession):
    """The session of one call in a group: ``commit()`` is a flush, and what was sent can only be
    undone together with all that the group did.

    :ivar origins: in a call with several events, the calls that it stands for, by the event's id.
    """

    def __init__(self, group: GroupTransaction) -> None:
        super().__init__(group)
        self._group = group
        self._kept_at = group.statements
        self._begun_at = group.statements
        self.origins: dict[UUID, Origin] = {}

    @property
    def has_sent(self) -> bool:
        """Whether the call has sent a statement, so that it cannot be undone alone."""
        return self._group.statements != self._begun_at

    @property
    def has_only_added(self) -> bool:
        """Whether all that there is of the call is new objects."""
        return not self.has_sent and not self.identity_map and not self.deleted

    def commit(self) -> None:
        self.flush()
        while (nested := self.get_nested_transaction()) is not None:
            nested.commit()
        self._kept_at = self._group.statements
        if self.expire_on_commit:
            self.expire_all()

    def rollback(self) -> None:
        """Undo what was done since the last :meth:`commit`, if nothing of it was sent.

        :raises GroupBroken: otherwise.
        """
        if self._group.statements != self._kept_at:
            self._group.break_up("the plugin rolled back what it had sent")
        for each in list(self.new):
            # One may have gone with another already.
            if each in self:
                self.expunge(each)
        for each in list(self.deleted):
            self.add(each)
        self.expire_all()

    def forget_origin(self) -> None:
        super().forget_origin()
        self.origins = {}
