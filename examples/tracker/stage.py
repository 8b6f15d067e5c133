"""Starting and ending the demonstration's processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: The examples are no distribution; the commands find the tracker's classes in the source tree.
_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


class DemoFailed(Exception):
    """Something did not come about; the message says what."""


def command(name: str) -> str:
    """A console script of the environment that this runs in.

    :raises DemoFailed: when it is not there.
    """
    if not has_command(name):
        raise DemoFailed(f"{name} is not installed beside {sys.executable}; run: make venv")
    return _path(name)


def has_command(name: str) -> bool:
    """Whether that script is installed."""
    return Path(_path(name)).exists()


def _path(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def run(arguments: Sequence[str], log: Path) -> None:
    """Run a command to its end.

    :raises DemoFailed: with the command's last words.
    """
    with log.open("ab") as output:
        try:
            code = subprocess.run(
                arguments, stdout=output, stderr=output, cwd=ROOT, env=_ENVIRONMENT, timeout=30
            ).returncode
        except subprocess.TimeoutExpired:
            raise DemoFailed(f"{' '.join(arguments)} does not end:\n{tail(log)}") from None
    if code:
        raise DemoFailed(f"{' '.join(arguments)} ended with {code}:\n{tail(log)}")


def tail(log: Path, lines: int = 20) -> str:
    """The end of a log, for whoever has to find out."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def running(arguments: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command that runs while the block does; it is told to end, and waited for."""
    with log.open("ab") as output:
        # A session of its own: Ctrl-C in the terminal is for us, and we end it in good order.
        process = subprocess.Popen(
            arguments,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=_ENVIRONMENT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A loopback port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Client:
    """The tracker's API, spoken to as a user.

    :param port: where the tracker listens on loopback.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    def wait(self, process: subprocess.Popen[bytes], log: Path, seconds: float = 20.0) -> None:
        """Wait until the tracker answers.

        :raises DemoFailed: when it does not, with its last words.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError):
                self.ask("GET", "/v1/users")
                return
            time.sleep(0.05)
        raise DemoFailed(f"the tracker does not answer:\n{tail(log)}")

    def ask(self, method: str, path: str, body: Any = None, user: int | None = None) -> Any:
        """One request; returns the decoded answer.

        :raises DemoFailed: when the tracker refuses.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            headers = {"X-User-Id": str(user)} if user else {}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise DemoFailed(f"{method} {path}: {response.status} {text.decode()}")
        return json.loads(text) if text else None
