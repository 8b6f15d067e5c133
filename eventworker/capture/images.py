"""What a mapped object's row held before a change and holds after it, taken from the ORM's history.

What the ORM does not know (attributes that were not loaded, values that the database computed) is
read with one SELECT in the same transaction. What it believes to know may be old by then: see
:mod:`eventworker.capture.rows`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, select
from sqlalchemy.orm import InstanceState, LoaderCallableStatus, Mapper, Session
from sqlalchemy.sql import ClauseElement

from eventworker.capture.json_values import json_object
from eventworker.capture.rows import Rows, locked_rows, present
from eventworker.errors import EncodeError

log = logging.getLogger(__name__)

#: Columns whose name contains one of these never leave the database unless capture() is told so.
SECRETS = ("password", "secret", "token")

Id = int | str | None
Images = Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Resource:
    """How a mapped class appears in events.

    :param name: singular name, such as ``story``.
    :param parent: for a sub-resource: the parent's name, and the attribute that holds its id, as
        ``("story", "story_id")``.
    :param exclude: attributes or columns that appear in no image.
    """

    name: str
    parent: tuple[str, str] | None = None
    exclude: Iterable[str] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An object at one moment: who it is in an event, and its image (None if there can be none)."""

    resource_id: Id
    sub_resource_id: Id
    image: dict[str, Any] | None


class Captured:
    """One mapped class that is captured.

    :param images: makes an image of an object's column values (without the excluded ones).
    """

    def __init__(
        self,
        mapper: Mapper[Any],
        resource: Resource,
        exclude: frozenset[str],
        secrets: tuple[str, ...],
        images: Images,
    ) -> None:
        self.mapper = mapper
        self.resource = resource
        self._images = images
        self._columns = {
            prop.key: prop.columns[0]
            for prop in mapper.column_attrs
            if isinstance(prop.columns[0], Column)
        }
        hidden = exclude.union(resource.exclude)
        self._shown = frozenset(
            key
            for key, column in self._columns.items()
            if not _is_hidden({key, column.name}, hidden, secrets) and not _is_bytes(column)
        )
        self._read = self._shown | ({resource.parent[1]} if resource.parent else frozenset())
        if not self._read <= self._columns.keys():
            missing = ", ".join(self._read - self._columns.keys())
            raise ValueError(f"{mapper.class_.__name__} has no column attribute {missing}")

    def changed(self, state: InstanceState[Any]) -> set[str]:
        """Column attributes with a change that is not, or was just, flushed."""
        attributes = state.attrs
        return {key for key in self._columns if attributes[key].history.has_changes()}

    def has_hidden(self, keys: Iterable[str]) -> bool:
        """Whether some of these attributes appear in no image."""
        return not self._shown.issuperset(keys)

    def unset(self, state: InstanceState[Any]) -> frozenset[str]:
        """After an INSERT: attributes that were left at NULL, which the ORM does not load."""
        return frozenset(
            key
            for key in self._read.difference(state.dict)
            if self._columns[key].server_default is None and self._columns[key].default is None
        )

    def rows(self, session: Session, states: Iterable[InstanceState[Any]]) -> Rows:
        """What the database holds of these objects, before they are flushed."""
        columns = {key: self._columns[key] for key in self._read}
        return locked_rows(session, self.mapper, columns, states)

    def before_row(self, state: InstanceState[Any], row: Mapping[str, Any]) -> Snapshot:
        """The object as its row is."""
        return self._made(state, dict(row))

    def is_stale(self, state: InstanceState[Any], row: Mapping[str, Any]) -> bool:
        """Whether the session takes the row for something that it no longer is."""
        attributes = state.attrs
        for key in self._read:
            history = attributes[key].history
            known = history.deleted or history.unchanged
            if known and _differ(known[0], row[key]):
                return True
        return False

    def before(self, session: Session, state: InstanceState[Any]) -> Snapshot:
        """The object as it was before the changes that are not yet flushed, by the ORM's history.

        For what was seen only when the flush had written already.
        """
        attributes = state.attrs
        values: dict[str, Any] = {}
        for key in self._read:
            history = attributes[key].history
            if known := history.deleted or history.unchanged:
                values[key] = known[0]
        return self._snapshot(session, state, values)

    def loaded(self, state: InstanceState[Any]) -> Snapshot:
        """The object as far as it is loaded, for a row that is gone."""
        values = {key: state.dict.get(key) for key in self._read if key in state.dict}
        return self._made(state, values)

    def after(
        self,
        session: Session,
        state: InstanceState[Any],
        unset: frozenset[str] = frozenset(),
        is_stale: bool = False,
    ) -> Snapshot:
        """The object as it is after a flush; from its row alone if the session's is stale."""
        if is_stale:
            return self._snapshot(session, state, {})
        attributes = state.attrs
        values: dict[str, Any] = {}
        for key in self._read:
            value = attributes[key].loaded_value
            if value is LoaderCallableStatus.NO_VALUE:
                if key in unset and key not in state.expired_attributes:
                    values[key] = None
            elif not isinstance(value, ClauseElement):
                values[key] = value
        return self._snapshot(session, state, values)

    def _snapshot(
        self, session: Session, state: InstanceState[Any], values: dict[str, Any]
    ) -> Snapshot:
        if missing := sorted(self._read.difference(values)):
            values.update(self._select(session, state, missing))
        return self._made(state, values)

    def _select(
        self, session: Session, state: InstanceState[Any], keys: list[str]
    ) -> dict[str, Any]:
        """Straight from the row: loading through the ORM would change what is being looked at."""
        statement = (
            select(*(self._columns[key] for key in keys))
            .select_from(self.mapper.persist_selectable)
            .where(
                *(
                    column == value
                    for column, value in zip(
                        self.mapper.primary_key, state.identity or (), strict=True
                    )
                )
            )
        )
        connection = session.connection(bind_arguments={"mapper": self.mapper})
        row = connection.execute(present(statement, connection)).first()
        return dict(zip(keys, row, strict=True)) if row is not None else {}

    def _made(self, state: InstanceState[Any], values: dict[str, Any]) -> Snapshot:
        own_id = identity_of(state.identity or ())
        image = self._image(state, values)
        if self.resource.parent is None:
            return Snapshot(own_id, None, image)
        return Snapshot(identity_of((values.get(self.resource.parent[1]),)), own_id, image)

    def _image(self, state: InstanceState[Any], values: dict[str, Any]) -> dict[str, Any] | None:
        shown = {key: values[key] for key in self._columns if key in values and key in self._shown}
        try:
            return json_object(self._images(state.obj(), shown))
        except EncodeError as error:
            log.warning("%s %s has no image: %s", self.resource.name, state.identity, error)
            return None


