"""What the way of an event costs a consumer, in microseconds of processor time for each event.

``python -m benchmarks.transport_cost`` starts a private RabbitMQ (``make servers`` finds it), fills
a queue, and then receives and acknowledges with nothing in between; and it reads bodies of several
sizes. Processor time of both threads of the consumer counts, that of the broker does not. Runs of
the parts alternate, and each line is the median with the least and the most. To compare two
commits, run it at both, by turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from eventworker import wire
from eventworker.engine.intake import decoded
from eventworker.event import Event
from eventworker.transport import Delivery, Message, Subscription
from eventworker.transports.rabbit import RabbitTransport
from tests.helpers.rabbit import settings_at
from tests.servers import RabbitServer, Vhost

#: Bytes of the bodies that are read, about.
SIZES = (200, 1_000, 50_000)
PREFETCH, GROUP = 400, 100
#: Seconds after which a run is given up.
PATIENCE = 60.0


def event_of_size(size: int) -> Event:
    """An event whose body has about so many bytes, most of them in images of some fields each."""
    bare = Event(method="PUT", resource="story", resource_id=42)
    image: dict[str, Any] = {}
    number = 0
    while len(bare.encode()) < size - 60:
        image[f"field_{number}"] = number * 7 if number % 3 == 0 else f"value of the field {number}"
        number += 1
        bare = Event(method="PUT", resource="story", resource_id=42, resource_after=image)
    return bare


def gather(subscription: Subscription) -> list[Delivery]:
    """A group where the subscription knows groups, else the next delivery."""
    if hasattr(subscription, "gather"):
        return subscription.gather(GROUP, 1.0)
    delivery = subscription.receive(1.0)
    return [] if delivery is None else [delivery]


def receive_and_ack(vhost: Vhost, events: int, read: bool) -> tuple[float, float]:
    """Microseconds for each event: of the processors, and by the clock.

    :param read: also decode the body, as a consumer does.
    """
    transport = RabbitTransport(settings_at(vhost))
    event = event_of_size(1_000)
    for start in range(0, events, 500):
        batch = [
            Message.of(Event(method="PUT", resource="story", resource_after=event.resource_after))
            for _ in range(min(500, events - start))
        ]
        assert transport.publish(batch) == [None] * len(batch)
    transport.close()
    transport = RabbitTransport(settings_at(vhost))
    subscription = transport.subscribe(PREFETCH)
    done = gather(subscription)
    for delivery in done:
        delivery.ack()
    count = len(done)
    until = time.monotonic() + PATIENCE
    clock, processors = time.perf_counter(), time.process_time()
    while count < events and time.monotonic() < until:
        deliveries = gather(subscription)
        if read:
            for delivery in deliveries:
                decoded(delivery)
        for delivery in deliveries:
            delivery.ack()
        count += len(deliveries)
    clock, processors = time.perf_counter() - clock, time.process_time() - processors
    subscription.close()
    transport.close()
    assert count == events, f"{count} of {events} events in {PATIENCE:.0f} s"
    return 1e6 * processors / events, 1e6 * clock / events


def reading(size: int, rounds: int) -> float:
    """Microseconds of the processor to read one body of that size."""
    message = Message.of(event_of_size(size))
    count = max(1, rounds * 200 // size)
    started = time.process_time()
    for _ in range(count):
        wire.read(message.body, "application/json", id=message.id, time=message.time)
    return 1e6 * (time.process_time() - started) / count


def main() -> None:
    """Measure by turns and print one line for each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000, help="events in the queue")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each")
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    with RabbitServer() as rabbit:
        for _ in range(arguments.rounds):
            for size in SIZES:
                note(f"read {size} bytes", reading(size, 20_000))
            for name, read in (("receive, ack", False), ("receive, read, ack", True)):
                vhost = rabbit.add_vhost()
                processors, clock = receive_and_ack(vhost, arguments.events, read)
                note(name, processors)
                note(f"{name}: clock", clock)
                rabbit.delete_vhost(vhost.vhost)
    print(f"{'microseconds for each event':<32}{'median':>8}{'least':>8}{'most':>8}")
    for name, values in found.items():
        median = statistics.median(values)
        print(f"{name:<32}{median:8.1f}{min(values):8.1f}{max(values):8.1f}")


if __name__ == "__main__":
    main()
