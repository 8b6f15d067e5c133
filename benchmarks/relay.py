"""How fast the relay moves the outbox to the broker, beside a publisher that has no outbox.

``python -m benchmarks.relay`` starts a private PostgreSQL and a private RabbitMQ (``make servers``
finds them), fills the outbox with events of about a kilobyte, and runs the daemon's relay until
every row is sent: claimed, published as persistent and mandatory, confirmed, and settled with the
time at which the reconciler is to look. Beside it, in turns, the same messages from memory through
pika alone, confirmed in windows of the same size: nothing that uses this client can be faster.
Each run ends with a look whether the queue holds every message once, and the outbox knows it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
from sqlalchemy import Engine, func, insert, select

from benchmarks import figures
from eventworker import Event, migrations
from eventworker.db import build_engine, short_transaction
from eventworker.engine.relay import Relay
from eventworker.outbox.table import SENT, outbox_table, row_of
from eventworker.transport import Message
from eventworker.transports.rabbit import RabbitTransport
from eventworker.transports.rabbit.outgoing import Form
from tests.helpers.rabbit import depth, settings_at
from tests.servers import PostgresServer, RabbitServer, Vhost

#: Seconds until the reconciler looks; the daemon's default.
CHECK_IN = 300.0
#: Rows of one INSERT.
CHUNK = 1000


def events_of_a_kilobyte(number: int) -> list[Message]:
    """So many of them, as ``outbox.record`` makes them."""
    image = {"title": "A story about a story", "description": "x" * 720}
    return [
        Message.of(
            Event(
                author_id=7,
                method="PUT",
                url="https://tracker.example.org/#!/story/12",
                path=f"/v1/stories/{each}",
                status=200,
                resource="story",
                resource_id=each,
                resource_after=image,
            )
        )
        for each in range(number)
    ]


def fill(engine: Engine, messages: list[Message]) -> None:
    """Put them into the outbox, ready to be sent."""
    for start in range(0, len(messages), CHUNK):
        rows = [row_of(message) for message in messages[start : start + CHUNK]]
        with short_transaction(engine) as connection:
            connection.execute(insert(outbox_table), rows)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds that it took, and seconds of this process's CPU, all its threads together."""
    started, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - used


def relayed(url: str, vhost: Vhost, messages: list[Message], batch: int) -> tuple[float, float]:
    """The outbox through the relay."""
    engine = build_engine(url)
    migrations.upgrade(engine)
    fill(engine, messages)
    transport = RabbitTransport(settings_at(vhost))
    transport.depth()  # so that the connection is there, as it is in a daemon
    relay = Relay(engine, transport, batch, "benchmark", CHECK_IN)

    found = timed(relay.run_until_empty)
    transport.close()
    with engine.connect() as connection:
        state, check_at = outbox_table.c.state, outbox_table.c.check_at
        query = select(func.count()).where(state == SENT, check_at.is_not(None))
        assert connection.scalar(query) == len(messages), "not every row is sent"
    engine.dispose()
    return found


class Bare:
    """pika's asynchronous connection, a window of messages at a time."""

    def __init__(self, vhost: Vhost, messages: list[Message], window: int) -> None:
        self._form = Form(settings_at(vhost))
        self._messages = messages
        self._window = window
        self._published = self._confirmed = 0
        self._channel: Any = None
        self._connection = pika.SelectConnection(
            pika.URLParameters(vhost.url), on_open_callback=self._on_open
        )

    def _on_open(self, connection: Any) -> None:
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.confirm_delivery(self._on_confirm, callback=lambda _frame: self._publish())

    def _publish(self) -> None:
        for message in self._messages[self._published : self._published + self._window]:
            properties = self._form.properties(message, message.body)
            self._channel.basic_publish(
                "storyboard", message.resource, message.body, properties, mandatory=True
            )
            self._published += 1

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        self._confirmed = method.delivery_tag if method.multiple else self._confirmed + 1
        if self._confirmed >= len(self._messages):
            self._connection.ioloop.stop()
        elif self._published - self._confirmed <= self._window // 2:
            self._publish()

    def run(self) -> None:
        """Publish all and return when all are confirmed."""
        self._connection.ioloop.start()


def bare(vhost: Vhost, messages: list[Message], window: int) -> tuple[float, float]:
    """The same messages from memory."""
    transport = RabbitTransport(settings_at(vhost))
    transport.depth()  # declares exchange and queue
    transport.close()
    return timed(Bare(vhost, messages, window).run)


def main() -> None:
    """Measure in turns and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=20_000, help="events per run")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each")
    parser.add_argument("--batch", type=int, default=500, help="relay_batch")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as JSON, too")
    arguments = parser.parse_args()
    number, batch = arguments.events, arguments.batch
    seconds: dict[str, list[float]] = {"bare pika": [], "relay": []}
    cpu: dict[str, list[float]] = {"bare pika": [], "relay": []}
    with PostgresServer() as postgres, RabbitServer() as rabbit:
        for _ in range(arguments.rounds):
            messages = events_of_a_kilobyte(number)
            for name in seconds:
                vhost = rabbit.add_vhost()
                if name == "relay":
                    took, used = relayed(postgres.createdb(), vhost, messages, batch)
                else:
                    took, used = bare(vhost, messages, batch)
                assert depth(vhost) == number, f"{depth(vhost)} messages in the queue"
                rabbit.delete_vhost(vhost.vhost)
                seconds[name].append(took)
                cpu[name].append(used)
    size = len(messages[0].body)
    print(f"{number} events of {size} bytes, batches of {batch}, medians of {arguments.rounds}")
    print(f"{'':<10}{'events/s':>10}{'CPU us per event':>18}{'of the limit':>14}")
    limit = statistics.median(seconds["bare pika"])
    rows = []
    for name, taken in seconds.items():
        took, used = statistics.median(taken), statistics.median(cpu[name])
        print(f"{name:<10}{number / took:10.0f}{used / number * 1e6:18.1f}{limit / took:14.2f}")
        speed, cost = number / took, used / number * 1e6
        rows.append(
            {
                "Way": name,
                "events/s": speed,
                "CPU us per event": cost,
                "of the limit": limit / took,
            }
        )
    if arguments.out:
        figures.write(arguments.out, "relay", rows)


if __name__ == "__main__":
    main()
