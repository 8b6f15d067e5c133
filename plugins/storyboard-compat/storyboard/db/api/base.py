"""Reading and writing one kind of record.

StoryBoard's signatures, with one difference: ``session`` must be given, and is the one that
``handle()`` was called with. Nothing here commits or rolls back; what is written is flushed, and
becomes durable together with the note that the plugin has handled the event. In StoryBoard a call
without a session takes the web request's, which a worker does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from sqlalchemy import Integer, String
from sqlalchemy.orm import Query, Session

from storyboard.common.exception import NotFound, SessionRequired
from storyboard.db.models import Base
from storyboard.db.models.columns import Choice

Entity = TypeVar("Entity", bound=Base)


_session_of_event: ContextVar[Session | None] = ContextVar("session_of_event", default=None)
_REFUSAL = "there is no session but the one that handle() is given; pass it on as session=session"


def get_session(*_args: Any, **_kwargs: Any) -> Session:
    """The event's session, inside an overridden ``event()``, which is not given it.

    Elsewhere refused: a session of its own would commit whether or not the event's does.

    :raises SessionRequired: outside of ``event()``.
    """
    session = _session_of_event.get()
    if session is None:
        raise SessionRequired(_REFUSAL)
    return session


@contextmanager
def event_session(session: Session) -> Iterator[None]:
    """Let :func:`get_session` answer with this one."""
    token = _session_of_event.set(session)
    try:
        yield
    finally:
        _session_of_event.reset(token)


def given(session: Session | None) -> Session:
    """The session that was passed.

    :raises SessionRequired: if none was.
    """
    if session is None:
        raise SessionRequired(_REFUSAL)
    return session


def model_query(model: Any, session: Session | None = None) -> Query[Any]:
    """A query for a class or a column."""
    query: Query[Any] = given(session).query(model)
    return query


def as_key(entity_id: Any) -> int | None:
    """An id as the databases hold it; None for what cannot be one.

    StoryBoard's events carry ids cut out of URLs, so "42" is an id too. Its columns hold 32 bits,
    and PostgreSQL ends the transaction over a larger number.
    """
    if isinstance(entity_id, bool) or not re.fullmatch("[0-9]{1,10}", str(entity_id)):
        return None
    key = int(entity_id)
    return key if key < 2**31 else None


def entity_get(
    kls: type[Entity],
    entity_id: Any,
    filter_non_public: bool = False,
    session: Session | None = None,
) -> Entity | None:
    """The record with this id, or None."""
    session = given(session)
    key = as_key(entity_id)
    entity = None if key is None else session.get(kls, key)
    return _public(entity) if entity is not None and filter_non_public else entity


def entity_get_all(
    kls: type[Entity],
    filter_non_public: bool = False,
    offset: int | None = None,
    limit: int | None = None,
    sort_field: str | None = "id",
    sort_dir: str | None = "asc",
    session: Session | None = None,
    **kwargs: Any,
) -> list[Entity]:
    """The records that match; see :func:`apply_query_filters`.

    :raises TypeError: for a column that there is not.
    """
    query = apply_query_filters(model_query(kls, session), kls, **kwargs)
    column = _column(kls, sort_field or "id")
    order = column.desc() if sort_dir == "desc" else column.asc()
    entities: list[Entity] = query.order_by(order, kls.id).offset(offset).limit(limit).all()
    return [_public(entity) for entity in entities] if filter_non_public else entities


def entity_get_count(kls: type[Base], session: Session | None = None, **kwargs: Any) -> int:
    """The number of records that match."""
    return apply_query_filters(model_query(kls, session), kls, **kwargs).count()


def apply_query_filters(query: Query[Any], model: type[Base], **kwargs: Any) -> Query[Any]:
    """Narrow a query: text columns contain the value, all others equal it or are among several.

    None is no filter.

    :raises TypeError: for a column that there is not; to ignore it would answer too much.
    """
    for name, value in kwargs.items():
        column = _column(model, name)
        if value is None:
            continue
        if isinstance(value, list | tuple | set | frozenset):
            query = query.filter(column.in_(value))
        elif isinstance(column.type, String) and not isinstance(column.type, Choice):
            query = query.filter(column.contains(value, autoescape=True))
        elif isinstance(column.type, Integer):
            query = query.filter(column == as_key(value))
        else:
            query = query.filter(column == value)
    return query


def entity_create(
    kls: type[Entity], values: Mapping[str, Any], session: Session | None = None
) -> Entity:
    """A new record, which has its id already.

    :raises TypeError: for a name that is no column or relation of ``kls``.
    """
    session = given(session)
    entity = kls()
    entity.update(values)
    session.add(entity)
    session.flush()
    return entity


def entity_update(
    kls: type[Entity],
    entity_id: Any,
    values: Mapping[str, Any],
    session: Session | None = None,
    filter_non_public: bool = False,
) -> Entity:
    """The record with new values.

    :raises NotFound: if there is no such record.
    :raises TypeError: for a name that is no column or relation of ``kls``.
    """
    session = given(session)
    entity = _existing(kls, entity_id, session)
    entity.update(values)
    session.flush()
    return _public(entity) if filter_non_public else entity


def entity_hard_delete(kls: type[Base], entity_id: Any, session: Session | None = None) -> None:
    """Delete the record.

    :raises NotFound: if there is no such record.
    """
    session = given(session)
    session.delete(_existing(kls, entity_id, session))
    session.flush()


def _existing(kls: type[Entity], entity_id: Any, session: Session) -> Entity:
    entity = entity_get(kls, entity_id, session=session)
    if entity is None:
        raise NotFound(f"{kls.__name__} {entity_id} not found")
    return entity


def _column(kls: type[Base], name: str) -> Any:
    if name not in kls.__mapper__.column_attrs:
        raise TypeError(f"{kls.__name__} has no column {name}")
    return getattr(kls, name)


def _public(entity: Entity) -> Entity:
    """A copy, outside of any session, with the public columns alone."""
    copy = type(entity)()
    copy.update({name: getattr(entity, name) for name in entity._public_fields})
    return copy
