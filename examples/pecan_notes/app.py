"""The notebook's web API. All that is about eventworker stands in :func:`create_app`."""

from __future__ import annotations

from typing import Any

import pecan
from pecan.rest import RestController
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from eventworker.capture import ImageReader, PathRules, ResourcePath
from eventworker.capture.pecan import EventHook
from eventworker.capture.sinks import outbox_sink
from eventworker.db import build_engine


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    is_closed: Mapped[bool] = mapped_column(default=False)

    def as_dict(self) -> dict[str, Any]:
        """What clients see, and the image in events."""
        return {"id": self.id, "text": self.text, "is_closed": self.is_closed}


class Notes(RestController):
    """``/v1/notes``."""

    _custom_actions = {"close": ["POST"]}  # noqa: RUF012 - Pecan's way

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    @pecan.expose("json")
    def post(self) -> dict[str, Any]:
        with self._sessions.begin() as session:
            note = Note(text=pecan.request.json["text"])
            session.add(note)
            session.flush()
            pecan.response.status = 201
            return note.as_dict()

    @pecan.expose("json")
    def put(self, key: str) -> dict[str, Any]:
        with self._sessions.begin() as session:
            note = _found(session, key)
            note.text = pecan.request.json["text"]
            return note.as_dict()

    patch = put

    @pecan.expose("json")
    def close(self, key: str) -> dict[str, Any]:
        with self._sessions.begin() as session:
            note = _found(session, key)
            note.is_closed = True
            return note.as_dict()

    @pecan.expose()
    def delete(self, key: str) -> None:
        with self._sessions.begin() as session:
            session.delete(_found(session, key))
        pecan.response.status = 204


def _found(session: Session, key: str) -> Note:
    note = session.get(Note, int(key)) if key.isdecimal() else None
    return note or pecan.abort(404)


class Version:
    """``/v1``."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self.notes = Notes(sessions)


class Root:
    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self.v1 = Version(sessions)


def create_app(database: str) -> Any:
    """The application on a SQLite file; its own table is made here, eventworker's are not."""
    engine = create_engine(database)
    Base.metadata.create_all(engine)
    sessions = sessionmaker(engine)

    def read(target: ResourcePath) -> dict[str, Any] | None:
        """What the database holds of a note, for the images before and after."""
        with sessions() as session:
            note = session.get(Note, target.resource_id)
            return note.as_dict() if note else None

    # eventworker: every request that changed a note is an event, made when it has ended.
    hook = EventHook(
        outbox_sink(build_engine(database)),
        author=lambda request: request.headers.get("X-User-Id"),
        rules=PathRules(only=frozenset({"notes"}), actions=frozenset({"close"})),
        images=ImageReader(read),
        source="pecan_notes",
    )
    return pecan.make_app(Root(sessions), hooks=[hook])
