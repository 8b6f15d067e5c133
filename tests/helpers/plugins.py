"""Plugins made in the test, and the engine's parts around them in this process."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine

from eventworker.db import short_transaction
from eventworker.engine import timelimit
from eventworker.engine.attempt import Caller
from eventworker.engine.backlog import BacklogRunner
from eventworker.engine.dispatch import Dispatcher
from eventworker.engine.effects import EffectRunner
from eventworker.engine.filters import EVERYTHING, Filter, declared
from eventworker.engine.loader import Loaded, handle_arguments
from eventworker.engine.registered import RegistryView
from eventworker.engine.slot import Slot
from eventworker.event import Event
from eventworker.inbox import registry
from eventworker.transport import Delivery, Message
from eventworker.transports.memory import MemoryTransport
from tests.helpers.configuration import configuration
from tests.helpers.databases import write

Body = Callable[[Any, Event], None]


class Plugin:
    """Writes its name, after it has done what the test says; counts its calls."""

    def __init__(self, name: str, body: Body | None = None, **declared: Any) -> None:
        self.name = name
        self.body = body
        self.calls = 0
        for attribute, value in declared.items():
            setattr(self, attribute, value)

    def enabled(self) -> bool:
        return True

    def handle(self, session: Any, event: Event) -> None:
        self.calls += 1
        write(session, self.name, event.id)
        if self.body is not None:
            self.body(session, event)


def loaded(plugin: Any, name: str = "", **limits: Any) -> Loaded:
    return Loaded(
        name=name or plugin.name,
        plugin=plugin,
        arguments=handle_arguments(plugin),
        declared=declared(plugin),
        **limits,
    )


class Workshop:
    """What a consumer process is made of, without the process; plugins are numbered from 1."""

    def __init__(
        self,
        engine: Engine,
        *plugins: Loaded,
        patience: float = 900.0,
        refresh: float = 0.0,
        narrowing: Callable[[str], Filter] = lambda name: EVERYTHING,
        driver: str = "rabbit",
        owner: str = "host/1/100",
        largest_group: int = 100,
    ) -> None:
        self.engine = engine
        self.plugins = list(plugins)
        self.transport = MemoryTransport()
        self.slot = Slot()
        self.register([each.name for each in plugins])
        self.view = RegistryView(engine, self.plugins, "main", refresh, narrowing)
        conf = configuration()
        conf.set_override("driver", driver, "notifications")
        caller = Caller(engine, conf, self.slot)
        self.dispatcher = Dispatcher(engine, caller, self.view, 2**20, patience, largest_group)
        self.runner = BacklogRunner(engine, caller, self.view, owner)
        performers = [each.as_performer for each in plugins if each.performs]
        effects_view = RegistryView(engine, performers, "effects", refresh)
        self.stopping = False
        self.performer = EffectRunner(
            engine, caller, effects_view, "host/1/200", lambda: self.stopping
        )

    def register(self, on: list[str], off: list[str] | None = None) -> None:
        with short_transaction(self.engine) as connection:
            ordered = [each.name for each in self.plugins if each.ordered]
            registry.sync(connection, on, off or [], ordered=ordered)

    def dispatch(
        self,
        event: Event | bytes,
        *,
        redelivered: bool = False,
        anonymous: bool = False,
        content_type: str | None = None,
    ) -> Delivery:
        """Have it delivered; returns the delivery when it was acked."""
        delivery = self.delivery(
            event, redelivered=redelivered, anonymous=anonymous, content_type=content_type
        )
        self.dispatcher.dispatch(delivery)
        assert delivery.is_settled
        return delivery

    def dispatch_together(self, *events: Event | bytes) -> list[Delivery]:
        """Have these delivered at once, for the first time; returns the deliveries when they were
        acked."""
        deliveries = [self.delivery(event) for event in events]
        self.dispatcher.dispatch(*deliveries)
        assert all(each.is_settled for each in deliveries)
        return deliveries

    def delivery(
        self,
        event: Event | bytes,
        *,
        redelivered: bool = False,
        anonymous: bool = False,
        content_type: str | None = None,
    ) -> Delivery:
        """One delivery of an event, or of bytes that are to be read as one."""
        if isinstance(event, bytes):
            body, event_id, time, traceparent, tracestate = event, None, None, None, None
            seq = None
        else:
            message = Message.of(event)
            body, event_id, time = message.body, message.id, message.time
            traceparent, tracestate = message.traceparent, message.tracestate
            seq = message.seq
        return Delivery(
            body,
            None if anonymous else event_id,
            redelivered,
            self.transport.subscribe(1),
            1,
            time,
            properties={"routing_key": "story", "content_type": content_type},
            traceparent=traceparent,
            tracestate=tracestate,
            content_type=content_type,
            seq=seq,
        )


@contextmanager
def time_limits() -> Iterator[None]:
    """SIGALRM is the time limit's for a while, then again whose it was."""
    before = signal.getsignal(signal.SIGALRM)
    timelimit.install()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