def rows_of(session: Session, about: Mapping[InstanceState[Any], Captured]) -> Rows:
    """The rows of objects about to be flushed, one statement for each mapped class.

    Not of those whose class counts versions: their UPDATE finds the row that the session knows, or
    fails.
    """
    states: dict[Captured, list[InstanceState[Any]]] = {}
    for state, captured in about.items():
        if captured.mapper.version_id_col is None:
            states.setdefault(captured, []).append(state)
    found: Rows = {}
    for captured in sorted(states, key=lambda each: str(each.mapper.local_table)):
        found.update(captured.rows(session, states[captured]))
    return found


def column_image(_instance: Any, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The default image: every column that is not excluded, under its attribute's name."""
    return values


def identity_of(key: tuple[Any, ...]) -> Id:
    """A primary key as a resource id: a number, a text, or the parts with commas between."""
    if len(key) == 1:
        value = key[0]
        return value if value is None or type(value) is int else str(value)
    return ",".join(str(part) for part in key)


def _differ(one: Any, other: Any) -> bool:
    try:
        return bool(one != other)
    except Exception:  # an array of numbers has no one answer; then the row's own value counts
        return True


def is_secret(name: str, secrets: Iterable[str]) -> bool:
    """Whether a name contains one of ``secrets``."""
    return any(part in name.lower() for part in secrets)


def _is_hidden(names: set[str], hidden: frozenset[str], secrets: tuple[str, ...]) -> bool:
    return not names.isdisjoint(hidden) or any(is_secret(name, secrets) for name in names)


def _is_bytes(column: Column[Any]) -> bool:
    try:
        return column.type.python_type is bytes
    except NotImplementedError:
        return False
