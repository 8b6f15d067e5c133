"""How many messages wait in a queue, asked over a connection that is there anyway."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from eventworker.errors import TransportUnavailable
from eventworker.transports.rabbit.settings import describe

_NOT_FOUND = 404


class Question:
    """One passive declaration of the queue, on a channel of its own: the broker closes the channel
    of whoever asks for a queue that is not there."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._answered = threading.Event()
        self._count: int | None = None
        self._error = "it does not say how many messages wait"

    def ask(self, connection: Any) -> None:
        """Called in the connection's thread."""
        if connection.is_open:
            connection.channel(on_open_callback=self._on_open)

    def answer(self, timeout: float, away: Callable[[str], TransportUnavailable]) -> int:
        """Wait for the answer.

        :raises TransportUnavailable: made by ``away``, when there is none.
        """
        self._answered.wait(timeout)
        if self._count is None:
            raise away(self._error)
        return self._count

    def _on_open(self, channel: Any) -> None:
        channel.add_on_close_callback(self._on_close)

        def on_declared(frame: Any) -> None:
            self._count = frame.method.message_count
            self._answered.set()
            channel.close()

        channel.queue_declare(self._queue, passive=True, callback=on_declared)

    def _on_close(self, _channel: Any, reason: BaseException) -> None:
        if self._answered.is_set():
            return
        if getattr(reason, "reply_code", None) == _NOT_FOUND:
            self._count = 0  # a queue that is not there holds nothing
        else:
            self._error = describe(reason)
        self._answered.set()
