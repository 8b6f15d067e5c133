"""Options of hooks, group ``[hooks]``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from oslo_config import cfg

from eventworker.errors import ConfigError
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.hooks.limits import Isolation, Limits
from eventworker.pubsub.jid import bare, jid

GROUP = "hooks"
_MIB = 1024 * 1024

OPTIONS: list[cfg.Opt] = [
    cfg.BoolOpt(
        "enabled",
        default=False,
        help="Whether hooks run at all. A hook is code that somebody has given to the service; "
        "without this none is taken, and none that is there is called.",
    ),
    cfg.ListOpt(
        "admins",
        default=[],
        help="Addresses, without resource, of those who may give hooks and take them away. The "
        "service itself may, and so may everybody who can run the command with the service's "
        "configuration.",
    ),
    cfg.ListOpt(
        "directories",
        default=[],
        help="Folders that hooks of the types python and python_file come from. Inside of the "
        "sandbox they can be read, and nothing else of the service's files.",
    ),
    cfg.BoolOpt(
        "pin",
        default=False,
        help="Whether a file that has changed since its hook was created is refused until the hook "
        "is created again. Without it the new one is taken, and that is written into the audit.",
    ),
    cfg.BoolOpt(
        "approval",
        default=False,
        help="Whether a hook that was created, or created again for a file that has changed, waits "
        "until somebody else approves it, by: eventworker pubsub hook approve. Files are pinned "
        "then, and hooks of the type python are refused, since nobody can say what will be in a "
        "module.",
    ),
    cfg.StrOpt(
        "isolation",
        default=Isolation.FULL,
        choices=[
            (Isolation.FULL, "namespaces, Landlock, seccomp and limits, or no hook runs"),
            (Isolation.PROCESS, "limits only: a hook can do whatever the daemon's user can"),
        ],
        help="How a hook is kept apart from everything else.",
    ),
    cfg.FloatOpt("timeout", default=30.0, min=0.1, help="Seconds after which a run is ended."),
    cfg.IntOpt("memory", default=512, min=64, help="MiB of address space of a run."),
    cfg.IntOpt("storage", default=16, min=1, help="MiB of a run's own folder, which is in memory."),
    cfg.IntOpt("workers", default=2, min=1, max=64, help="Hooks that run at the same time."),
    cfg.IntOpt(
        "max_hooks",
        default=100,
        min=0,
        help="Hooks that one account may have; 0 for any number. The service itself has no bound.",
    ),
    cfg.IntOpt(
        "runs_per_minute",
        default=0,
        min=0,
        help="Runs in a minute of the hooks of one account, in each daemon; the others wait. 0 for "
        "any number. The service itself has no bound.",
    ),
    cfg.IntOpt(
        "warm",
        default=1,
        min=0,
        max=16,
        help="Sandboxes that each worker keeps ready ahead of time, some 15 MiB of memory each.",
    ),
    cfg.IntOpt(
        "max_attempts", default=5, min=1, max=100, help="Times that a run that fails is tried."
    ),
    cfg.FloatOpt(
        "retry_delay",
        default=5.0,
        min=0,
        max=3600,
        help="Seconds before the second attempt; each further one waits four times as long, an "
        "hour at the most.",
    ),
    cfg.IntOpt("keep_runs", default=20, min=1, help="Ended runs that are kept of each hook."),
    cfg.IntOpt(
        "give_up_after",
        default=86400,
        min=1,
        help="Seconds after which items are given up that wait for a broken hook.",
    ),
    cfg.IntOpt(
        "max_depth",
        default=4,
        min=0,
        help="Hooks in a row: what a hook publishes may cause another hook to run, and so on.",
    ),
    cfg.IntOpt(
        "max_waiting",
        default=10000,
        min=0,
        help="Runs that may wait for the hooks of a node while hooks publish there; 0 for any "
        "number. Above it hooks are refused, and nobody else is.",
    ),
    cfg.FloatOpt(
        "poll_interval", default=0.5, min=0.05, help="Seconds between two looks for what is due."
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known to ``conf``; calling it again changes nothing."""
    conf.register_opts(OPTIONS, group=GROUP)


def is_on(conf: cfg.ConfigOpts) -> bool:
    """Whether hooks run at all."""
    register(conf)
    return bool(conf[GROUP].enabled)


@dataclass(frozen=True)
class HookSettings:
    """The values of the options that hooks work by."""

    enabled: bool = False
    admins: frozenset[str] = frozenset()
    directories: tuple[str, ...] = ()
    pin: bool = False
    approval: bool = False
    isolation: Isolation = Isolation.FULL
    limits: Limits = field(default_factory=Limits)
    workers: int = 2
    max_hooks: int = 100
    runs_per_minute: int = 0
    warm: int = 1
    max_attempts: int = 5
    retry_delay: float = 5.0
    keep_runs: int = 20
    give_up_after: int = 86400
    max_depth: int = 4
    max_waiting: int = 10000
    poll_interval: float = 0.5

    def may_manage(self, actor: Actor, service: str) -> bool:
        """Whether somebody may give hooks, take them away and see them."""
        return actor.bare in self.admins or actor.jid == service


def hook_settings_of(conf: cfg.ConfigOpts) -> HookSettings:
    """The settings that the configuration asks for.

    :raises ConfigError: when a value cannot be used.
    """
    register(conf)
    values: Any = conf[GROUP]
    try:
        admins = frozenset(bare(jid(each)) for each in values.admins)
    except PubSubError as error:
        raise ConfigError(f"[{GROUP}] admins: {error}") from None
    return HookSettings(
        enabled=values.enabled,
        admins=admins,
        directories=tuple(map(_directory, values.directories)),
        pin=values.pin or values.approval,
        approval=values.approval,
        isolation=Isolation(values.isolation),
        limits=Limits(values.timeout, values.memory * _MIB, values.storage * _MIB),
        workers=values.workers,
        max_hooks=values.max_hooks,
        runs_per_minute=values.runs_per_minute,
        warm=values.warm,
        max_attempts=values.max_attempts,
        retry_delay=values.retry_delay,
        keep_runs=values.keep_runs,
        give_up_after=values.give_up_after,
        max_depth=values.max_depth,
        max_waiting=values.max_waiting,
        poll_interval=values.poll_interval,
    )


def _directory(name: str) -> str:
    if not os.path.isabs(name):
        raise ConfigError(f"[{GROUP}] directories: {name} is not an absolute path")
    resolved = os.path.realpath(name)
    if resolved == "/":
        raise ConfigError(f"[{GROUP}] directories: / would show everything to hooks")
    return resolved
