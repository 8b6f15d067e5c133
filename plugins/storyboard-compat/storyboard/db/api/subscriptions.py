"""Who is subscribed to what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from storyboard.db import models
from storyboard.db.api import base as api_base

#: What can be subscribed to.
SUPPORTED_TYPES: dict[str, type[models.Base]] = {
    "project": models.Project,
    "project_group": models.ProjectGroup,
    "story": models.Story,
    "task": models.Task,
    "worklist": models.Worklist,
}


def subscription_get(
    subscription_id: Any, session: Session | None = None
) -> models.Subscription | None:
    """One subscription, or None."""
    return api_base.entity_get(models.Subscription, subscription_id, session=session)


def subscription_get_all(
    session: Session | None = None, **kwargs: Any
) -> list[models.Subscription]:
    """The subscriptions that match, such as those with ``user_id=1``."""
    return api_base.entity_get_all(models.Subscription, session=session, **kwargs)


def subscription_get_all_by_target(
    target_type: str | Iterable[str],
    target_id: int | Iterable[int],
    session: Session | None = None,
) -> list[models.Subscription]:
    """The subscriptions to one target, or to any of several."""
    return subscription_get_all(session=session, target_type=target_type, target_id=target_id)


def subscription_get_resource(
    target_type: str, target_id: Any, session: Session | None = None
) -> models.Base | None:
    """The record that is subscribed to, or None."""
    kls = SUPPORTED_TYPES.get(target_type)
    return None if kls is None else api_base.entity_get(kls, target_id, session=session)


def subscription_get_count(session: Session | None = None, **kwargs: Any) -> int:
    """The number of subscriptions that match."""
    return api_base.entity_get_count(models.Subscription, session=session, **kwargs)


def subscription_create(
    values: Mapping[str, Any], session: Session | None = None
) -> models.Subscription:
    """A new subscription: ``user_id``, ``target_type``, ``target_id``."""
    return api_base.entity_create(models.Subscription, values, session=session)


def subscription_delete(subscription_id: Any, session: Session | None = None) -> None:
    """End a subscription; nothing happens if there is none."""
    if subscription_get(subscription_id, session=session) is not None:
        api_base.entity_hard_delete(models.Subscription, subscription_id, session=session)


def subscription_get_all_subscriber_ids(
    resource: str, resource_id: Any, session: Session | None = None
) -> set[int]:
    """The ids of the users who are to hear of a change of this resource.

    A subscription covers what lies below it: a group's projects, a project's stories and tasks, a
    story's tasks; and a subscriber of a task also hears of its story. A timeline event is the story
    or worklist that it belongs to. Of what is private only those hear who hold one of its
    permissions, themselves or through a team.
    """
    session = api_base.given(session)
    if resource == "timeline_event":
        resource, resource_id = _place_of_event(session, resource_id)
    key = api_base.as_key(resource_id)
    if key is None or resource not in SUPPORTED_TYPES:
        return set()
    targets = _targets(session, resource, key)
    subscription = models.Subscription
    found = session.scalars(
        select(subscription.user_id)
        .where(
            or_(
                *(
                    and_(subscription.target_type == kind, subscription.target_id.in_(ids))
                    for kind, ids in targets.items()
                )
            )
        )
        .distinct()
    )
    subscribers = {user_id for user_id in found if user_id is not None}
    allowed = _allowed(session, targets)
    return subscribers if allowed is None else subscribers & allowed


def _place_of_event(session: Session, event_id: Any) -> tuple[str, int | None]:
    event = api_base.entity_get(models.TimeLineEvent, event_id, session=session)
    if event is None:
        return "story", None
    if event.story_id is not None:
        return "story", event.story_id
    return "worklist", event.worklist_id


def _targets(session: Session, resource: str, resource_id: int) -> dict[str, set[int]]:
    """Everything by whose subscription one hears of this resource: ids by type."""
    task = models.Task
    tasks = select(task.id, task.story_id, task.project_id)
    targets = {resource: {resource_id}}
    if resource == "story":
        rows = session.execute(tasks.where(task.story_id == resource_id)).all()
        targets["task"] = {row.id for row in rows}
        targets["project"] = {row.project_id for row in rows} - {None}
    elif resource == "task":
        rows = session.execute(tasks.where(task.id == resource_id)).all()
        targets["story"] = {row.story_id for row in rows} - {None}
        targets["project"] = {row.project_id for row in rows} - {None}
    if projects := targets.get("project"):
        pairs = models.project_group_mapping.c
        groups = session.scalars(
            select(pairs.project_group_id).where(pairs.project_id.in_(projects))
        )
        targets["project_group"] = set(groups) - {None}
    return targets


def _allowed(session: Session, targets: dict[str, set[int]]) -> set[int] | None:
    """The users who may see what is private among the targets; None if nothing is."""
    records = [
        *(session.get(models.Story, story_id) for story_id in targets.get("story", ())),
        *(session.get(models.Worklist, list_id) for list_id in targets.get("worklist", ())),
    ]
    private = [_holders(each.permissions) for each in records if each is not None and each.private]
    return set.intersection(*private) if private else None


def _holders(permissions: Iterable[models.Permission]) -> set[int]:
    holders: set[int] = set()
    for permission in permissions:
        holders.update(user.id for user in permission.users)
        for team in permission.teams:
            holders.update(user.id for user in team.users)
    return holders
