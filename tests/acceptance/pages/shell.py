"""A terminal: one bash that keeps its folder, its variables and its background processes."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.servers import wait_until
from tests.servers.process import descendants, is_running

_END = "\x1eended:"


class Shell:
    """Runs commands one after the other, as a reader would type them."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._bash.stdin
        assert self._bash.stdout
        self._stdin, self._stdout = self._bash.stdin, self._bash.stdout

    def run(self, command: str, timeout: float = 120) -> tuple[int, str]:
        """Type a command; returns its exit code and all that it printed."""
        # Its own standard input is empty: it must not read what is typed next.
        self._stdin.write(f"{{ {command}\n}} </dev/null\nprintf '{_END}%d\\n' $?\n".encode())
        self._stdin.flush()
        output, _, code = self._read_until(_END, timeout, command).partition(_END)
        return int(code), output

    def start(self, command: str, log: Path) -> int:
        """Start a command in the background; returns its pid."""
        code, pid = self.run(f"{command} >{log} 2>&1 & echo $!")
        assert code == 0, f"{command}: {pid}"
        return int(pid)

    def _read_until(self, mark: str, timeout: float, command: str) -> str:
        deadline, read = time.monotonic() + timeout, b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while mark.encode() not in read or not read.endswith(b"\n"):
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise AssertionError(f"{command}: no end after {timeout:g} s: {_text(read)}")
                chunk = os.read(self._stdout.fileno(), 65536)
                if not chunk:
                    raise AssertionError(f"{command}: the shell ended: {_text(read)}")
                read += chunk
        return _text(read)

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        left = descendants(self._bash.pid)
        self._stdin.close()
        self._bash.terminate()
        self._bash.wait(10)
        self._stdout.close()
        for pid in left:
            if is_running(pid):
                os.kill(pid, 9)
        wait_until(lambda: not any(map(is_running, left)), 10, "a page left processes behind")


def _text(read: bytes) -> str:
    return read.decode(errors="replace")
