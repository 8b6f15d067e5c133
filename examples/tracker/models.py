"""The tracker's tables: stories with tasks and comments, projects and their groups, worklists, and
who follows, sees and wants what."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from eventworker.db import UTCDateTime


def _now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """All of the tracker's tables."""


class _Timestamps:
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=_now)
    updated_at: Mapped[datetime | None] = mapped_column(UTCDateTime, onupdate=_now)


class User(_Timestamps, Base):
    """Somebody who writes and follows."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)


class Project(_Timestamps, Base):
    """What tasks are done for."""

    __tablename__ = "projects"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)


class ProjectGroup(_Timestamps, Base):
    """Some of the projects."""

    __tablename__ = "project_groups"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(80), unique=True)


project_group_members = Table(
    "project_group_members",
    Base.metadata,
    Column("project_group_id", ForeignKey("project_groups.id"), primary_key=True),
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
)


class Story(_Timestamps, Base):
    """Something to be done; a private one is for those with a permission."""

    __tablename__ = "stories"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text, default="")
    private: Mapped[bool] = mapped_column(default=False)
    creator_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class Task(_Timestamps, Base):
    """A step of a story."""

    __tablename__ = "tasks"
    id: Mapped[int] = mapped_column(primary_key=True)
    story_id: Mapped[int] = mapped_column(ForeignKey("stories.id", ondelete="CASCADE"), index=True)
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"), index=True)
    title: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(20), default="todo")
    assignee_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class Comment(_Timestamps, Base):
    """What somebody said about a story; in the API it is a sub-resource of the story."""

    __tablename__ = "comments"
    id: Mapped[int] = mapped_column(primary_key=True)
    story_id: Mapped[int] = mapped_column(ForeignKey("stories.id", ondelete="CASCADE"), index=True)
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    content: Mapped[str] = mapped_column(Text)


class Worklist(_Timestamps, Base):
    """Stories and tasks that somebody keeps together."""

    __tablename__ = "worklists"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(200))
    private: Mapped[bool] = mapped_column(default=False)


class WorklistItem(Base):
    """A story or a task in a worklist; in the API it is a sub-resource of the list."""

    __tablename__ = "worklist_items"
    id: Mapped[int] = mapped_column(primary_key=True)
    worklist_id: Mapped[int] = mapped_column(ForeignKey("worklists.id"), index=True)
    item_type: Mapped[str] = mapped_column(String(20))
    item_id: Mapped[int] = mapped_column(BigInteger)


class Permission(Base):
    """A user may see a private story or worklist."""

    __tablename__ = "permissions"
    __table_args__ = (UniqueConstraint("user_id", "target_type", "target_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    target_type: Mapped[str] = mapped_column(String(20))
    target_id: Mapped[int] = mapped_column(BigInteger)


class Preference(Base):
    """A switch of a user, such as ``worklists``: whether to hear of them."""

    __tablename__ = "preferences"
    __table_args__ = (UniqueConstraint("user_id", "key"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    key: Mapped[str] = mapped_column(String(20))
    value: Mapped[bool]


class Subscription(Base):
    """A user follows a resource."""

    __tablename__ = "subscriptions"
    __table_args__ = (UniqueConstraint("user_id", "target_type", "target_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    target_type: Mapped[str] = mapped_column(String(20))
    target_id: Mapped[int] = mapped_column(BigInteger)


class Notification(Base):
    """What a user is told; written by eventworker's subscription plugin, in this very table."""

    __tablename__ = "notifications"
    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[object] = mapped_column(Uuid, index=True)
    subscriber_id: Mapped[int] = mapped_column(index=True)
    author_id: Mapped[int | None]
    event_type: Mapped[str] = mapped_column(String(200))
    resource: Mapped[str] = mapped_column(String(120))
    resource_id: Mapped[str | None] = mapped_column(String(255))
    info: Mapped[dict[str, object] | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=_now)
