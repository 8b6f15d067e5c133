"""Deleting what has been kept long enough, in small bites that nobody waits for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    or_,
    select,
)

from eventworker.db import DEAD, clock, configured_engine, short_transaction
from eventworker.effects.table import effect_table, shared_table
from eventworker.engine.child import Child
from eventworker.errors import DatabaseUnavailable
from eventworker.inbox.anonymous import anonymous_table
from eventworker.inbox.backlog import delivery_table, event_table
from eventworker.inbox.claims import Outcome, inbox_table
from eventworker.inbox.cursor import cursor_table
from eventworker.inbox.quarantine import quarantine_table
from eventworker.outbox.table import DEAD as OUTBOX_DEAD
from eventworker.outbox.table import LOST, READY, outbox_table
from eventworker.service import Service

log = logging.getLogger(__name__)

_BITE = 2000
_DAY = 86400.0
#: Ids in a line of the log.
_NAMED = 5

_outbox = outbox_table.c


def overdue(options: Any) -> Iterator[tuple[Table, ColumnElement[bool]]]:
    """Each table with the condition under which its rows may go, in the order of deletion."""
    inbox = inbox_table.c
    delivery, event = delivery_table.c, event_table.c
    dead = clock(-options.dead_days * _DAY)
    inbox_days = clock(-options.inbox_days * _DAY)
    # Longer only what nobody was given: that does no harm by coming back late.
    unpublished = and_(_outbox.state == OUTBOX_DEAD, _outbox.sent_at.is_(None))
    yield (
        outbox_table,
        # Not IN, here and below: SQLAlchemy has no such list in a statement for many rows, see
        # _bite.
        and_(
            _outbox.state != READY,
            or_(
                and_(~unpublished, _outbox.settled_at < clock(-options.outbox_days * _DAY)),
                and_(unpublished, _outbox.settled_at < dead),
            ),
        ),
    )
    yield delivery_table, and_(delivery.state == DEAD, delivery.due_at < dead)
    effect, shared = effect_table.c, shared_table.c
    yield effect_table, and_(effect.state == DEAD, effect.due_at < dead)
    # What effects share goes with the last of them; the pause is for those being written right now.
    yield (
        shared_table,
        and_(
            shared.created_at < clock(-3600.0),
            ~exists().where(
                effect.event_id == shared.event_id,
                effect.plugin == shared.plugin,
                effect.shared == shared.n,
            ),
        ),
    )
    yield quarantine_table, quarantine_table.c.received_at < dead
    yield anonymous_table, anonymous_table.c.at < inbox_days
    yield (
        inbox_table,
        and_(
            inbox.at < inbox_days,
            inbox.outcome != int(Outcome.PENDING),
            inbox.outcome != int(Outcome.RETRY),
            ~exists().where(delivery.event_id == inbox.event_id, delivery.plugin == inbox.plugin),
        ),
    )
    # Where it is missing, the outbox and the inbox say the same, with a longer look; but a dead
    # letter outlives them, and must not be taken for the first event of its resource.
    cursor = cursor_table.c
    yield (
        cursor_table,
        and_(
            cursor.at < inbox_days,
            ~exists().where(delivery.stream == cursor.stream, delivery.plugin == cursor.plugin),
        ),
    )
    # An event's body goes when no row of the backlog needs it; the pause keeps a body whose rows
    # are being written by another transaction right now.
    yield (
        event_table,
        and_(
            event.stored_at < clock(-3600.0),
            ~exists().where(delivery.event_id == event.id),
        ),
    )


def clean(engine: Engine, options: Any) -> dict[str, int]:
    """Delete what is overdue; returns the number of rows by table.

    :raises DatabaseUnavailable: when the database is away.
    """
    deleted: dict[str, int] = {}
    for table, condition in overdue(options):
        if table is outbox_table:
            _tell_unhandled(engine, condition)
        while True:
            with short_transaction(engine) as connection:
                gone = _bite(connection, table, condition)
            deleted[table.name] = deleted.get(table.name, 0) + gone
            if gone < _BITE:
                break
    return deleted


def _tell_unhandled(engine: Engine, condition: ColumnElement[bool]) -> None:
    """Say which of the outbox's overdue events are deleted although nobody has ever found them
    handled: with their bodies goes the last chance to publish them again."""
    unhandled = and_(condition, or_(_outbox.state == LOST, _outbox.check_at.is_not(None)))
    with short_transaction(engine) as connection:
        number = connection.scalar(select(func.count()).select_from(outbox_table).where(unhandled))
        if not number:
            return
        ids = connection.scalars(
            select(_outbox.id).where(unhandled).order_by(_outbox.id).limit(_NAMED)
        ).all()
    log.error(
        "%d events are deleted that were never known to be handled, since they are older than "
        "outbox_days: %s%s",
        number,
        ", ".join(map(str, ids)),
        ", ..." if number > len(ids) else "",
    )


def _bite(connection: Connection, table: Table, condition: ColumnElement[bool]) -> int:
    keys = list(table.primary_key.columns)
    rows = connection.execute(select(*keys).where(condition).limit(_BITE)).all()
    if not rows:
        return 0
    # The condition again: a row may have come back into use since the look.
    chosen = and_(*(key == bindparam(f"k_{key.name}") for key in keys))
    connection.execute(
        delete(table).where(condition, chosen),
        [{f"k_{key.name}": value for key, value in zip(keys, row, strict=True)} for row in rows],
    )
    return len(rows)


def run(conf: Any, child: Child) -> None:
    """Clean once per interval until the child is told to stop."""
    engine = configured_engine(conf.database)
    while not child.stopping:
        try:
            deleted = {name: rows for name, rows in clean(engine, conf.retention).items() if rows}
            child.slot.note_work()
            if deleted:
                log.info("deleted what was kept long enough: %s", deleted)
        except DatabaseUnavailable as error:
            log.warning("%s", error)
        child.wait(conf.retention.interval)


service = Service(wanted=lambda conf: True, run=run)
