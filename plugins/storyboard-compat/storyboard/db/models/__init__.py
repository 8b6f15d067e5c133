"""StoryBoard's tables, by its own names for tables and columns, for SQLAlchemy 2.

The tables belong to StoryBoard and its migrations; nothing here changes them. Left out are the
tables of its logins (codes and tokens), which are no business of a plugin, and its search indexes.
"""

from storyboard.db.models.base import Base
from storyboard.db.models.boards import (
    Board,
    BoardWorklist,
    DueDate,
    FilterCriterion,
    Worklist,
    WorklistFilter,
    WorklistItem,
    board_due_dates,
    board_permissions,
    due_date_permissions,
    story_due_dates,
    task_due_dates,
    worklist_due_dates,
    worklist_permissions,
)
from storyboard.db.models.projects import (
    Branch,
    Milestone,
    Project,
    ProjectGroup,
    project_group_mapping,
)
from storyboard.db.models.stories import (
    Story,
    StoryTag,
    StoryType,
    Task,
    may_mutate_to,
    story_permissions,
    story_storytags,
)
from storyboard.db.models.subscriptions import Subscription, SubscriptionEvents
from storyboard.db.models.timeline import Comment, HistoricalComment, TimeLineEvent
from storyboard.db.models.users import (
    Permission,
    Team,
    User,
    UserPreference,
    team_membership,
    team_permissions,
    user_permissions,
)

__all__ = [
    "Base",
    "Board",
    "BoardWorklist",
    "Branch",
    "Comment",
    "DueDate",
    "FilterCriterion",
    "HistoricalComment",
    "Milestone",
    "Permission",
    "Project",
    "ProjectGroup",
    "Story",
    "StoryTag",
    "StoryType",
    "Subscription",
    "SubscriptionEvents",
    "Task",
    "Team",
    "TimeLineEvent",
    "User",
    "UserPreference",
    "Worklist",
    "WorklistFilter",
    "WorklistItem",
    "board_due_dates",
    "board_permissions",
    "due_date_permissions",
    "may_mutate_to",
    "project_group_mapping",
    "story_due_dates",
    "story_permissions",
    "story_storytags",
    "task_due_dates",
    "team_membership",
    "team_permissions",
    "user_permissions",
    "worklist_due_dates",
    "worklist_permissions",
]
