"""What must be true before the daemon starts its children; looked at in a child of its own.

The daemon itself neither connects nor imports a plugin, so that nothing of either can take it down.
"""

from __future__ import annotations

import json
import logging
import os
import select
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Engine

from eventworker import config, migrations, transports
from eventworker.db import configured_engine, longest_value, short_transaction, translated
from eventworker.effects import estate as effects_estate
from eventworker.engine.attempt import pause
from eventworker.engine.child import Child, fork, host_name, is_alive
from eventworker.engine.filters import configured
from eventworker.engine.loader import Discovery, check_databases, discover, services
from eventworker.engine.slot import Slot
from eventworker.errors import (
    ConfigError,
    DatabaseUnavailable,
    EventworkerError,
    PluginError,
    SchemaError,
)
from eventworker.inbox import estate, registry
from eventworker.outbox import queue
from eventworker.plugin import resource_class

log = logging.getLogger(__name__)

_DAY = 86400.0


@dataclass(slots=True)
class Report:
    """What the preflight found.

    :ivar lanes: lane name to number of processes, without the main lane.
    :ivar effect_lanes: the same for the lanes in which effects are performed.
    :ivar services: names of the side services that are wanted.
    :ivar error: why the daemon cannot start, as one line; empty if it can.
    :ivar exit_code: with ``error``: 2 for the configuration's fault, 1 otherwise.
    """

    plugins: list[str] = field(default_factory=list)
    lanes: dict[str, int] = field(default_factory=dict)
    effect_lanes: dict[str, int] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    error: str = ""
    exit_code: int = 0


def preflight(conf: Any) -> Report:
    """Run :func:`look` in a child and return its report.

    Called with the daemon's signals held. SIGTERM or SIGINT ends it: nothing is in hand yet, and a
    plugin that hangs in its import would not hear of a mild request.
    """
    read_end, write_end = os.pipe()

    def run(child: Child) -> None:
        os.close(read_end)
        report = look(conf, child.wait, lambda: child.stopping)
        with os.fdopen(write_end, "w") as pipe:
            pipe.write(json.dumps(asdict(report)) + "\n")

    try:
        pid = fork(run, Slot(), conf)
    except OSError as error:
        return Report(error=f"no process can be started: {error.strerror}", exit_code=1)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        stopped = _stopped_before_answer(pipe, pid)
        # A line, since a process that a plugin left behind may hold the pipe open.
        text = pipe.readline()
    os.waitpid(pid, 0)
    if stopped:
        return Report(error="stopped before anything was started", exit_code=0)
    if not text:
        return Report(error="a plugin ended the process while it was loaded", exit_code=1)
    return Report(**json.loads(text))


def _stopped_before_answer(pipe: Any, pid: int) -> bool:
    while not select.select([pipe], [], [], 0.2)[0]:
        if signal.sigtimedwait([signal.SIGTERM, signal.SIGINT], 0):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def look(conf: Any, wait: Callable[[float], None], stopping: Callable[[], bool]) -> Report:
    """Check configuration and tables, load the plugins, and register them.

    A database that is away is waited for; everything else that is wrong ends in ``Report.error``.
    """
    try:
        while True:
            try:
                return _look(conf, stopping)
            except DatabaseUnavailable as error:
                if stopping():
                    return Report(error="stopped while waiting for the database", exit_code=0)
                log.error("%s; waiting for it", error)
                wait(2.0)
    except (ConfigError, SchemaError, PluginError) as error:
        return Report(error=str(error), exit_code=2 if isinstance(error, ConfigError) else 1)
    except EventworkerError as error:
        return Report(error=str(error), exit_code=1)


