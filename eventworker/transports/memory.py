"""A transport inside one process, for tests: true to the contract, durable in nothing."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from eventworker.errors import TransportError
from eventworker.transport import Delivery, Message, Subscription, Transport


class MemoryTransport(Transport):
    """A queue in memory. Subscriptions in several threads compete for it."""

    def __init__(self) -> None:
        self._ready: deque[tuple[Message, bool]] = deque()
        self._changed = threading.Condition()

    def publish(
        self, messages: Sequence[Message], timeout: float = 30.0
    ) -> list[TransportError | None]:
        with self._changed:
            self._ready.extend((message, False) for message in messages)
            self._changed.notify_all()
        return [None] * len(messages)

    def subscribe(self, prefetch: int, owner: str = "", hold: float = 60.0) -> Subscription:
        return _MemorySubscription(self, prefetch)

    def depth(self, timeout: float = 10.0) -> int | None:
        return len(self._ready)

    def close(self) -> None:
        pass


class _MemorySubscription(Subscription):
    def __init__(self, transport: MemoryTransport, prefetch: int) -> None:
        self._transport = transport
        self._prefetch = prefetch
        self._unsettled: dict[int, Message] = {}
        self._paused = False
        self._next_tag = 0

    def receive(self, timeout: float) -> Delivery | None:
        changed, ready = self._transport._changed, self._transport._ready
        with changed:
            if not changed.wait_for(lambda: ready and self._may_take(), timeout):
                return None
            message, redelivered = ready.popleft()
            self._next_tag += 1
            self._unsettled[self._next_tag] = message
            return Delivery(
                message.body,
                message.id,
                redelivered,
                self,
                self._next_tag,
                message.time,
                message.source,
                traceparent=message.traceparent,
                tracestate=message.tracestate,
            )

    def _may_take(self) -> bool:
        return not self._paused and len(self._unsettled) < self._prefetch

    def ack(self, delivery: Delivery) -> None:
        with self._transport._changed:
            self._unsettled.pop(delivery.token, None)
            self._transport._changed.notify_all()

    def requeue(self, delivery: Delivery) -> None:
        with self._transport._changed:
            message = self._unsettled.pop(delivery.token, None)
            if message is not None:
                self._transport._ready.appendleft((message, True))
                self._transport._changed.notify_all()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def close(self) -> None:
        with self._transport._changed:
            for tag in sorted(self._unsettled, reverse=True):
                self._transport._ready.appendleft((self._unsettled.pop(tag), True))
            self._transport._changed.notify_all()
