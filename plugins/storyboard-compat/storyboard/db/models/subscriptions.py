"""Who wants to hear of what, and what they have been told."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Unicode, UnicodeText
from sqlalchemy.orm import Mapped, mapped_column

from storyboard.db.models.base import Base
from storyboard.db.models.columns import MIDDLE, Choice


class Subscription(Base):
    """A user's wish to hear of a resource; ``target_id`` is an id in the table of that type."""

    __tablename__ = "subscriptions"
    _public_fields = ("id", "target_type", "target_id", "user_id")

    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    target_type: Mapped[str | None] = mapped_column(
        Choice("subscription_target", "task", "story", "project", "project_group", "worklist")
    )
    target_id: Mapped[int | None]


class SubscriptionEvents(Base):
    """One thing that one subscriber is told."""

    __tablename__ = "subscription_events"

    subscriber_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    event_type: Mapped[str] = mapped_column(Unicode(MIDDLE))
    event_info: Mapped[str | None] = mapped_column(UnicodeText)
