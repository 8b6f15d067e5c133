"""A small application whose sessions are captured, and a look at what they recorded."""

import enum
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID, uuid4

from sqlalchemy import JSON, Engine, FetchedValue, ForeignKey, String, Text, func, select
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    sessionmaker,
)

from eventworker.capture.sqlalchemy import Resource, capture
from eventworker.event import Event, decode
from eventworker.outbox.table import outbox_table


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: String(255)}


class Status(enum.Enum):
    OPEN = "open"
    DONE = "done"


class Story(Base):
    __tablename__ = "story"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(2_000_000).with_variant(Text(2_000_000), "mariadb"))
    description: Mapped[str | None]
    votes: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(server_default="new", server_onupdate=FetchedValue())
    comments: Mapped[list["Comment"]] = relationship(
        back_populates="story", cascade="all, delete-orphan"
    )


class Comment(Base):
    __tablename__ = "comment"
    id: Mapped[int] = mapped_column(primary_key=True)
    story_id: Mapped[int] = mapped_column(ForeignKey("story.id"))
    text: Mapped[str]
    story: Mapped[Story] = relationship(back_populates="comments")


class User(Base):
    """The name is an attribute of another name than its column's."""

    __tablename__ = "person"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column("full_name")
    password_hash: Mapped[str | None]
    key: Mapped[str | None] = mapped_column("api_token")
    phone: Mapped[str | None]
    photo: Mapped[bytes | None]
    biography: Mapped[str | None] = mapped_column(deferred=True)
    settings: Mapped[dict[str, Any] | None] = mapped_column(MutableDict.as_mutable(JSON()))
    status: Mapped[Status | None]
    balance: Mapped[Decimal | None]
    joined: Mapped[datetime | None]
    seen: Mapped[str | None] = mapped_column(onupdate=lambda: uuid4().hex)


class Task(Base):
    __tablename__ = "task"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    story_id: Mapped[int | None] = mapped_column(ForeignKey("story.id"))
    story: Mapped[Story | None] = relationship()
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "task"}  # noqa: RUF012


class Chore(Task):
    __tablename__ = "chore"
    id: Mapped[int] = mapped_column(ForeignKey("task.id"), primary_key=True)
    weekday: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": "chore"}  # noqa: RUF012


class Membership(Base):
    """Has a key of two columns."""

    __tablename__ = "membership"
    story_id: Mapped[int] = mapped_column(primary_key=True)
    team: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str | None]


class Counter(Base):
    """Has a version that every change has to match."""

    __tablename__ = "counter"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Draft(Base):
    """Not captured."""

    __tablename__ = "draft"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


RESOURCES: dict[type, str | Resource] = {
    Story: "story",
    Comment: Resource("comment", parent=("story", "story_id")),
    User: Resource("user", exclude=("phone",)),
    Task: "task",
    Membership: "membership",
    Counter: "counter",
}


def captured_sessions(engine: Engine, **options: Any) -> sessionmaker[Session]:
    """Sessions on new tables; what they change is captured."""
    Base.metadata.create_all(engine)
    # Tests want to name what they made after the commit.
    sessions = sessionmaker(engine, expire_on_commit=False)
    capture(sessions, RESOURCES, **options)
    return sessions


def events_in(engine: Engine) -> list[Event]:
    """The events in the outbox, the oldest first, as a consumer would read them."""
    rows = outbox_table.c
    with engine.connect() as connection:
        found = connection.execute(
            select(rows.body, rows.id, rows.time, rows.source).order_by(rows.id)
        )
        return [decode(body, id=i, time=time, source=source) for body, i, time, source in found]


def count_of(engine: Engine) -> int:
    """How many events there are."""
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(outbox_table)) or 0


def clear(engine: Engine) -> None:
    """Forget the events so far."""
    with engine.begin() as connection:
        connection.execute(outbox_table.delete())


def only(events: list[Event]) -> Event:
    """The one event of a list that has no other."""
    assert len(events) == 1
    return events[0]
