"""The notebook's web API. About eventworker are the lines in :func:`create_app` that say so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from eventworker.capture import PathRules
from eventworker.capture.asgi import EventMiddleware
from eventworker.capture.sqlalchemy import capture


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    is_closed: Mapped[bool] = mapped_column(default=False)


class CapturedSession(Session):
    """The session inside each AsyncSession; a class of its own, so that no other is captured."""


class Fields(BaseModel):
    """What a client sends."""

    text: str


def create_app(database: str) -> FastAPI:
    """The application on a SQLite file; its own table is made here, eventworker's are not."""
    engine = create_async_engine(make_url(database).set(drivername="sqlite+aiosqlite"))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    app.include_router(api)
    app.state.sessions = async_sessionmaker(engine, sync_session_class=CapturedSession)

    # eventworker: every change of a note is an event, in the same transaction ...
    capture(CapturedSession, {Note: "note"}, source="fastapi_notes")
    # ... and knows who asked for it. No sink: the session is the one that records.
    rules = PathRules(actions=frozenset({"close"}))
    app.add_middleware(EventMiddleware, sink=None, author=_author, rules=rules)
    return app


def _author(scope: dict[str, Any]) -> str | None:
    """Whoever the client says, which is enough for an example, and for nothing else."""
    found: bytes | None = dict(scope["headers"]).get(b"x-user-id")
    return found.decode("latin-1") if found else None


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.sessions() as session:
        yield session


InSession = Annotated[AsyncSession, Depends(_session)]
api = APIRouter(prefix="/v1/notes")


async def _found(session: AsyncSession, key: int) -> Note:
    note = await session.get(Note, key)
    if note is None:
        raise HTTPException(404)
    return note


async def _committed(session: AsyncSession, note: Note) -> dict[str, Any]:
    await session.commit()
    await session.refresh(note)
    return {"id": note.id, "text": note.text, "is_closed": note.is_closed}


@api.post("", status_code=201)
async def create(fields: Fields, session: InSession) -> dict[str, Any]:
    note = Note(text=fields.text)
    session.add(note)
    return await _committed(session, note)


@api.api_route("/{key}", methods=["PUT", "PATCH"])
async def change(key: int, fields: Fields, session: InSession) -> dict[str, Any]:
    note = await _found(session, key)
    note.text = fields.text
    return await _committed(session, note)


@api.post("/{key}/close")
async def close(key: int, session: InSession) -> dict[str, Any]:
    note = await _found(session, key)
    note.is_closed = True
    return await _committed(session, note)


@api.delete("/{key}", status_code=204)
async def remove(key: int, session: InSession) -> None:
    await session.delete(await _found(session, key))
    await session.commit()
