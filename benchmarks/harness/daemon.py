"""The configuration of eventworker's daemon; what is not in it is as we ship it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.environments import program
from tests.servers import Vhost

_TEXT = """\
[DEFAULT]
enable_notifications = true

[database]
connection = {url}

[plugins]
only = {plugins}

[notifications]
"""


def write(folder: Path, url: str, plugins: Sequence[str], vhost: Vhost | None) -> Path:
    """The configuration file; without a virtual host the outbox is the queue."""
    options = {"driver": "sql"}
    if vhost is not None:
        options = {
            "rabbit_host": vhost.host,
            "rabbit_port": str(vhost.port),
            "rabbit_userid": vhost.user,
            "rabbit_password": vhost.password,
            "rabbit_virtual_host": vhost.vhost,
        }
    lines = "".join(f"{name} = {value}\n" for name, value in options.items())
    file = folder / "eventworker.conf"
    file.write_text(_TEXT.format(url=url, plugins=", ".join(plugins)) + lines)
    return file


def make_tables(folder: Path, url: str) -> None:
    """Eventworker's tables, by its own command."""
    file = write(folder, url, ["add"], None)
    command = [program("eventworker", "eventworker"), "--config-file", file, "db", "upgrade"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"eventworker db upgrade: {done.stdout}{done.stderr}")
