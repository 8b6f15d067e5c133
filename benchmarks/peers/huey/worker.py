"""Huey with its queue in SQLite. What a worker has in hand is gone from there: a crash loses it."""

from __future__ import annotations

import os
from typing import Any

import benchwork
from huey import SqliteHuey

huey = SqliteHuey("bench", filename=f"{os.environ['BENCH_FOLDER']}/huey.sqlite", results=False)
engine = benchwork.engine()


@huey.task()
def work(event: dict[str, Any]) -> None:
    """The work."""
    benchwork.perform(engine, event)
