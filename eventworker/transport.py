"""The contract of a transport: what carries events from the outbox to the consumers.

Every implementation in :mod:`eventworker.transports` passes ``tests/contract``.
"""

from __future__ import annotations

import abc
import time as clock
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from eventworker import tracecontext
from eventworker.errors import AlreadySettled, TransportError
from eventworker.event import MAX_BODY_BYTES, Event, checked


@dataclass(frozen=True, slots=True)
class Message:
    """An event on its way: what the outbox holds and a broker carries.

    :param resource: the routing key.
    :param body: the JSON body, see :meth:`eventworker.event.Event.encode`.
    :param stream: the resource that ``seq`` counts in; both or neither, see
        :attr:`eventworker.event.Event.stream`.
    """

    id: UUID
    time: datetime
    source: str
    resource: str
    body: bytes
    traceparent: str | None = None
    tracestate: str | None = None
    stream: str | None = None
    seq: int | None = None

    @classmethod
    def of(cls, event: Event, max_bytes: int = MAX_BODY_BYTES) -> Message:
        """The message of an event. A trace context that is none is left out, not refused: it often
        is a stranger's request header, and the change must not fail for it.

        :raises EncodeError: when the event cannot be put on the wire.
        """
        body = checked(event).encode(max_bytes)
        trace = tracecontext.valid(event.traceparent, event.tracestate)
        place = (None, None) if event.seq is None else (event.stream, event.seq)
        return cls(event.id, event.time, event.source, event.resource, body, *trace, *place)


class Delivery:
    """One arrival of one event.

    :param body: the bytes as they arrived; decoding is the consumer's, since bytes that are no
        event have to be settled too.
    :param event_id: the event's id, or None where the publisher gave none.
    :param redelivered: True when it may have been delivered before.
    :param properties: what else the publisher said, for the quarantine; or what makes it, since
        hardly a delivery ever needs it.
    :param content_type: the format of the body, where the publisher named one.
    :param content_encoding: how the publisher says that the body is packed, where it said so.
    :param refusal: why the transport does not believe that the publisher may send it; empty if it
        does. Such bytes are not decoded.
    :param seq: the event's place among those of its resource, as far as the publisher said one.
    :param anonymous: the publisher gave no id, and ``event_id`` is one of ours.
    """

    __slots__ = (
        "_properties",
        "_settled",
        "anonymous",
        "body",
        "content_encoding",
        "content_type",
        "event_id",
        "redelivered",
        "refusal",
        "seq",
        "source",
        "subscription",
        "time",
        "token",
        "traceparent",
        "tracestate",
    )

    def __init__(
        self,
        body: bytes,
        event_id: UUID | None,
        redelivered: bool,
        subscription: Subscription,
        token: Any,
        time: datetime | None = None,
        source: str = "",
        properties: dict[str, Any] | Callable[[], dict[str, Any]] = dict,
        anonymous: bool = False,
        traceparent: str | None = None,
        tracestate: str | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        refusal: str = "",
        seq: int | None = None,
    ) -> None:
        self.body = body
        self.event_id = event_id
        self.redelivered = redelivered
        self.subscription = subscription
        self.token = token
        self.time = time
        self.source = source
        self.anonymous = anonymous
        self.traceparent = traceparent
        self.tracestate = tracestate
        self.content_type = content_type
        self.content_encoding = content_encoding
        self.refusal = refusal
        self.seq = seq
        self._properties = properties
        self._settled = False

    @property
    def properties(self) -> dict[str, Any]:
        """What else the publisher said, for the quarantine."""
        said = self._properties
        return said() if callable(said) else said

    def ack(self) -> None:
        """The event is durably dealt with; the transport may forget it.

        :raises AlreadySettled: on a second call.
        """
        self._settle()
        self.subscription.ack(self)

    def requeue(self) -> None:
        """Give the delivery back, unhandled; it comes again, here or elsewhere, ``redelivered``."""
        self._settle()
        self.subscription.requeue(self)

    @property
    def is_settled(self) -> bool:
        """Whether it was acked or given back."""
        return self._settled

    def _settle(self) -> None:
        if self._settled:
            raise AlreadySettled(f"event {self.event_id} is acked or returned already")
        self._settled = True


