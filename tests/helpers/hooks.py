"""Hooks as tests call them: one in a sandbox, or those of a service with its runner."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from eventworker.db import short_transaction
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.hooks.bubblewrap import Missing
from eventworker.pubsub.hooks.limits import Isolation, Limits
from eventworker.pubsub.hooks.options import HookSettings
from eventworker.pubsub.hooks.pool import Pool
from eventworker.pubsub.hooks.registry import NewHook, Registry
from eventworker.pubsub.hooks.runner import HookRunner
from eventworker.pubsub.hooks.sandbox import Box, Sandbox, SandboxEnded
from eventworker.pubsub.hooks.surroundings import Surroundings
from eventworker.pubsub.hooks.table import hook_table, run_table
from eventworker.pubsub.options import Settings
from tests.helpers.pubsub import Desk, item
from tests.servers.programs import programs_of

LIMITS = Limits(timeout=10, memory=256 * 2**20, storage=4 * 2**20, threads=16)
ITEM = {
    "event": "items",
    "id": "1",
    "node": "news",
    "payload": "<a xmlns='urn:a'/>",
    "publisher": "ann@example.org",
    "key": "key",
}


#: Code of a hook that tells of its effective, permitted and inheritable capabilities, in
#: two halves, of the ambient ones, and whether it may mount.
CAPABILITIES = """
import ctypes, struct
libc = ctypes.CDLL(None, use_errno=True)
found = ctypes.create_string_buffer(24)
print(libc.capget(struct.pack("=Ii", 0x20080522, 0), found), found.raw == bytes(24))
print([n for n in range(41) if libc.prctl(47, 1, n, 0, 0) != 0])
print(libc.mount(b"tmpfs", b"/tmp", None, 32, b"nr_inodes=0") == 0)
"""


@cache
def _missing() -> str | None:
    # Where `make servers` has unpacked it, it is on nobody's PATH.
    with contextlib.suppress(FileNotFoundError, KeyError):
        folder = Path(programs_of("bubblewrap")["bwrap"]).parent
        os.environ["PATH"] = f"{os.environ['PATH']}{os.pathsep}{folder}"
    try:
        with Pool(Box.of(Isolation.FULL, Surroundings.own([]), LIMITS), 0).take():
            return None
    except (Missing, OSError) as error:
        return str(error)


def need_full_isolation() -> None:
    """Skip the test where the machine does not allow it, as in many containers."""
    if (reason := _missing()) is not None:
        pytest.skip(f"this machine cannot keep hooks apart: {reason}")


@dataclass(frozen=True)
class Without(Box):
    """A sandbox that lacks one of its locks, to see that the others hold by themselves."""

    lock: str = ""

    def locks(self) -> dict[str, Any]:
        return {**super().locks(), self.lock: None}


def isolation_here() -> Isolation:
    """The best that can be had: what a hook is given does not depend on it."""
    return Isolation.FULL if _missing() is None else Isolation.PROCESS


@dataclass(frozen=True)
class Ended:
    """How a call in a sandbox ended: what its own code said of that, or what was seen of it."""

    how: str
    error: str
    output: str


def call(
    code: str,
    box: Box,
    *,
    timeout: float = 30,
    seen: Callable[[Sandbox], None] = lambda sandbox: None,
) -> Ended:
    """Run code of the type python_code in a sandbox of its own.

    :param seen: is shown the sandbox while the hook runs.
    """
    job = {
        "type": "python_code",
        "arg": code,
        "source": None,
        "owner": "owner@example.org",
        "config": {},
        "item": ITEM,
    }
    with Pool(box, 0).take() as sandbox:
        try:
            sandbox.begin(job, timeout)
            seen(sandbox)
            while "ended" not in (said := sandbox.receive()):
                sandbox.send({"value": None})
        except SandboxEnded as ended:
            return Ended("ended", ended.reason, sandbox.printed())
        return Ended(said["ended"], said.get("error", ""), sandbox.printed())


class Hooks:
    """A service with hooks, on one database.

    :ivar directory: where files of hooks may lie.
    """

    def __init__(self, engine: Engine, directory: Path, **options: Any) -> None:
        self.engine = engine
        self.directory = directory
        self.settings = Settings(hooks=True)
        self.desk = Desk(engine, self.settings)
        self.options = HookSettings(
            enabled=True,
            admins=frozenset({"ann@example.org"}),
            directories=(str(directory.resolve()),),
            isolation=isolation_here(),
            limits=LIMITS,
            warm=0,
            max_attempts=2,
            retry_delay=0,
            **options,
        )
        self.config: dict[str, Any] = {"DEFAULT": {"debug": False}}
        self._pools: list[Pool] = []

    def close(self) -> None:
        """End the sandboxes that still wait."""
        for pool in self._pools:
            pool.close()

    def with_options(self, **options: Any) -> None:
        self.options = replace(self.options, **options)

    @contextmanager
    def registry(self) -> Iterator[Registry]:
        with short_transaction(self.engine) as connection:
            yield Registry(connection, self.settings)

    def give(self, node: str, type: str, arg: str, actor: Actor | None = None, **more: Any) -> int:
        more.setdefault("persistent", "lease" not in more)
        new = NewHook(node, type, arg, **more)
        with self.registry() as registry:
            return registry.give(actor or self.settings.itself, new, self.options)

    def publish(self, *ids: str, node: str = "news") -> None:
        """Publish items, as the service itself."""
        self.desk.publish(node, self.settings.itself, [item(each) for each in ids])

    def take(self, node: str, actor: Actor | None = None, **more: Any) -> int:
        with self.registry() as registry:
            return registry.take(actor or self.settings.itself, node, self.options, **more)

    def list(self, actor: Actor | None = None) -> list[Any]:
        with self.registry() as registry:
            return registry.list(actor or self.settings.itself, self.options)

    def runner(self, owner: str = "host/1/1") -> HookRunner:
        surroundings = Surroundings.own(self.options.directories)
        box = Box.of(self.options.isolation, surroundings, self.options.limits)
        pool = Pool(box, self.options.warm)
        self._pools.append(pool)
        return HookRunner(self.engine, self.settings, self.options, self.config, pool, owner)

    def run_all(self) -> int:
        """Run what is due, and what that makes due; returns the number of runs."""
        runner, count = self.runner(), 0
        while runner.run_one():
            count += 1
            assert count < 100
        return count

    def rows(self) -> list[Any]:
        """The runs, in their order."""
        with self.engine.connect() as connection:
            return list(connection.execute(select(run_table).order_by(run_table.c.id)))

    def hook(self, number: int) -> Any:
        """The row of a hook."""
        with self.engine.connect() as connection:
            return connection.execute(
                select(hook_table).where(hook_table.c.id == number)
            ).one_or_none()

    def outputs(self) -> list[str]:
        """What the runs have printed."""
        return [row.output for row in self.rows()]
