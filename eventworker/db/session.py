"""The session that ``handle()`` is given: an ordinary session whose commit is not final.

``commit()`` flushes and sets a savepoint, ``rollback()`` goes back to it, and the real COMMIT comes
when ``handle()`` has returned, together with the inbox row. Until a plugin calls one of the two, no
savepoint and so no round trip is spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session, SessionTransaction

from eventworker.db.transaction import OwnedTransaction


@dataclass(frozen=True, slots=True)
class Origin:
    """The call that a session was made for.

    :ivar plugin: the plugin's number; ``name`` is its name.
    :ivar performs: whether it can perform effects, so that it may add some.
    """

    event_id: UUID
    plugin: int
    name: str
    performs: bool


class EventSession(Session):
    """A session inside an :class:`~eventworker.db.transaction.OwnedTransaction`.

    :ivar origin: the call it was made for; None for a session in another database, and when the
        call is over.
    """

    def __init__(self, owned: OwnedTransaction) -> None:
        super().__init__(bind=owned.connection, join_transaction_mode="rollback_only")
        self._owned = owned
        self._mark: SessionTransaction | None = None
        self.origin: Origin | None = None

    def begin(self, nested: bool = False) -> Any:
        """As in SQLAlchemy, but the end of a plain block is :meth:`commit` or :meth:`rollback`."""
        return super().begin(nested=True) if nested else _Block(self)

    def commit(self) -> None:
        """Keep what was done so far, whatever :meth:`rollback` follows."""
        self.flush()
        while (nested := self.get_nested_transaction()) is not None:
            nested.commit()
        self._mark = super().begin(nested=True)
        if self.expire_on_commit:
            self.expire_all()

    def rollback(self) -> None:
        """Undo what was done since the last :meth:`commit`, or since the call began."""
        if self._mark is None:
            super().rollback()
            self._owned.restart()
            return
        while (nested := self.get_nested_transaction()) not in (None, self._mark):
            nested.rollback()
        self._mark.rollback()
        self._mark = super().begin(nested=True)

    def close(self) -> None:
        """Undo what was not committed, as any session's close does, and forget all objects."""
        self.rollback()
        super().close()
        if self._mark is not None:  # it has ended with all the others
            self._mark = super().begin(nested=True)

    def dispose(self) -> None:
        """The framework's close: the transaction has ended, nothing is to be undone."""
        self.forget_origin()
        super().close()

    def forget_origin(self) -> None:
        """The call is over: effects cannot be added any more."""
        self.origin = None


class _Block:
    """``with session.begin():`` on an event session."""

    def __init__(self, session: EventSession) -> None:
        self.session = session

    def __enter__(self) -> EventSession:
        return self.session

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.session.commit()
        else:
            self.session.rollback()

    def commit(self) -> None:
        self.session.commit()

    def rollback(self) -> None:
        self.session.rollback()
