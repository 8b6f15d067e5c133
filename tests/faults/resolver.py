"""A file of host names, for the processes of one daemon.

The machine's own resolver is left alone: the interpreter of the daemon looks into this file before
it asks, and so a test can change what a name means while the daemon runs.
"""

from __future__ import annotations

from pathlib import Path

#: Imported by every Python that finds it on its path (see the documentation of `site`).
_CUSTOMIZE = """
import os, socket

_ask = socket.getaddrinfo

def getaddrinfo(host, *arguments, **options):
    with open(os.environ["TEST_HOSTS"]) as file:
        known = dict(line.split() for line in file)
    if host in known or str(host).endswith(".test"):
        with open(os.environ["TEST_HOSTS"] + ".asked", "a") as file:
            file.write(f"{host} {known.get(host)}\\n")
    if str(host).endswith(".test") and host not in known:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _ask(known.get(host, host), *arguments, **options)

socket.getaddrinfo = getaddrinfo
"""


class Resolver:
    """Names under ``.test``, which no other resolver knows.

    :ivar env: the environment of a daemon that asks it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._file = folder / "hosts"
        (folder / "sitecustomize.py").write_text(_CUSTOMIZE)
        self.env = {"PYTHONPATH": str(folder), "TEST_HOSTS": str(self._file)}
        self.set({})

    def set(self, addresses: dict[str, str]) -> None:
        """What the names mean from now on; another name cannot be resolved."""
        made = self._file.with_suffix(".new")
        made.write_text("".join(f"{name} {address}\n" for name, address in addresses.items()))
        made.rename(self._file)

    def asked(self, name: str, address: str | None) -> int:
        """How often a name was asked for and this was the answer."""
        file = self._file.with_name("hosts.asked")
        lines = file.read_text().splitlines() if file.exists() else []
        return lines.count(f"{name} {address}")
