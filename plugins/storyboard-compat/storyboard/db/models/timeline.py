"""The timeline of a story, a worklist or a board, and the comments in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, UnicodeText
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storyboard.common import event_types
from storyboard.db.models.base import Base
from storyboard.db.models.columns import Choice, MediumText

if TYPE_CHECKING:
    from storyboard.db.models.stories import Story


class TimeLineEvent(Base):
    """One entry of a timeline. ``event_info`` is JSON text that says more about it."""

    __tablename__ = "events"

    story_id: Mapped[int | None] = mapped_column(ForeignKey("stories.id"))
    worklist_id: Mapped[int | None] = mapped_column(ForeignKey("worklists.id"))
    board_id: Mapped[int | None] = mapped_column(ForeignKey("boards.id"))
    comment_id: Mapped[int | None] = mapped_column(ForeignKey("comments.id"))
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    event_type: Mapped[str] = mapped_column(Choice("event_type", *event_types.ALL))
    event_info: Mapped[str | None] = mapped_column(UnicodeText)

    story: Mapped[Story | None] = relationship(back_populates="events")
    comment: Mapped[Comment | None] = relationship(back_populates="event")


class Comment(Base):
    """What somebody said; replies know what they reply to."""

    __tablename__ = "comments"

    content: Mapped[str | None] = mapped_column(MediumText)
    is_active: Mapped[bool | None] = mapped_column(default=True)
    in_reply_to: Mapped[int | None] = mapped_column(ForeignKey("comments.id"))

    event: Mapped[list[TimeLineEvent]] = relationship(back_populates="comment")
    parent: Mapped[Comment | None] = relationship(
        back_populates="children", remote_side="Comment.id"
    )
    children: Mapped[list[Comment]] = relationship(back_populates="parent")
    history: Mapped[list[HistoricalComment]] = relationship(back_populates="current")


class HistoricalComment(Base):
    """What a comment said before it was edited."""

    __tablename__ = "comments_history"

    content: Mapped[str | None] = mapped_column(MediumText)
    comment_id: Mapped[int] = mapped_column(ForeignKey("comments.id"))

    current: Mapped[Comment] = relationship(back_populates="history")
