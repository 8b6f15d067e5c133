"""Configuration files for the daemon."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.servers import Vhost

Groups = dict[str, dict[str, object]]
PROBES = ("alpha", "beta", "gamma", "careful", "choosy", "leaky", "ledger", "mailer", "slow")
PROBES += ("inorder", "unsure", "unimportable", "never", "adder", "batcher", "writer")


def rabbit(vhost: Vhost) -> dict[str, object]:
    """[notifications] for a virtual host."""
    return {
        "driver": "rabbit",
        "rabbit_host": vhost.host,
        "rabbit_port": vhost.port,
        "rabbit_userid": vhost.user,
        "rabbit_password": vhost.password,
        "rabbit_virtual_host": vhost.vhost,
        "rabbit_retry_delay": 1,
    }


def sql() -> dict[str, object]:
    """[notifications] for the embedded queue."""
    return {"driver": "sql"}


def groups_for(url: str, notifications: Mapping[str, object], folder: Path) -> Groups:
    """Two plugins, alpha and beta, and pauses short enough for a test."""
    probes = {
        f"plugin:{name}": {"folder": folder, "backoff": 0.05, "max_attempts": 3} for name in PROBES
    }
    return {
        "DEFAULT": {"enable_notifications": True, "debug": True},
        "database": {"connection": url},
        "notifications": dict(notifications),
        "plugins": {"only": "alpha, beta", "registry_refresh": 0.1},
        **probes,
    }


def merged(groups: Groups, changes: Mapping[str, Mapping[str, object]]) -> Groups:
    both = {**groups}
    for group, options in changes.items():
        both[group] = {**groups.get(group, {}), **options}
    return both


def text_of(groups: Groups) -> str:
    lines: list[str] = []
    for group, options in groups.items():
        lines.append(f"[{group}]")
        lines += [f"{name} = {value}" for name, value in options.items()]
    return "\n".join(lines) + "\n"
