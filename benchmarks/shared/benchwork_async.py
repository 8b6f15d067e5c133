"""The same work for those whose handlers are coroutines."""

from __future__ import annotations

from typing import Any

import benchwork
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

#: Connections of a process; more than so many sessions at once only wait for each other.
CONNECTIONS = 16


def engine() -> AsyncEngine:
    """The one engine of a process."""
    return create_async_engine(benchwork.DATABASE, pool_size=CONNECTIONS, max_overflow=0)


async def add(session: AsyncSession, event: dict[str, Any]) -> None:
    """One new row."""
    session.add(benchwork.Effect(**benchwork.values(event)))


async def mixed(session: AsyncSession, event: dict[str, Any]) -> None:
    """Select a row by its key, add a row, and change the selected one."""
    key = event["resource_id"] % benchwork.COUNTERS
    counter = await session.get_one(benchwork.Counter, key)
    session.add(benchwork.Effect(**benchwork.values(event)))
    counter.count += 1


_work = {"add": add, "mixed": mixed}[benchwork.work.__name__]


async def perform(bind: AsyncEngine, event: dict[str, Any]) -> None:
    """The work in a session of its own, committed."""
    benchwork.enter()
    async with AsyncSession(bind) as session:
        await _work(session, event)
        await session.commit()
