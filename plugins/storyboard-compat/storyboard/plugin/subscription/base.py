"""StoryBoard's handler of subscriptions: one event in, one INSERT into ``subscription_events`` out.

Of timeline events the followers of the story or worklist are told, of what happens to a project
group its followers, and what is deleted loses its subscriptions. A subclass may replace each step.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from oslo_config import cfg
from sqlalchemy import ColumnElement, Unicode, UnicodeText, delete, insert, literal, null, select
from sqlalchemy.orm import Session

from eventworker.event import Event
from eventworker.plugin import Retry
from storyboard.common import event_types
from storyboard.db import models
from storyboard.db.api import base as db_api
from storyboard.db.api.subscriptions import SUPPORTED_TYPES, subscribers_of
from storyboard.db.api.visibility import may_see
from storyboard.plugin.event_worker import WorkerTaskBase
from storyboard.plugin.subscription.conditions import may_see_item, wants_worklists

log = logging.getLogger(__name__)

PROJECT_ADDED = "project added to project_group"
PROJECT_REMOVED = "project removed from project_group"
GROUP_DELETED = "project_group deleted"

Place = tuple[str, int]


class Subscription(WorkerTaskBase):
    """Tells subscribers, each once per event; the author of a change is told, too, if subscribed.

    StoryBoard's table has no column for an event's id. That a row is there once rests on the
    transaction alone, which holds the rows together with the note that the event has been handled.
    """

    #: The entry point's name, and so that of the group in the configuration.
    name: ClassVar[str] = "storyboard-subscription"
    transactional: ClassVar[bool] = True
    resources: ClassVar[Sequence[str] | None] = (*SUPPORTED_TYPES, "timeline_event")
    options: ClassVar[Sequence[cfg.Opt]] = (
        cfg.BoolOpt(
            "enabled",
            default=False,
            help="Whether StoryBoard's subscribers are told, in its own table subscription_events.",
        ),
    )
    #: How long to wait for the row of a timeline event. StoryBoard publishes from within the
    #: request, so the event may well be here before the request's COMMIT.
    patience: ClassVar[timedelta] = timedelta(seconds=30)

    def enabled(self) -> bool:
        """Whether ``[plugin:storyboard-subscription] enabled`` says so."""
        return bool(self.config[f"plugin:{self.name}"].enabled)

    def handle(self, session: Session, event: Event) -> None:
        """Tell the subscribers, then forget the subscriptions to what is gone.

        :raises Retry: while the row of a timeline event is not there yet.
        """
        key = db_api.as_key(event.resource_id)
        if key is None:
            return
        if event.resource == "timeline_event":
            self.handle_timeline_event(session, event, key)
        elif event.resource == "project_group":
            self.handle_project_group(session, event, key)
        if event.method == "DELETE" and _is_whole(event):
            self.handle_deletion(session, event.resource, key)

    def handle_timeline_event(self, session: Session, event: Event, key: int) -> None:
        """Tell of an entry in a timeline, by what its row says; the event's images are not read."""
        if event.method == "DELETE":
            return
        entry = session.get(models.TimeLineEvent, key)
        if entry is None:
            if datetime.now(UTC) - event.time < self.patience:
                raise Retry(reason=f"timeline event {key} is not in the database yet")
            log.info("timeline event %s is not in the database; nobody is told", key)
            return
        info = entry.event_info
        if entry.event_type == event_types.USER_COMMENT:
            info = json.dumps(self.resolve_comment(session, entry))
        places, conditions = self.places(entry), self.conditions(entry)
        self.tell(session, event, places, entry.event_type, info, *conditions)

    def places(self, entry: models.TimeLineEvent) -> list[Place]:
        """What an entry's subscribers are subscribed to. Boards cannot be, so theirs has none."""
        found = (("story", entry.story_id), ("worklist", entry.worklist_id))
        return [(kind, key) for kind, key in found if key is not None]

    def conditions(self, entry: models.TimeLineEvent) -> list[ColumnElement[bool]]:
        """What has to be true of a subscriber who is told of an entry."""
        user = models.User.id
        seen = self.places(entry)
        if entry.board_id is not None:
            seen.append(("board", entry.board_id))
        conditions = [may_see(user, *place) for place in seen]
        if entry.worklist_id is not None:
            conditions.append(wants_worklists(user))
        if entry.event_type == event_types.WORKLIST_CONTENTS_CHANGED:
            conditions.append(may_see_item(user, entry))
        return conditions

    def resolve_comment(
        self, session: Session, entry: models.TimeLineEvent
    ) -> dict[str, Any] | None:
        """What is told of a comment; None if the comment or its story is gone."""
        comment = db_api.entity_get(models.Comment, entry.comment_id, session=session)
        story = db_api.entity_get(models.Story, entry.story_id, session=session)
        if comment is None or story is None:
            return None
        return {
            "comment_id": comment.id,
            "comment_content": comment.content,
            "story_id": story.id,
            "story_title": story.title,
        }

    def handle_project_group(self, session: Session, event: Event, key: int) -> None:
        """Tell of a project that joins or leaves a group, and of a group's end."""
        info: dict[str, Any] = {"project_group_id": event.resource_id}
        deleted = event.method == "DELETE"
        if event.sub_resource == "project" and event.sub_resource_id is not None:
            info["project_id"] = event.sub_resource_id
            event_type = PROJECT_REMOVED if deleted else PROJECT_ADDED
        elif deleted and _is_whole(event):
            event_type = GROUP_DELETED
        else:
            return
        self.tell(session, event, [("project_group", key)], event_type, json.dumps(info))

    def handle_deletion(self, session: Session, resource: str, key: int) -> None:
        """Remove the subscriptions to what has been deleted."""
        if resource in SUPPORTED_TYPES:
            session.execute(
                delete(models.Subscription).where(
                    models.Subscription.target_type == resource,
                    models.Subscription.target_id == key,
                ),
                execution_options={"synchronize_session": False},
            )

    def tell(
        self,
        session: Session,
        event: Event,
        places: Sequence[Place],
        event_type: str,
        event_info: str | None,
        *conditions: ColumnElement[bool],
    ) -> None:
        """A row for each subscriber of one of the places who meets the conditions."""
        if not places:
            return
        author = db_api.as_key(event.author_id)
        values = {
            "subscriber_id": models.User.id,
            "author_id": null() if author is None else _if_there(author),
            "event_type": literal(event_type, Unicode),
            "event_info": literal(event_info, UnicodeText),
        }
        receivers = subscribers_of(*places).where(*conditions).with_only_columns(*values.values())
        session.execute(insert(models.SubscriptionEvents).from_select(list(values), receivers))


def _is_whole(event: Event) -> bool:
    """Whether the event is about the resource itself, not about a part of it."""
    return event.sub_resource is None and event.sub_resource_id is None


def _if_there(author: int) -> Any:
    """The author's id, or NULL once the account is gone: the column is a foreign key."""
    user = models.User.__table__.alias("author")
    return select(user.c.id).where(user.c.id == author).scalar_subquery()