def _look(conf: Any, stopping: Callable[[], bool]) -> Report:
    engine = configured_engine(conf.database)
    # Nothing connects yet; keys and certificates that cannot be used are found out.
    transports.build(conf, engine).close()
    try:
        migrations.check(engine)
    except EventworkerError:
        raise
    except Exception as error:
        raise translated(error) from error
    check_sizes(conf, engine)
    for name in conf.plugins.resource_classes:
        resource_class(conf, name)
    found = discover(conf)
    check_databases(found, engine)
    _log(found)
    check_retention(conf, found)
    if stopping():
        # What is written now, a later file may have made untrue already.
        return Report(error="stopped before anything was registered", exit_code=0)
    with short_transaction(engine) as connection:
        names = [each.name for each in found.loaded]
        ordered = [each.name for each in found.loaded if each.ordered]
        registry.sync(connection, names, found.off, found.broken, ordered)
        known = registry.read(connection)
        if not any(each.state == registry.ON for each in known):
            # Raised in here, so that nothing is recorded of a start that does not happen.
            off = "".join(f"; {name}: {reason}" for name, reason in found.off.items())
            raise PluginError(f"no plugin is enabled, so there is nothing to do{off}")
        for each in known:
            if each.state == registry.ON and not found.is_broken(each.name):
                configured(conf, each.name)  # refuses; also for those that only other hosts have
            if each.is_paused:
                log.warning("%s", each.pause)
        _free_leases_of_the_dead(connection)
    return Report(
        plugins=[each.name for each in found.loaded],
        lanes=_sizes(conf, found.lanes),
        effect_lanes=_sizes(conf, found.effect_lanes),
        services=[name for name, service in services().items() if service.wanted(conf)],
    )


def _sizes(conf: Any, lanes: set[str]) -> dict[str, int]:
    return {lane: config.lane_group(conf, lane).worker_count for lane in sorted(lanes)}


def _log(found: Discovery) -> None:
    for each in found.loaded:
        log.info("plugin %s (%s) is on, lane %s", each.name, each.distribution, each.lane)
    for name, reason in found.off.items():
        log.info("plugin %s is off: %s", name, reason)
    for name, reason in found.broken.items():
        log.error("plugin %s cannot be loaded, its events will wait: %s", name, reason)
    for warning in found.warnings:
        log.warning("%s", warning)


def check_sizes(conf: Any, engine: Engine) -> None:
    """The database takes the largest event that the transport lets through.

    :raises ConfigError: when it does not.
    """
    with short_transaction(engine) as connection:
        room = longest_value(connection)
    # Half of it, since a body of numbers such as 1e15 is four times as long when we have written
    # it, though without a character that would have to become two on its way.
    if room is not None and conf.notifications.max_event_bytes > room // 2:
        raise ConfigError(
            f"[notifications] max_event_bytes = {conf.notifications.max_event_bytes} is more than "
            f"the {room // 2} bytes that the database takes; raise the server's max_allowed_packet"
        )


def check_retention(conf: Any, found: Discovery) -> None:
    """The inbox must remember for longer than an event can come back.

    :raises ConfigError: when it would forget too early.
    """
    longest = 0.0
    for each in found.loaded:
        tries = sum(pause(each, attempt) * 1.25 for attempt in range(1, each.max_attempts))
        longest = max(longest, tries + each.max_attempts * each.handler_timeout)
    needed = conf.retention.outbox_days + longest / _DAY
    if conf.retention.inbox_days < needed:
        raise ConfigError(
            f"[retention] inbox_days = {conf.retention.inbox_days:g} is shorter than outbox_days "
            f"plus the longest retry; write at least {needed:.1f}"
        )


def _free_leases_of_the_dead(connection: Any) -> None:
    """Free leases of processes of this host that are gone: a daemon that was killed with all its
    children could not do so itself."""
    host = host_name()
    held = (estate, effects_estate, queue)
    for owner in {owner for each in held for owner in each.owners(connection)}:
        prefix, _, pid = owner.rpartition("/")
        if prefix == host and pid.isdigit() and not is_alive(int(pid)):
            estate.release_owner(connection, owner, uncount=False)
            effects_estate.release_owner(connection, owner, uncount=False)
            queue.release_owner(connection, owner)
