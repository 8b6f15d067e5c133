"""Stories, their tasks, types and tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import Column, ForeignKey, String, Table, Unicode, UnicodeText, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storyboard.db.models.base import Base
from storyboard.db.models.columns import LARGE, MIDDLE, SHORT, Choice

if TYPE_CHECKING:
    from storyboard.db.models.projects import Branch, Milestone, Project
    from storyboard.db.models.timeline import TimeLineEvent
    from storyboard.db.models.users import Permission, User

story_storytags = Table(
    "story_storytags",
    Base.metadata,
    Column("story_id", ForeignKey("stories.id")),
    Column("storytag_id", ForeignKey("storytags.id")),
)
story_permissions = Table(
    "story_permissions",
    Base.metadata,
    Column("story_id", ForeignKey("stories.id")),
    Column("permission_id", ForeignKey("permissions.id")),
)
may_mutate_to = Table(
    "may_mutate_to",
    Base.metadata,
    Column("story_type_id_from", ForeignKey("story_types.id"), nullable=False),
    Column("story_type_id_to", ForeignKey("story_types.id"), nullable=False),
    UniqueConstraint("story_type_id_from", "story_type_id_to"),
)


class StoryType(Base):
    """What kind of story it is, such as a private vulnerability."""

    __tablename__ = "story_types"
    _public_fields = ("id", "name", "icon", "restricted", "private", "visible")

    name: Mapped[str | None] = mapped_column(String(MIDDLE))
    icon: Mapped[str | None] = mapped_column(String(MIDDLE))
    restricted: Mapped[bool | None] = mapped_column(default=False)
    private: Mapped[bool | None] = mapped_column(default=False)
    visible: Mapped[bool | None] = mapped_column(default=True)


class Story(Base):
    """Something to be done, in one or more projects."""

    __tablename__ = "stories"
    _public_fields = ("id", "creator_id", "title", "description", "is_bug")

    creator_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    story_type_id: Mapped[int | None] = mapped_column(ForeignKey("story_types.id"), default=1)
    title: Mapped[str | None] = mapped_column(Unicode(LARGE))
    description: Mapped[str | None] = mapped_column(UnicodeText)
    is_bug: Mapped[bool | None] = mapped_column(default=True)
    private: Mapped[bool | None] = mapped_column(default=False)

    creator: Mapped[User | None] = relationship()
    tasks: Mapped[list[Task]] = relationship(back_populates="story", cascade="all, delete-orphan")
    events: Mapped[list[TimeLineEvent]] = relationship(
        back_populates="story", cascade="all, delete-orphan"
    )
    tags: Mapped[list[StoryTag]] = relationship(secondary=story_storytags, back_populates="stories")
    permissions: Mapped[list[Permission]] = relationship(secondary=story_permissions)


class StoryTag(Base):
    """A word that stories are found by."""

    __tablename__ = "storytags"
    __table_args__ = (UniqueConstraint("name", name="uniq_story_tags_name"),)

    name: Mapped[str | None] = mapped_column(String(SHORT))

    stories: Mapped[list[Story]] = relationship(secondary=story_storytags, back_populates="tags")


class Task(Base):
    """The part of a story that is one project's."""

    __tablename__ = "tasks"
    _public_fields = (
        "id",
        "creator_id",
        "title",
        "status",
        "story_id",
        "project_id",
        "assignee_id",
        "priority",
        "branch_id",
        "milestone_id",
    )
    TASK_STATUSES: ClassVar[dict[str, str]] = {
        "todo": "Todo",
        "merged": "Merged",
        "invalid": "Invalid",
        "review": "Review",
        "inprogress": "Progress",
    }

    creator_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    title: Mapped[str | None] = mapped_column(Unicode(LARGE))
    link: Mapped[str | None] = mapped_column(UnicodeText)
    status: Mapped[str | None] = mapped_column(
        Choice("task_status", *TASK_STATUSES), default="todo"
    )
    story_id: Mapped[int | None] = mapped_column(ForeignKey("stories.id"))
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    branch_id: Mapped[int | None] = mapped_column(ForeignKey("branches.id"))
    milestone_id: Mapped[int | None] = mapped_column(ForeignKey("milestones.id"))
    priority: Mapped[str | None] = mapped_column(
        Choice("task_priority", "low", "medium", "high"), default="medium"
    )

    assignee: Mapped[User | None] = relationship(foreign_keys=[assignee_id])
    story: Mapped[Story | None] = relationship(back_populates="tasks")
    project: Mapped[Project | None] = relationship(back_populates="tasks")
    branch: Mapped[Branch | None] = relationship(back_populates="tasks")
    milestone: Mapped[Milestone | None] = relationship(back_populates="tasks")
