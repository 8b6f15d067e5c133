"""What a notification also says, by the rules ``details``: from the images, or looked up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, select

from eventworker.event import Event
from eventworker.workers.subscription.comparing import fitted, holds
from eventworker.workers.subscription.concern import Place, changed_kind, last_image
from eventworker.workers.subscription.rules import DetailRule, Rules, Step

#: Characters of one detail.
LONGEST = 1000


def details_of(
    connection: Connection,
    tables: Mapping[str, Table],
    rules: Rules,
    event: Event,
    places: Iterable[Place],
) -> dict[str, Any]:
    """What the rules ``details`` say of the places that the event is about.

    Of several rules for one name the first that finds something decides; what is not found is left
    out. Only of those places, since whoever is told of the event may see them.
    """
    found: dict[str, Any] = {}
    for place in places:
        for rule in rules.details.get(place.shape.kind, ()) if place.shape.is_about else ():
            if rule.name not in found:
                value = _detail(connection, tables, rule, event, place)
                if value is not None:
                    found[rule.name] = value
    return found


def _detail(
    connection: Connection,
    tables: Mapping[str, Table],
    rule: DetailRule,
    event: Event,
    place: Place,
) -> Any:
    if isinstance(rule.how, Step):
        return _short(_looked_up(connection, tables[rule.how.table], rule.how, place))
    if rule.how == "id":
        return place.id
    return _short(last_image(event).get(rule.how)) if _is_changed(event, place) else None


def _looked_up(connection: Connection, table: Table, step: Step, place: Place) -> Any:
    origin = table.columns[step.origin]
    own_id = fitted(place.id, origin.type)
    if own_id is None:
        return None
    where = [holds(table.columns[column], value) for column, value in step.where]
    query = select(table.columns[step.target]).where(origin == own_id, *where).limit(1)
    return connection.scalar(query)


def _is_changed(event: Event, place: Place) -> bool:
    own_id = event.sub_resource_id if event.sub_resource else event.resource_id
    return (place.shape.kind, place.id) == (changed_kind(event), own_id)


def _short(value: Any) -> Any:
    """A value as it can stand in a notification: short, and of JSON."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:LONGEST]
