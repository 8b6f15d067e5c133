"""Adding effects, in the transaction of the event's own work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SmallInteger,
    String,
    Text,
    cast,
    func,
    insert,
    literal,
    select,
)

from eventworker.db import (
    LONGEST_DELAY,
    PENDING,
    EventId,
    EventSession,
    GroupSession,
    Origin,
    clock,
)
from eventworker.effects.effect import encode, key_of
from eventworker.effects.table import Json, effect_table, shared_table
from eventworker.errors import PluginError
from eventworker.event import Event

_effect = effect_table.c
#: Each database's function that makes a JSON object of names and values.
_JSON_OBJECT = {
    "postgresql": func.json_build_object,
    "sqlite": func.json_object,
    "mariadb": func.json_object,
}


def add(session: Any, payload: Any, *, delay: float = 0.0, event: Event | None = None) -> str:
    """Have the plugin's ``perform()`` called with ``payload`` once the event's work is committed.

    If that is undone, there is no effect; a ``session.rollback()`` undoes what was added since the
    last ``session.commit()``.

    :param session: the session that ``handle()`` was given.
    :param payload: what JSON can say, at most :data:`MAX_PAYLOAD` bytes of it.
    :param delay: seconds to wait before the first attempt.
    :param event: inside ``handle_batch()``, which of its events this is an effect of.
    :returns: the effect's key.
    :raises EncodeError: when the payload cannot be written as JSON.
    :raises PluginError: outside ``handle()``, or when the plugin has no ``perform()``.
    :raises ValueError: for a delay below zero or above a year.
    """
    origin = _origin_of(session, event)
    # The number is asked for in the transaction itself, so that whatever takes an effect back takes
    # its number back: each attempt of the same code then gives the same keys.
    new = select(
        *_beginning(origin, func.coalesce(func.max(_effect.n), 0) + 1),
        literal(encode(payload), Json),
        *_rest(delay),
    ).where(*_of(origin))
    added = insert(effect_table).from_select([*_BEGINNING, "payload", *_REST], new)
    n = session.scalar(added.returning(_effect.n))
    return key_of(origin.event_id, origin.name, n)


def add_each(
    session: Any,
    source: Select[Any],
    *,
    shared: Mapping[str, Any] | None = None,
    delay: float = 0.0,
    event: Event | None = None,
) -> int:
    """Add an effect for each row of ``source``, inside the database; returns their number.

    No row passes through this process, so a hundred thousand take no memory. The payload of each is
    an object: the columns of its row by their names, made by the database's own JSON function
    (texts and numbers look alike everywhere), and the fields of ``shared``, which are stored once.
    The size of a row is not looked at.

    :param source: a SELECT on the event's own database.
    :param delay: seconds to wait before the first attempt.
    :param event: inside ``handle_batch()``, which of its events these are effects of.
    :raises EncodeError: when ``shared`` cannot be written as JSON.
    :raises PluginError: outside ``handle()``, or when the plugin has no ``perform()``.
    :raises ValueError: for a delay below zero or above a year.
    """
    origin = _origin_of(session, event)
    session.flush()
    last = session.scalar(select(func.coalesce(func.max(_effect.n), 0)).where(*_of(origin)))
    if shared is not None:
        session.execute(
            insert(shared_table).values(
                event_id=origin.event_id,
                plugin=origin.plugin,
                n=last + 1,
                payload=encode(dict(shared)),
                created_at=clock(),
            )
        )
    row = source.subquery()
    make = _JSON_OBJECT[session.get_bind().dialect.name]
    fields = [part for column in row.c for part in (literal(column.key, String), column)]
    new = select(
        *_beginning(origin, func.row_number().over() + literal(last, BigInteger)),
        cast(make(*fields), Text().with_variant(String(), "mariadb")),
        literal(None if shared is None else last + 1, BigInteger),
        *_rest(delay),
    )
    added = session.execute(
        insert(effect_table).from_select([*_BEGINNING, "payload", "shared", *_REST], new),
        execution_options={"preserve_rowcount": True},
    )
    return int(added.rowcount)


_BEGINNING = ("event_id", "plugin", "n")
_REST = ("state", "attempts", "due_at", "created_at")


def _beginning(origin: Origin, n: Any) -> list[ColumnElement[Any]]:
    return [
        literal(origin.event_id, EventId),
        literal(origin.plugin, SmallInteger),
        n,
    ]


def _rest(delay: float) -> list[ColumnElement[Any]]:
    if not 0 <= delay <= LONGEST_DELAY:
        raise ValueError(f"the delay of an effect is in seconds from now, and {delay} is too far")
    return [literal(PENDING, String(10)), literal(0, SmallInteger), clock(delay), clock()]


def _of(origin: Origin) -> tuple[ColumnElement[bool], ...]:
    return _effect.event_id == origin.event_id, _effect.plugin == origin.plugin


def _origin_of(session: Any, event: Event | None) -> Origin:
    origin = session.origin if isinstance(session, EventSession) else None
    if isinstance(session, GroupSession) and session.origins:
        if event is None:
            raise PluginError("handle_batch() has to say of which event this is an effect: event=")
        origin = session.origins.get(event.id)
    elif event is not None and (origin is None or origin.event_id != event.id):
        origin = None
    if origin is None:
        raise PluginError(
            "an effect can only be added inside handle(), with the session that it was given and "
            "of its own event"
        )
    if not origin.performs:
        raise PluginError(
            f"plugin {origin.name} has no perform(effect), so nobody would perform this effect"
        )
    return origin
