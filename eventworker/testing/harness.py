"""One plugin amid the parts of the daemon: the loader, the dispatcher, the backlog, the inbox.

What is left out are the processes and the broker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from oslo_config import cfg
from sqlalchemy import Engine, select, update

from eventworker import config, migrations, outbox
from eventworker.db import PENDING, RETRY, build_engine, clock, short_transaction
from eventworker.engine.attempt import Caller, End
from eventworker.engine.backlog import BacklogRunner
from eventworker.engine.dispatch import Dispatcher
from eventworker.engine.loader import build
from eventworker.engine.registered import RegistryView
from eventworker.engine.slot import Slot
from eventworker.event import Event, decode
from eventworker.inbox import registry
from eventworker.inbox.backlog import delivery_table
from eventworker.inbox.claims import FirstClaim, Outcome, inbox_table
from eventworker.testing.ending import Ending
from eventworker.testing.performing import Performed, perform_all
from eventworker.testing.watched import Died, Moment, Mortal, Watched
from eventworker.transport import Message
from eventworker.transports.memory import MemoryTransport

Values = Mapping[str, object]


class Harness:
    """One plugin, a database, and all that the daemon would put around the two.

    To be used as a context manager, in the main thread (the time limit is a signal).

    :param plugin: its class, or the plugin itself.
    :param name: the plugin's name, by which its group ``[plugin:NAME]`` is called.
    :param url: an empty database with a place for eventworker's tables; None for a SQLite file that
        goes with the harness.
    :param prepare: called with the engine before the plugin is made; for the plugin's own tables.
    :param options: values of the plugin's own group.
    :param groups: values of other groups, by group.
    :raises PluginError: when this is no worker plugin.
    """

    def __init__(
        self,
        plugin: Any,
        name: str,
        *,
        url: str | None = None,
        prepare: Callable[[Engine], None] | None = None,
        options: Values | None = None,
        groups: Mapping[str, Values] | None = None,
    ) -> None:
        self._folder = TemporaryDirectory(prefix="eventworker-") if url is None else None
        if self._folder is not None:
            url = f"sqlite:///{Path(self._folder.name)}/harness.sqlite"
        factory = plugin if callable(plugin) else lambda _conf: plugin
        given = {**(groups or {}), f"plugin:{name}": options or {}}
        given["database"] = {**given.get("database", {}), "connection": url}
        self.conf = _configuration(name, plugin, given)
        self.engine = build_engine(url)
        try:
            migrations.upgrade(self.engine)
            if prepare is not None:
                prepare(self.engine)
            self._loaded = Watched.of(build(self.conf, name, factory))
        except BaseException:
            self.close()
            raise
        self._number: int | None = None
        view = RegistryView(self.engine, [self._loaded], self._loaded.lane, 0.0)
        self._caller = Caller(self.engine, self.conf, Slot())
        self._dispatcher = Dispatcher(
            self.engine,
            self._caller,
            view,
            self.conf.notifications.max_event_bytes,
            patience=float("inf"),
            largest_group=self.conf.notifications.group_size,
        )
        self._backlog = BacklogRunner(self.engine, self._caller, view, "harness")
        self._transport = MemoryTransport()
        self._queue = self._transport.subscribe(prefetch=2000)

    @property
    def plugin(self) -> Any:
        """The plugin itself."""
        return self._loaded.plugin

    @property
    def calls(self) -> int:
        """How many events it was called with, by ``handle()`` or ``handle_batch()``."""
        return len(self._loaded.calls)

    def capture(self, event: Event) -> Event:
        """Give the event its place among those of its resource, as a producer that records in
        order does at its commit; for a plugin that is ``ordered``, before it is delivered.

        :returns: the event with its ``seq``.
        :raises EncodeError: when it cannot be put on the wire.
        :raises ValueError: when it has no ``resource_id``.
        """
        self._register()
        with short_transaction(self.engine) as connection:
            return outbox.record(connection, event, ordered=True)

    def deliver(self, event: Event, *, redelivered: bool = False) -> Ending:
        """Deliver the event once.

        :param redelivered: with the broker's word that it may have been delivered before.
        :raises EncodeError: when the event could not travel: not all of it is JSON.
        """
        self._register()
        self._transport.publish([Message.of(event)])
        delivery = self._queue.receive(0)
        assert delivery is not None
        delivery.redelivered = redelivered
        if self._dispatcher.dispatch(delivery):
            # What waited for it, too: each one makes the next one due.
            while self._backlog.run_due() and self._loaded.ordered:
                pass
        return self.ending(event)

    def deliver_together(self, *events: Event) -> list[Ending]:
        """Deliver several events at once, as to a consumer where they have waited: if the plugin is
        ``transactional`` they share a transaction, and ``handle_batch()`` is called if it has one.

        :raises EncodeError: when one of them could not travel: not all of it is JSON.
        """
        self._register()
        self._transport.publish([Message.of(event) for event in events])
        if self._dispatcher.dispatch(*self._queue.gather(len(events), 0.0)):
            while self._backlog.run_due() and self._loaded.ordered:
                pass
        return [self.ending(event) for event in events]

    def deliver_twice(self, event: Event) -> Ending:
        """Deliver the event, and once more as after an ack that was lost.

        :raises AssertionError: when the event is not done with the first delivery, or the second
            one calls the plugin again.
        """
        first = self.deliver(event)
        calls = self.calls
        if not first.done:
            raise AssertionError(f"the first delivery ended {first.outcome.name}: {first.error}")
        second = self.deliver(event, redelivered=True)
        if not second.done or self.calls != calls:
            raise AssertionError("the second delivery called the plugin again")
        return second

    def retry(self, event: Event) -> Ending:
        """Make the next attempt now, as though its time had come.

        :raises LookupError: when there is none: the event is done, dead, or was never here.
        """
        row = delivery_table.c
        with short_transaction(self.engine) as connection:
            due = connection.execute(
                update(delivery_table)
                .where(
                    row.event_id == event.id,
                    row.plugin == self._register(),
                    row.state.in_((PENDING, RETRY)),
                )
                .values(due_at=clock())
            )
        if not due.rowcount:
            raise LookupError(f"no attempt is due: the event is {self.ending(event).outcome.name}")
        self._backlog.run_due()
        return self.ending(event)

    def crash(self, event: Event, at: Moment = "commit") -> None:
        """Call the plugin in a process that dies during the call: all that it did through its
        session is undone, and nothing is written down. What it did elsewhere stays.

        :param at: the moment of death. ``commit``: ``handle()`` has returned. ``write``: at its
            first INSERT, UPDATE or DELETE; an effect outside that was made by then was made before
            the plugin knew that its own work can be written.
        :raises AssertionError: when the call did not come that far.
        """
        mortal = Mortal.of(self._loaded, at=at)
        message = Message.of(event)
        arrived = decode(message.body, id=message.id, time=message.time, source=message.source)
        claim = FirstClaim(event.id, self._register())
        result = self._caller.call(mortal, claim.plugin, arrived, claim, attempt=1)
        if result.end is End.SEEN:
            raise AssertionError("the event is done already, so the plugin was not called")
        error = result.failure.error if result.failure is not None else ""
        if not error.startswith(Died.__name__):
            raise AssertionError(f"the call did not come as far as its {at}: {error}")

    def perform(self, *, crash: bool = False) -> list[Performed]:
        """Have the plugin perform every effect that waits, once, as though its time had come. Until
        this is called, none is: as after a crash between commit and effect.

        :param crash: in a process that dies when ``perform()`` has returned and nothing of that is
            written down yet. What it did stays, and comes again under the same key.
        """
        self._register()
        return perform_all(self.engine, self._caller, self._loaded, crash=crash)

    def ending(self, event: Event) -> Ending:
        """What became of an event that was delivered."""
        number = self._register()
        inbox, row = inbox_table.c, delivery_table.c
        with self.engine.connect() as connection:
            outcome = connection.scalar(
                select(inbox.outcome).where(inbox.event_id == event.id, inbox.plugin == number)
            )
            waiting = connection.execute(
                select(row.attempts, row.error, row.due_at, clock().label("now")).where(
                    row.event_id == event.id, row.plugin == number
                )
            ).one_or_none()
        if outcome is None:
            return Ending(Outcome.SKIPPED)
        if waiting is None:
            return Ending(Outcome(outcome))
        delay = (waiting.due_at - waiting.now).total_seconds()
        return Ending(
            Outcome(outcome),
            waiting.attempts,
            waiting.error,
            delay if outcome == Outcome.RETRY else None,
        )

    def _register(self) -> int:
        """The plugin's number; asks ``enabled()`` at the first time, as each process does."""
        if self._number is None:
            name = self._loaded.name
            on = bool(self.plugin.enabled())
            with short_transaction(self.engine) as connection:
                registry.sync(connection, [name], [], ordered=[name] * self._loaded.ordered)
                if not on:
                    registry.sync(connection, [], [name])
                self._number = registry.numbers(connection, [name])[name]
        return self._number

    def close(self) -> None:
        """Give the connections back and remove the SQLite file."""
        self.engine.dispose()
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _configuration(name: str, plugin: Any, groups: Mapping[str, Values]) -> cfg.ConfigOpts:
    """A configuration of no file."""
    conf = cfg.ConfigOpts()
    config.register(conf)
    conf([], default_config_files=[], default_config_dirs=[])
    config.plugin_group(conf, name, getattr(plugin, "options", ()))
    for group, values in groups.items():
        for option, value in values.items():
            conf.set_override(option, value, group=None if group == "DEFAULT" else group)
    return conf
