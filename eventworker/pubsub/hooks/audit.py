"""What has been done to hooks, by whom: rows that are only ever added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert

from eventworker.db import clock
from eventworker.pubsub.hooks.table import audit_table


def note(connection: Connection, actor: str, what: str, hook: Mapping[str, Any]) -> None:
    """Note that ``actor`` has done something to a hook.

    :param what: ``create``; ``approve`` of the code as it is now; ``change``, where a file was
        taken as it was found, or as it has to be approved; ``delete``; ``end``, where its time was
        over.
    :param hook: its row, or what will be.
    """
    names = ("service", "node", "owner", "type", "arg", "sha256")
    values = {name: hook[name] for name in names}
    connection.execute(
        insert(audit_table).values(at=clock(), actor=actor, what=what, hook_id=hook["id"], **values)
    )
