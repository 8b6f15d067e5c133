"""Celery with late acks, no results, and no events about its tasks."""

from __future__ import annotations

from typing import Any

import benchwork
from celery import Celery
from celery.signals import worker_process_init

app = Celery("worker", broker=benchwork.AMQP)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    task_default_queue=benchwork.QUEUE,
    worker_prefetch_multiplier=benchwork.PREFETCH,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
engine = benchwork.engine()


@worker_process_init.connect
def forked(**_kwargs: Any) -> None:
    """A pool of connections is not shared with the parent."""
    engine.dispose(close=False)


@app.task(autoretry_for=(benchwork.Outage,), retry_backoff=1, retry_jitter=False, max_retries=9)
def work(event: dict[str, Any]) -> None:
    """The work."""
    benchwork.perform(engine, event)
