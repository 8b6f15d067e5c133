"""The event, and the envelopes that the peers' own publishers put it into."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pika

#: Bytes of an event's JSON, about.
SIZE = 1000

Message = tuple[pika.BasicProperties, bytes]
Envelope = Callable[[dict[str, Any], str], Message]


def event(number: int, published: float | None = None) -> dict[str, Any]:
    """The change that StoryBoard would tell of; `published` is the time of its publication."""
    return {
        "author_id": 7,
        "method": "PUT",
        "url": "https://tracker.example.org/#!/story/12",
        "path": f"/v1/stories/{number}",
        "query_string": "",
        "status": 200,
        "resource": "story",
        "resource_id": number,
        "sub_resource": None,
        "sub_resource_id": None,
        "resource_before": {"title": "A story", "status": "active"},
        "resource_after": {
            "title": "A story with another title",
            "status": "active",
            "published": published,
            "description": "x" * (SIZE - 400),
        },
    }


def plain(event: dict[str, Any], _queue: str) -> Message:
    """The event itself, as StoryBoard publishes it."""
    return _properties("application/json"), json.dumps(event).encode()


def celery(event: dict[str, Any], _queue: str) -> Message:
    """Celery's protocol 2."""
    task = str(uuid.uuid4())
    headers = {
        "lang": "py",
        "task": "worker.work",
        "id": task,
        "root_id": task,
        "parent_id": None,
        "group": None,
        "retries": 0,
        "timelimit": [None, None],
        "eta": None,
        "expires": None,
        "argsrepr": "...",
        "kwargsrepr": "{}",
        "origin": "bench",
        "ignore_result": True,
    }
    chain = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    properties = _properties("application/json", "utf-8", headers)
    properties.correlation_id = task
    properties.priority = 0
    return properties, json.dumps([[event], {}, chain]).encode()


def dramatiq(event: dict[str, Any], queue: str) -> Message:
    """Dramatiq's message."""
    message = {
        "queue_name": queue,
        "actor_name": "work",
        "args": [event],
        "kwargs": {},
        "options": {},
        "message_id": str(uuid.uuid4()),
        "message_timestamp": 0,
    }
    return _properties(None), json.dumps(message, separators=(",", ":")).encode()


def taskiq(event: dict[str, Any], _queue: str) -> Message:
    """Taskiq's message, with the headers of taskiq-aio-pika."""
    task = uuid.uuid4().hex
    message = {
        "task_id": task,
        "task_name": "work",
        "labels": {},
        "labels_types": {},
        "args": [event],
        "kwargs": {},
    }
    properties = _properties(None, headers={"task_id": task, "task_name": "work"})
    return properties, json.dumps(message).encode()


def fedora(event: dict[str, Any], _queue: str) -> Message:
    """Fedora Messaging's message without a schema."""
    headers = {
        "fedora_messaging_schema": "base.message",
        "fedora_messaging_severity": 20,
        "sent-at": "2026-11-01T00:00:00+00:00",
        "priority": 0,
    }
    return _properties("application/json", "utf-8", headers), json.dumps(event).encode()


def _properties(
    content_type: str | None, encoding: str | None = None, headers: dict[str, Any] | None = None
) -> pika.BasicProperties:
    """Persistent, with an id."""
    return pika.BasicProperties(
        content_type=content_type,
        content_encoding=encoding,
        delivery_mode=2,
        message_id=str(uuid.uuid4()),
        headers=headers or {},
    )


ENVELOPES: dict[str, Envelope] = {
    "plain": plain,
    "celery": celery,
    "dramatiq": dramatiq,
    "taskiq": taskiq,
    "fedora": fedora,
}
