"""A session whose changes are captured, on SQLite."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, sessionmaker

from tests.helpers.stories import (
    Story,
    captured_sessions,
    clear,
)


@pytest.fixture
def engine(sqlite_engine: Engine) -> Engine:
    return sqlite_engine


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return captured_sessions(engine, source="tracker")


@pytest.fixture
def story(sessions: sessionmaker[Session], engine: Engine) -> int:
    """The id of a story that is there already."""
    with sessions.begin() as session:
        made = Story(title="first", description="text")
        session.add(made)
    clear(engine)
    return made.id


@pytest.fixture
def selects(engine: Engine) -> Iterator[list[str]]:
    """The SELECTs that the database was asked."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("SELECT"):
            seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)