#: Waits for what became of each message.
Answer = Callable[[], list[TransportError | None]]


class Subscription(abc.ABC):
    """A consumer's end of the queue. Used from one thread."""

    @abc.abstractmethod
    def receive(self, timeout: float) -> Delivery | None:
        """The next delivery, or None after ``timeout`` seconds. Never raises for a broker that is
        away: reconnecting is the subscription's own business."""

    def gather(self, most: int, timeout: float, linger: float = 0.0) -> list[Delivery]:
        """The deliveries that wait already, in their order, ``most`` of them at most; an empty list
        after ``timeout`` seconds without any. What holds for :meth:`receive` holds for this.

        :param linger: seconds to wait for company when there are some, but fewer than ``most``.
        """
        first = self.receive(timeout)
        if first is None:
            return []
        gathered = [first]
        deadline = clock.monotonic() + linger
        while len(gathered) < most:
            left = deadline - clock.monotonic()
            delivery = self.receive(max(left, 0.0))
            if delivery is not None:
                gathered.append(delivery)
            elif left <= 0:
                break
        return gathered

    @abc.abstractmethod
    def ack(self, delivery: Delivery) -> None:
        """Called by :meth:`Delivery.ack`. An ack that cannot reach the broker any more is dropped:
        the delivery will come again."""

    @abc.abstractmethod
    def requeue(self, delivery: Delivery) -> None:
        """Called by :meth:`Delivery.requeue`."""

    @abc.abstractmethod
    def pause(self) -> None:
        """Take no new deliveries until :meth:`resume`; those in hand stay in hand."""

    @abc.abstractmethod
    def resume(self) -> None:
        """Take deliveries again."""

    @abc.abstractmethod
    def close(self) -> None:
        """Send the acks that are due, give back what was not settled, and end."""


class Transport(abc.ABC):
    """A way for events to travel. Nothing connects before the first use."""

    @abc.abstractmethod
    def publish(
        self, messages: Sequence[Message], timeout: float = 30.0
    ) -> list[TransportError | None]:
        """Publish in order; returns when each message is durable or is known not to be.

        :param timeout: seconds after which what is not confirmed counts as not published.
        :returns: for each message None, or why it was not published: TransportUnavailable (publish
            it again, which may duplicate it), Unroutable (bound to no queue) or Unpublishable.
        """

    def begin(self, messages: Sequence[Message], timeout: float = 30.0) -> Answer:
        """Begin to :meth:`publish`; calling what this returns waits for the results and gives them.

        What is begun first is published first. Where nothing is won by waiting later, the whole
        work is done here.
        """
        results = self.publish(messages, timeout)
        return lambda: results

    @abc.abstractmethod
    def subscribe(self, prefetch: int, owner: str = "", hold: float = 60.0) -> Subscription:
        """Start taking deliveries, at most ``prefetch`` unsettled at a time.

        :param owner: name of the consumer, by which its leases can be given back when it dies.
        :param hold: seconds that the consumer may work on one delivery before it settles it.
        """

    def interrupt(self) -> None:  # noqa: B027 - most of them never wait
        """Have a :meth:`publish` that waits return soon, and later ones at once. May be called from
        a signal handler."""

    def depth(self, timeout: float = 10.0) -> int | None:
        """How many events wait in the queue, not counting those in somebody's hands; None where
        there is no queue but the outbox.

        :raises TransportUnavailable: when the broker does not say, within ``timeout`` seconds.
        """
        return None

    @abc.abstractmethod
    def close(self) -> None:
        """Close the publishing side."""
