"""Erasing what was made of events: items, notices of them, and what hooks were given.

Nothing but their payload says whom items are about, so all that the service has published itself is
read, in bites.
"""

from __future__ import annotations

import json
from itertools import groupby
from xml.sax.saxutils import unescape

from sqlalchemy import Connection, delete, or_, select, update

from eventworker.erasure import Erasure
from eventworker.pubsub import items as kept
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.hooks.table import run_table
from eventworker.pubsub.notices import Word, tell_subscribers
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.tables import delivery_table, item_table, node_table, notice_table

_item, _node, _notice, _run = item_table.c, node_table.c, notice_table.c, run_table.c
#: Rows that are in memory at a time.
_BITE = 500


def erase(service: PubSubService, erasure: Erasure) -> int:
    """Retract the items that are about it, and delete the rest; returns the number of all."""
    # First the rest: that the items are retracted has still to be told.
    others = _forget_notices(service.connection, erasure) + _forget_runs(
        service.connection, erasure
    )
    found = sorted(_items_about(service, erasure))
    most = service.settings.max_batch
    for node, group in groupby(found, key=lambda pair: pair[0]):
        ids = [item for _, item in group]
        for start in range(0, len(ids), most):
            _retract(service, node, ids[start : start + most])
    return len(found) + others


def _retract(service: PubSubService, node: str, ids: list[str]) -> None:
    """As the service's verb, but whatever the node's configuration is, and also items that nobody
    sees any more, since their time is over."""
    try:
        found = service.node(node, lock=True)
    except PubSubError:  # gone meanwhile, with its items
        return
    kept.remove(service.connection, found, ids)
    if found.config.deliver_notifications:
        tell_subscribers(service, found, Word.RETRACT, {"ids": ids})


def _items_about(service: PubSubService, erasure: Erasure) -> list[tuple[str, str]]:
    rows = service.connection.execute(
        select(_node.name, _item.item_id, _item.payload)
        .join_from(item_table, node_table, _node.id == _item.node_id)
        .where(_item.publisher == service.settings.service, _node.name.is_not(None)),
        execution_options={"yield_per": _BITE},
    )
    return [(row.name, row.item_id) for row in rows if _is_about(row.payload, erasure)]


def _forget_notices(connection: Connection, erasure: Erasure) -> int:
    rows = connection.execute(
        select(_notice.id, _notice.content).where(_notice.kind == Word.ITEMS),
        execution_options={"yield_per": _BITE},
    )
    found = []
    for row in rows:
        content = json.loads(row.content)
        left = [item for item in content["items"] if not _is_about(item["payload"], erasure)]
        if len(left) < len(content["items"]):
            found.append((row.id, {**content, "items": left}))
    for number, content in found:
        this = _notice.id == number
        if content["items"]:  # of other events, which are still to be told
            text = json.dumps(content, ensure_ascii=False)
            connection.execute(update(notice_table).where(this).values(content=text))
            continue
        connection.execute(delete(delivery_table).where(delivery_table.c.notice_id == number))
        connection.execute(delete(notice_table).where(this))
    return len(found)


def _forget_runs(connection: Connection, erasure: Erasure) -> int:
    rows = connection.execute(
        select(_run.id, _run.payload, _run.output).where(
            or_(_run.payload.is_not(None), _run.output.is_not(None))
        ),
        execution_options={"yield_per": _BITE},
    )
    ids = [
        row.id for row in rows if _is_about(row.payload, erasure) or _is_about(row.output, erasure)
    ]
    for number in ids:
        connection.execute(delete(run_table).where(_run.id == number))
    return len(ids)


def _is_about(text: str | None, erasure: Erasure) -> bool:
    return text is not None and erasure.is_named_in(unescape(text).encode("utf-8", "replace"))
