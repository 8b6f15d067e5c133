"""Who may see what is private, as conditions of a query.

Each function answers, for a column of user ids, whether that user may see one record. Public is
what is not marked private; of the rest only those see who hold one of its permissions, themselves
or through a team. A record that is not there is seen by nobody: whether it was private cannot be
told any more.

StoryBoard asks the same per user and per record, in ``filter_private_*`` and ``visible()``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, SQLColumnExpression, Table, and_, false, or_, select, true

from storyboard.db import models

#: An id, or a subquery that gives one or several.
Ids = Any


def may_see(user: SQLColumnExpression[int], resource: str, key: int) -> ColumnElement[bool]:
    """Whether the user may see this resource. Projects and their groups are never private."""
    if resource == "story":
        return may_see_story(user, key)
    if resource == "task":
        return may_see_task(user, key)
    if resource == "worklist":
        return may_see_worklist(user, key)
    if resource == "board":
        return may_see_board(user, key)
    return true() if resource in ("project", "project_group") else false()


def may_see_story(user: SQLColumnExpression[int], story_id: Ids) -> ColumnElement[bool]:
    """Whether the user may see this story."""
    return or_(_is_public(models.Story, story_id), _holds(user, models.story_permissions, story_id))


def may_see_task(user: SQLColumnExpression[int], task_id: int) -> ColumnElement[bool]:
    """Whether the user may see the story of this task; a task without a story is public."""
    task = models.Task
    alone = select(task.id).where(task.id == task_id, task.story_id.is_(None)).exists()
    return or_(alone, may_see_story(user, select(task.story_id).where(task.id == task_id)))


def may_see_worklist(user: SQLColumnExpression[int], worklist_id: int) -> ColumnElement[bool]:
    """Whether the user may see this worklist. A lane is as private as the boards that show it."""
    lane = models.BoardWorklist
    boards = select(lane.board_id).where(lane.list_id == worklist_id, lane.board_id.is_not(None))
    alone = or_(
        _is_public(models.Worklist, worklist_id),
        _holds(user, models.worklist_permissions, worklist_id),
    )
    return or_(and_(~boards.exists(), alone), may_see_board(user, boards))


def may_see_board(user: SQLColumnExpression[int], board_id: Ids) -> ColumnElement[bool]:
    """Whether the user may see this board, or one of several."""
    return or_(_is_public(models.Board, board_id), _holds(user, models.board_permissions, board_id))


def _is_public(kls: Any, ids: Ids) -> ColumnElement[bool]:
    # Rows older than the column have NULL there.
    public = or_(kls.private.is_(None), kls.private == false())
    return select(kls.id).where(_among(kls.id, ids), public).exists()


def _holds(user: SQLColumnExpression[int], link: Table, ids: Ids) -> ColumnElement[bool]:
    """Whether one of the user's permissions, or a team's of the user, is one of the record's."""
    own, permission = link.columns
    users, teams, members = (
        models.user_permissions.c,
        models.team_permissions.c,
        models.team_membership.c,
    )
    direct = select(users.user_id).join_from(
        link, models.user_permissions, users.permission_id == permission
    )
    through_a_team = (
        select(members.user_id)
        .join_from(link, models.team_permissions, teams.permission_id == permission)
        .join(models.team_membership, members.team_id == teams.team_id)
    )
    # Not one IN with a UNION, which MariaDB would run again for every user.
    return or_(*(user.in_(found.where(_among(own, ids))) for found in (direct, through_a_team)))


def _among(column: Any, ids: Ids) -> ColumnElement[bool]:
    found: ColumnElement[bool] = column == ids if isinstance(ids, int) else column.in_(ids)
    return found
