"""Transactional capture: a SQLAlchemy session records what it changes, as it changes it.

::

    Session = sessionmaker(engine)
    capture(Session, {Story: "story", Comment: Resource("comment", parent=("story", "story_id"))})

Every object of these classes that a session creates, changes or deletes becomes one event in the
outbox, written in the same transaction just before its COMMIT: both are there, or neither. Several
flushes of one object make one event, from the first state before to the last state after; what a
rollback undoes, to a savepoint too, is forgotten. Images are what the database had, not what the
session remembers: each flush reads the rows that it is about to change once more, and locks them
(:mod:`eventworker.capture.rows`).

Not seen are statements that do not go through objects (``session.execute(update(...))``,
``bulk_*``, the database's own cascades) and changes of many-to-many collections; for these call
``outbox.record()`` yourself. With an ``AsyncSession`` give its ``sync_session_class``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import (
    InstanceState,
    Mapper,
    Session,
    SessionTransaction,
    UOWTransaction,
    scoped_session,
    sessionmaker,
)

from eventworker.capture.images import (
    SECRETS,
    Captured,
    Images,
    Resource,
    column_image,
    rows_of,
)
from eventworker.capture.journal import Change, Journal, Kind, Pending
from eventworker.capture.recording import event_of, record
from eventworker.capture.request import current_facts
from eventworker.event import Event

__all__ = ["Resource", "capture"]

#: As many as SQLAlchemy itself allows before it says that a listener makes changes for ever.
_MOST_FLUSHES = 100


def capture(
    session_or_factory: Session | sessionmaker[Any] | scoped_session[Any] | type[Session],
    resources: Mapping[type, str | Resource],
    *,
    images: Images = column_image,
    exclude: Iterable[str] = (),
    secrets: Iterable[str] = SECRETS,
    source: str = "",
    ordered: bool | Collection[str] = False,
) -> None:
    """Record an event for each object of ``resources`` that these sessions change.

    An event that is too large for the wire is recorded without its images, with a warning in the
    log. Every other error in capture fails the commit: the change and its event go together.

    :param resources: mapped class to resource name or :class:`Resource`; subclasses are included.
    :param images: called with an object and its column values (those before or those after),
        returns what goes into the image. A change that makes equal images makes no event.
    :param exclude: attributes or columns that appear in no image.
    :param secrets: a column whose name contains one of these appears in no image.
    :param source: name of the application, the events' ``source``.
    :param ordered: give the events their places among those of their resource, for plugins that
        are ``ordered``; or the names of the resources that are to have them. Transactions that
        change the same resource then end one after the other.
    """
    listener = _Listener(resources, images, frozenset(exclude), tuple(secrets), source, ordered)
    for name in _EVENTS:
        event.listen(session_or_factory, name, getattr(listener, name))


_EVENTS = (
    "before_flush",
    "after_flush",
    "persistent_to_deleted",
    "after_flush_postexec",
    "after_transaction_create",
    "after_soft_rollback",
    "before_commit",
    "after_commit",
    "after_transaction_end",
)


class _Listener:
    """Handlers of SQLAlchemy's session events, by their names."""

    def __init__(
        self,
        resources: Mapping[type, str | Resource],
        images: Images,
        exclude: frozenset[str],
        secrets: tuple[str, ...],
        source: str,
        ordered: bool | Collection[str],
    ) -> None:
        self._resources = {
            mapped: Resource(resource) if isinstance(resource, str) else resource
            for mapped, resource in resources.items()
        }
        self._images = images
        self._exclude = exclude
        self._secrets = secrets
        self._source = source
        self._ordered = ordered
        self._captured: dict[Mapper[Any], Captured | None] = {}

    # -- collecting ---------------------------------------------------------------------------

    def before_flush(self, session: Session, _context: UOWTransaction, _instances: Any) -> None:
        """Before, since a flush overwrites what only the row still knows."""
        pending = self._journal(session).pending
        pending.clear()  # a flush that failed left its own
        about: dict[InstanceState[Any], Captured] = {}
        for instance in session.deleted:
            if found := self._find(instance):
                about[found[1]] = found[0]
        for instance in session.dirty:
            if (found := self._find(instance)) and session.is_modified(instance):
                about[found[1]] = found[0]
        rows = rows_of(session, about)
        for state, captured in about.items():
            changed = frozenset(captured.changed(state))
            if (row := rows.get(state)) is None:
                pending[state] = Pending(captured.before(session, state), changed)
            else:
                is_stale = captured.is_stale(state, row)
                pending[state] = Pending(captured.before_row(state, row), changed, is_stale)

    def after_flush(self, session: Session, _context: UOWTransaction) -> None:
        """After, since the flush itself sets foreign keys."""
        journal = self._journal(session)
        for instance in session.dirty:
            if found := self._find(instance):
                self._note_changed(session, journal, instance, *found)
        for instance in session.new:
            if found := self._find(instance):
                captured, state = found
                unset = captured.unset(state)
                journal.log.append(Change(Kind.CREATED, captured, state, instance, unset=unset))

    def _note_changed(
        self,
        session: Session,
        journal: Journal,
        instance: Any,
        captured: Captured,
        state: InstanceState[Any],
    ) -> None:
        pending = journal.pending.get(state)
        changed = captured.changed(state).union(pending.changed if pending else ())
        if not changed:
            return
        journal.log.append(
            Change(
                Kind.CHANGED,
                captured,
                state,
                instance,
                before=pending.before if pending else captured.before(session, state),
                hidden=captured.has_hidden(changed),
                is_stale=pending is not None and pending.is_stale,
            )
        )

    def persistent_to_deleted(self, session: Session, instance: Any) -> None:
        """Also called for orphans, which ``session.deleted`` does not name."""
        if found := self._find(instance):
            captured, state = found
            journal = self._journal(session)
            pending = journal.pending.get(state)
            before = pending.before if pending else captured.loaded(state)
            journal.log.append(Change(Kind.DELETED, captured, state, instance, before))

    def after_flush_postexec(self, session: Session, _context: UOWTransaction) -> None:
        """Somebody else's ``before_commit`` may make changes after ours has written."""
        journal = self._journal(session)
        journal.pending.clear()
        if journal.sealed:
            self._write(session, journal)

    # -- transactions -------------------------------------------------------------------------

    def after_transaction_create(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.nested:
            journal = self._journal(session)
            journal.marks[transaction] = len(journal.log)

    def after_soft_rollback(self, session: Session, ended: SessionTransaction) -> None:
        if ended.nested:
            self._journal(session).forget_since(ended)

    def before_commit(self, session: Session) -> None:
        """Flush and write, unless it is only a savepoint that ends."""
        journal = self._journal(session)
        if not self._is_final(session, journal):
            return
        for _ in range(_MOST_FLUSHES):
            if not (session.new or session.dirty or session.deleted):
                break
            session.flush()
        self._write(session, journal)

    def _is_final(self, session: Session, journal: Journal) -> bool:
        """Whether this is the end of the whole transaction, as far as we are told.

        SQLAlchemy calls ``before_commit`` for a savepoint, too. When a transaction is committed
        while savepoints are open, it is called twice for the innermost one and then once for each
        one around it; after the outermost one there is no further call before the COMMIT.
        """
        savepoint = session.get_nested_transaction()
        if savepoint is None:
            return True
        if savepoint is journal.ending:
            journal.all_ending = True
        journal.ending = savepoint
        outermost = savepoint.parent is None or not savepoint.parent.nested
        return journal.all_ending and outermost

    def after_commit(self, session: Session) -> None:
        if session.in_nested_transaction():
            return
        journal = self._journal(session)
        if journal.facts is not None:
            journal.facts.recorded |= journal.written

    def after_transaction_end(self, session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:
            session.info.pop(self, None)

    # -- writing ------------------------------------------------------------------------------

    def _write(self, session: Session, journal: Journal) -> None:
        journal.sealed = True
        journal.facts = current_facts()
        made = [event_of(session, change, journal.facts, self._source) for change in journal.take()]
        events = [event for event in made if event is not None]
        record(session, events, self._is_ordered)
        journal.written.update(event.resource for event in events)

    def _is_ordered(self, event: Event) -> bool:
        if isinstance(self._ordered, bool):
            return self._ordered
        return event.resource in self._ordered

    # -- helpers ------------------------------------------------------------------------------

    def _journal(self, session: Session) -> Journal:
        journal: Journal = session.info.setdefault(self, Journal())
        return journal

    def _find(self, instance: Any) -> tuple[Captured, InstanceState[Any]] | None:
        state: InstanceState[Any] = inspect(instance)
        mapper = state.mapper
        if mapper not in self._captured:
            self._captured[mapper] = self._make(mapper)
        captured = self._captured[mapper]
        return (captured, state) if captured is not None else None

    def _make(self, mapper: Mapper[Any]) -> Captured | None:
        for base in mapper.iterate_to_root():
            if resource := self._resources.get(base.class_):
                return Captured(mapper, resource, self._exclude, self._secrets, self._images)
        return None
