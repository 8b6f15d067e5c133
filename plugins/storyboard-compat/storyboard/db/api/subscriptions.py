"""Who is subscribed to what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Select, Subquery, select, union
from sqlalchemy.orm import Session

from storyboard.db import models
from storyboard.db.api import base as api_base
from storyboard.db.api.visibility import may_see

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
    query = subscribers_of((resource, key)).where(may_see(models.User.id, resource, key))
    return set(session.scalars(query))


def subscribers_of(*places: tuple[str, int]) -> Select[int]:
    """A query for the users who follow one of the resources, or what covers it, each once.

    Whether they may see it is the caller's to add; see :mod:`storyboard.db.api.visibility`.

    :param places: types out of :data:`SUPPORTED_TYPES`, each with an id; at least one.
    """
    follower = _followers(places)
    return select(models.User.id).join(follower, follower.c.user_id == models.User.id)


def _followers(places: Iterable[tuple[str, int]]) -> Subquery:
    subscription = models.Subscription
    found = [
        select(subscription.user_id).where(
            subscription.target_type == kind, subscription.target_id.in_(ids)
        )
        for resource, key in places
        for kind, ids in _covers(resource, key).items()
    ]
    return union(*found).subquery("follower")


def _covers(resource: str, key: int) -> dict[str, Any]:
    """Everything by whose subscription one hears of this resource: ids, or queries for them."""
    task = models.Task
    covers: dict[str, Any] = {resource: [key]}
    if resource == "story":
        covers["task"] = select(task.id).where(task.story_id == key)
        covers["project"] = select(task.project_id).where(task.story_id == key)
    elif resource == "task":
        covers["story"] = select(task.story_id).where(task.id == key)
        covers["project"] = select(task.project_id).where(task.id == key)
    if "project" in covers:
        pairs = models.project_group_mapping.c
        groups = select(pairs.project_group_id).where(pairs.project_id.in_(covers["project"]))
        covers["project_group"] = groups
    return covers


def _place_of_event(session: Session, event_id: Any) -> tuple[str, int | None]:
    event = api_base.entity_get(models.TimeLineEvent, event_id, session=session)
    if event is None:
        return "story", None
    if event.story_id is not None:
        return "story", event.story_id
    return "worklist", event.worklist_id
