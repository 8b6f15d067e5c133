"""From what is said of a node to the runs of its hooks, in the transaction that says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import uuid4

from sqlalchemy import SmallInteger, String, bindparam, insert, literal, or_, select

from eventworker.db import PENDING, clock
from eventworker.pubsub.desk import Desk, Node
from eventworker.pubsub.hooks.table import hook_table, run_table

_hook, _run = hook_table.c, run_table.c
_HEARS = {
    "items": _hook.hears_items,
    "retract": _hook.hears_retract,
    "delete": _hook.hears_delete,
}


def derive(desk: Desk, node: Node, event: str, content: Mapping[str, Any]) -> None:
    """Have each hook of the node called with each of the items, once what is said is committed.

    One statement inside the database, whatever hooks there are; no hook costs a publisher its time.

    :param event: the kind of the notice; only of ``items``, ``retract`` and ``delete`` hooks hear.
    :param content: of the notice.
    """
    if not desk.settings.hooks or event not in _HEARS:
        return
    publication = uuid4()
    rows = [
        {
            "made_publication": publication,
            "made_n": n,
            "made_item": item.get("id"),
            "made_payload": item.get("payload"),
            "made_publisher": item.get("publisher"),
            "made_depth": desk.depth,
            "on_node": node.name,
            "at_service": desk.settings.service,
        }
        for n, item in enumerate(_items(event, content))
    ]
    # One row by itself is a plain statement; the drivers prepare something for many.
    desk.connection.execute(_deriving(event), rows if len(rows) > 1 else rows[0])


def _items(event: str, content: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    if event == "items":
        return content["items"] or [{}]
    if event == "retract":
        return [{"id": each} for each in content["ids"]]
    return [{}]


@cache
def _deriving(event: str) -> Any:
    values: dict[str, Any] = {
        "hook_id": _hook.id,
        "publication": bindparam("made_publication", type_=_run.publication.type),
        "n": bindparam("made_n", type_=SmallInteger),
        "event": literal(event, String(10)),
        "item_id": bindparam("made_item", type_=_run.item_id.type),
        "payload": bindparam("made_payload", type_=_run.payload.type),
        "publisher": bindparam("made_publisher", type_=_run.publisher.type),
        "depth": bindparam("made_depth", type_=SmallInteger),
        "state": literal(PENDING, String(10)),
        "attempts": literal(0, SmallInteger),
        "due_at": clock(),
        "created_at": clock(),
    }
    rows = (
        select(*values.values())
        .where(
            _hook.node == bindparam("on_node", type_=_hook.node.type),
            _hook.service == bindparam("at_service", type_=_hook.service.type),
            _HEARS[event],
            or_(_hook.lease_until.is_(None), _hook.lease_until > clock()),
        )
        .order_by(_hook.id)
    )
    return insert(run_table).from_select(list(values), rows)
