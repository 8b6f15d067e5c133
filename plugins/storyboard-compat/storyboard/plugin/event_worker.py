"""The base class of StoryBoard's event worker plugins."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from oslo_config import cfg
from sqlalchemy.orm import Session

from eventworker.event import WIRE_FIELDS, Event
from eventworker.plugin import WorkerTaskBase as EventworkerTaskBase
from eventworker.plugin import resource_class
from storyboard.db import models
from storyboard.db.api import base as db_api

__all__ = ["WorkerTaskBase"]

#: Resource names, as events carry them, and their classes.
RESOURCES: dict[str, type[models.Base]] = {
    "board": models.Board,
    "branch": models.Branch,
    "comment": models.Comment,
    "due_date": models.DueDate,
    "event": models.TimeLineEvent,
    "milestone": models.Milestone,
    "project": models.Project,
    "project_group": models.ProjectGroup,
    "story": models.Story,
    "tag": models.StoryTag,
    "task": models.Task,
    "team": models.Team,
    "timeline_event": models.TimeLineEvent,
    "user": models.User,
    "worklist": models.Worklist,
}


class WorkerTaskBase(EventworkerTaskBase):
    """eventworker's base class, which knows StoryBoard's tables."""

    def __init__(self, config: cfg.ConfigOpts) -> None:
        super().__init__(config)
        if type(self).event is not WorkerTaskBase.event:
            # The daemon calls handle(); the layer above it is entered only where there is one.
            self.handle = self._enter  # type: ignore[method-assign]

    def event(
        self,
        author_id: Any,
        method: str,
        url: str | None,
        path: str | None,
        query_string: str | None,
        status: int | None,
        resource: str,
        resource_id: Any,
        sub_resource: str | None = None,
        sub_resource_id: Any = None,
        resource_before: dict[str, Any] | None = None,
        resource_after: dict[str, Any] | None = None,
    ) -> None:
        """Load the author and call ``handle()``; a subclass may do more, or less.

        Unlike StoryBoard's it opens no session and ends no transaction: an override works in the
        event's, which ``db_api.get_session()`` gives it.
        """
        values: dict[str, Any] = {
            name: value for name, value in locals().items() if name in WIRE_FIELDS
        }
        session = db_api.get_session(in_request=False)
        author = self.resolve_resource_by_name(session, "user", values.pop("author_id"))
        handle = partial(type(self).handle, self)
        values |= {"session": session, "author": author, "event": self._event}
        handle(**_accepted(handle, values))

    def _enter(self, session: Session, event: Event) -> None:
        with db_api.event_session(session):
            self._event = event
            values = {name: getattr(event, name) for name in WIRE_FIELDS}
            self.event(**_accepted(self.event, values))

    def resolve_resource_by_name(self, session: Any, resource_name: str, resource_id: Any) -> Any:
        """The record of a resource; None if the name is unknown or the record is gone.

        A class configured in ``[plugins] resource_classes`` goes before StoryBoard's.
        """
        if resource_class(self.config, resource_name) is not None:
            return super().resolve_resource_by_name(session, resource_name, resource_id)
        if resource_name not in RESOURCES:
            return None
        return db_api.entity_get(RESOURCES[resource_name], resource_id, session=session)


def _accepted(function: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    """Those of the values that the function's signature names: older plugins know no ``url``."""
    parameters = inspect.signature(function).parameters
    if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return values
    return {name: value for name, value in values.items() if name in parameters}
