"""What has to be true of a subscriber who is told of a timeline event."""

from __future__ import annotations

import json
import logging
from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, false, func, select, true

from storyboard.db import models
from storyboard.db.api.base import as_key
from storyboard.db.api.visibility import may_see

log = logging.getLogger(__name__)

WORKLISTS_PREFERENCE = "receive_notifications_worklists"


def wants_worklists(user: SQLColumnExpression[int]) -> ColumnElement[bool]:
    """Whether the user has asked for news of worklists, in text (``true``) or as a bool (``True``).

    An IN rather than an EXISTS, so that it is worked out once and not for each user.
    """
    preference = models.UserPreference
    asked = select(preference.user_id).where(
        preference.key == WORKLISTS_PREFERENCE, func.lower(preference.value) == "true"
    )
    return user.in_(asked)


def may_see_item(
    user: SQLColumnExpression[int], entry: models.TimeLineEvent
) -> ColumnElement[bool]:
    """Whether the user may see the story or task that has come to, moved in or left a worklist.

    Nobody may where that cannot be read from the entry.
    """
    try:
        item = item_of(entry.event_info)
    except (ValueError, RecursionError) as error:
        log.warning("timeline event %s: %s; nobody is told", entry.id, error)
        return false()
    return true() if item is None else may_see(user, *item)


def item_of(event_info: str | None) -> tuple[str, int] | None:
    """The story or task that a change of a worklist's contents is about; None if it names none.

    :raises ValueError: for what StoryBoard does not write: who may see it cannot be told.
    """
    info = _as_dict(json.loads(event_info or ""))
    updated = info.get("updated")
    item = _as_dict(updated).get("old") if updated is not None else None
    for name in ("removed", "added"):
        if item is None:
            item = info.get(name)
    if item is None:
        return None
    kind, key = _as_dict(item).get("item_type"), as_key(_as_dict(item).get("item_id"))
    if kind not in ("story", "task"):
        return None
    if key is None:
        raise ValueError(f"no id of a {kind}: {item}")
    return kind, key


def _as_dict(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"an object is expected, not {type(value).__name__}")
    return value
