"""The base class of StoryBoard's event worker plugins."""

from __future__ import annotations

from typing import Any

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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "event" in cls.__dict__:
            # StoryBoard's daemon calls event(), which opens the session; ours has opened it.
            raise TypeError(
                f"{cls.__qualname__} overrides event(), which eventworker never calls: the daemon "
                "opens the session and loads the author itself; move the code into handle()"
            )

    def resolve_resource_by_name(self, session: Any, resource_name: str, resource_id: Any) -> Any:
        """The record of a resource; None if the name is unknown or the record is gone.

        A class configured in ``[plugins] resource_classes`` goes before StoryBoard's.
        """
        if resource_class(self.config, resource_name) is not None:
            return super().resolve_resource_by_name(session, resource_name, resource_id)
        if resource_name not in RESOURCES:
            return None
        return db_api.entity_get(RESOURCES[resource_name], resource_id, session=session)
