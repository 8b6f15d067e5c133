"""What is part of what: in the images, in a group of projects, and when something is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session, object_session

from eventworker import outbox
from eventworker.capture.request import current_facts
from eventworker.event import Event
from examples.tracker.models import (
    Base,
    Comment,
    Permission,
    Project,
    ProjectGroup,
    Story,
    Task,
    Worklist,
    WorklistItem,
    project_group_members,
)

#: Parts, with their whole, its key, and what their images say of it.
WHOLES: dict[type, tuple[type[Any], str, str]] = {
    Task: (Story, "story_id", "story_private"),
    Comment: (Story, "story_id", "story_private"),
    WorklistItem: (Worklist, "worklist_id", "worklist_private"),
}


def image(instance: Any, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """What goes into an event's image: the columns, and whether what it is part of is private.

    Once both are deleted nobody else could say so.
    """
    session = object_session(instance)
    if session is None or type(instance) not in WHOLES:
        return values
    whole, key, name = WHOLES[type(instance)]
    found = session.connection().scalar(select(whole.private).where(whole.id == values[key]))
    return {**values, name: found}


def add(session: Session, group: int, project: int) -> None:
    """Put a project into a group; nothing happens if it is there."""
    members = project_group_members.c
    present = select(members.project_id).where(
        members.project_group_id == group, members.project_id == project
    )
    if session.scalar(present) is None:
        values = {"project_group_id": group, "project_id": project}
        session.execute(insert(project_group_members).values(values))
        _record(session, "PUT", group, project)


def take_out(session: Session, group: int, project: int) -> None:
    """Take a project out of a group; nothing happens if it is not there."""
    members = project_group_members.c
    gone: Any = session.execute(
        delete(project_group_members).where(
            members.project_group_id == group, members.project_id == project
        )
    )
    if gone.rowcount:
        _record(session, "DELETE", group, project)


def _record(session: Session, method: str, group: int, project: int) -> None:
    """The capture sees objects; a row of a table of pairs is none, so its event is recorded here,
    in the same transaction."""
    facts = current_facts()
    event = Event(
        author_id=facts.author_id if facts else None,
        method=method,
        path=facts.path if facts else None,
        resource="project_group",
        resource_id=group,
        sub_resource="project",
        sub_resource_id=project,
        source="tracker",
    )
    outbox.record(session, event)


def remove_parts(session: Session, record: Base) -> None:
    """Delete what cannot be without the record, an event for each."""
    if isinstance(record, Story):
        for child in (Comment, Task):
            for each in session.scalars(select(child).where(child.story_id == record.id)):
                remove_parts(session, each)
                session.delete(each)
    if isinstance(record, Story | Task):
        item = WorklistItem
        kind = "story" if isinstance(record, Story) else "task"
        on_lists = select(item).where(item.item_type == kind, item.item_id == record.id)
        for each in session.scalars(on_lists):
            session.delete(each)
    if isinstance(record, Worklist):
        items = select(WorklistItem).where(WorklistItem.worklist_id == record.id)
        for each in session.scalars(items):
            session.delete(each)
    if isinstance(record, Story | Worklist):
        kind = "story" if isinstance(record, Story) else "worklist"
        permission = Permission
        session.execute(
            delete(permission).where(
                permission.target_type == kind, permission.target_id == record.id
            )
        )
    if isinstance(record, Project):
        for task in session.scalars(select(Task).where(Task.project_id == record.id)):
            task.project_id = None
    if isinstance(record, Project | ProjectGroup):
        _empty(session, record)
    session.flush()


def _empty(session: Session, record: Project | ProjectGroup) -> None:
    members = project_group_members.c
    own = members.project_id if isinstance(record, Project) else members.project_group_id
    pairs = select(members.project_group_id, members.project_id).where(own == record.id)
    for group, project in session.execute(pairs).all():
        take_out(session, group, project)
