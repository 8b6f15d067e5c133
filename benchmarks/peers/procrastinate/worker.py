"""Procrastinate: jobs are rows of the database that the work is done in.

Four at once are faster than one, and than ten.
"""

from __future__ import annotations

from typing import Any

import benchwork
from procrastinate import App, PsycopgConnector

app = App(
    connector=PsycopgConnector(conninfo=benchwork.DATABASE.replace("+psycopg", "")),
    worker_defaults={"concurrency": 4},
)
engine = benchwork.engine()


@app.task(name="work", queue=benchwork.QUEUE)
def work(event: dict[str, Any]) -> None:
    """The work; a task that is no coroutine gets a thread."""
    benchwork.perform(engine, event)
