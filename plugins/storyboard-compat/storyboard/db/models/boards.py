"""Worklists, the boards that show them, and due dates."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Column, ForeignKey, Table, Unicode, UnicodeText
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storyboard.db.models.base import Base
from storyboard.db.models.columns import MIDDLE, SHORT, Choice, UTCDateTime

if TYPE_CHECKING:
    from storyboard.db.models.stories import Story, Task
    from storyboard.db.models.users import Permission


def _link(name: str, one: str, other: str) -> Table:
    """A table of pairs, named as StoryBoard does: ``TABLE.COLUMN`` of each side."""
    return Table(
        name,
        Base.metadata,
        *(
            Column(column, ForeignKey(f"{table}.id"))
            for table, _, column in (one.partition("."), other.partition("."))
        ),
    )


board_permissions = _link("board_permissions", "boards.board_id", "permissions.permission_id")
worklist_permissions = _link(
    "worklist_permissions", "worklists.worklist_id", "permissions.permission_id"
)
due_date_permissions = _link(
    "due_date_permissions", "due_dates.due_date_id", "permissions.permission_id"
)
task_due_dates = _link("task_due_dates", "tasks.task_id", "due_dates.due_date_id")
story_due_dates = _link("story_due_dates", "stories.story_id", "due_dates.due_date_id")
board_due_dates = _link("board_due_dates", "boards.board_id", "due_dates.due_date_id")
worklist_due_dates = _link("worklist_due_dates", "worklists.worklist_id", "due_dates.due_date_id")


class Worklist(Base):
    """A list of stories and tasks, kept by hand or filled by filters."""

    __tablename__ = "worklists"
    _public_fields = (
        "id",
        "title",
        "creator_id",
        "project_id",
        "private",
        "archived",
        "automatic",
    )

    title: Mapped[str | None] = mapped_column(Unicode(MIDDLE))
    creator_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    private: Mapped[bool | None] = mapped_column(default=False)
    archived: Mapped[bool | None] = mapped_column(default=False)
    automatic: Mapped[bool | None] = mapped_column(default=False)

    items: Mapped[list[WorklistItem]] = relationship(back_populates="list")
    filters: Mapped[list[WorklistFilter]] = relationship()
    permissions: Mapped[list[Permission]] = relationship(secondary=worklist_permissions)
    due_dates: Mapped[list[DueDate]] = relationship(
        secondary=worklist_due_dates, back_populates="worklists"
    )


class WorklistItem(Base):
    """A story or a task at its place in a worklist."""

    __tablename__ = "worklist_items"
    _public_fields = ("id", "list_id", "list_position", "item_type", "item_id")

    list_id: Mapped[int | None] = mapped_column(ForeignKey("worklists.id"))
    list_position: Mapped[int]
    item_type: Mapped[str] = mapped_column(Choice("worklist_item_type", "story", "task"))
    item_id: Mapped[int]
    display_due_date: Mapped[int | None] = mapped_column(ForeignKey("due_dates.id"))
    archived: Mapped[bool | None] = mapped_column(default=False)

    list: Mapped[Worklist | None] = relationship(back_populates="items")


class WorklistFilter(Base):
    """What fills an automatic worklist."""

    __tablename__ = "worklist_filters"
    _public_fields = ("id", "list_id", "type")

    type: Mapped[str] = mapped_column(Unicode(SHORT))
    list_id: Mapped[int] = mapped_column(ForeignKey("worklists.id"))

    criteria: Mapped[list[FilterCriterion]] = relationship(back_populates="filter")


class FilterCriterion(Base):
    """One condition of a filter."""

    __tablename__ = "filter_criteria"
    _public_fields = ("id", "title", "value", "field", "negative", "filter_id")

    title: Mapped[str] = mapped_column(Unicode(MIDDLE))
    value: Mapped[str] = mapped_column(Unicode(SHORT))
    field: Mapped[str] = mapped_column(Unicode(SHORT))
    negative: Mapped[bool] = mapped_column(default=False)
    filter_id: Mapped[int] = mapped_column(ForeignKey("worklist_filters.id"))

    filter: Mapped[WorklistFilter] = relationship(back_populates="criteria")


class Board(Base):
    """Worklists side by side, as lanes."""

    __tablename__ = "boards"
    _public_fields = (
        "id",
        "title",
        "description",
        "creator_id",
        "project_id",
        "private",
        "archived",
    )

    title: Mapped[str] = mapped_column(Unicode(MIDDLE))
    description: Mapped[str | None] = mapped_column(UnicodeText)
    creator_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    private: Mapped[bool | None] = mapped_column(default=False)
    archived: Mapped[bool | None] = mapped_column(default=False)

    lanes: Mapped[list[BoardWorklist]] = relationship(back_populates="board")
    permissions: Mapped[list[Permission]] = relationship(secondary=board_permissions)
    due_dates: Mapped[list[DueDate]] = relationship(
        secondary=board_due_dates, back_populates="boards"
    )


class BoardWorklist(Base):
    """A lane: a worklist at its place on a board."""

    __tablename__ = "board_worklists"
    _public_fields = ("id", "board_id", "list_id", "position")

    board_id: Mapped[int | None] = mapped_column(ForeignKey("boards.id"))
    list_id: Mapped[int | None] = mapped_column(ForeignKey("worklists.id"))
    position: Mapped[int | None]

    board: Mapped[Board | None] = relationship(back_populates="lanes")
    worklist: Mapped[Worklist | None] = relationship()


class DueDate(Base):
    """A day by which things are to be done."""

    __tablename__ = "due_dates"

    name: Mapped[str | None] = mapped_column(Unicode(MIDDLE))
    date: Mapped[datetime | None] = mapped_column(UTCDateTime)
    private: Mapped[bool | None] = mapped_column(default=False)
    creator_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))

    permissions: Mapped[list[Permission]] = relationship(secondary=due_date_permissions)
    tasks: Mapped[list[Task]] = relationship(secondary=task_due_dates, backref="due_dates")
    stories: Mapped[list[Story]] = relationship(secondary=story_due_dates, backref="due_dates")
    boards: Mapped[list[Board]] = relationship(
        secondary=board_due_dates, back_populates="due_dates"
    )
    worklists: Mapped[list[Worklist]] = relationship(
        secondary=worklist_due_dates, back_populates="due_dates"
    )
