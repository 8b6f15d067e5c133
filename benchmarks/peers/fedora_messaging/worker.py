"""Fedora Messaging: a callback, run in a thread beside Twisted's loop."""

from __future__ import annotations

import benchwork
from fedora_messaging.message import Message

engine = benchwork.engine()


def work(message: Message) -> None:
    """The work; the message is acknowledged after it."""
    benchwork.perform(engine, message.body)
