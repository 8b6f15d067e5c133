"""The daemon as a process, seen from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.acceptance.installation import clean_environment
from tests.servers import wait_until
from tests.servers.process import birth, descendants, is_child, is_running, tail

STOP_SECONDS = 30.0
_CHILD = re.compile(r"(consumer|lane|effects|service) (\S+.*) is process (\d+)$", re.MULTILINE)


class Daemon:
    """A running `storyboard-worker-daemon`; its output goes to `log`."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        self.ended = False
        #: Processes below it, with their times of birth: their numbers may be strangers' by now.
        self._seen: dict[int, str] = {}
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                list(command),
                cwd=log.parent,
                env={**clean_environment(), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def says(self, text: str, times: int = 1, timeout: float = 30) -> None:
        """Wait until the log has a text so many times."""
        wait_until(
            lambda: self.output().count(text) >= times or self._ended_early(text),
            timeout,
            f"the log does not say {times} times: {text}",
        )

    def _ended_early(self, text: str) -> bool:
        if self._popen.poll() is not None and text not in self.output():
            raise AssertionError(f"the daemon ended with {self._popen.returncode}")
        return False

    def children(self, title: str) -> list[int]:
        """Pids of the running children whose title begins so: consumer, lane, effects, service."""
        found = [int(pid) for kind, _, pid in _CHILD.findall(self.output()) if kind == title]
        return [pid for pid in dict.fromkeys(found) if is_child(pid, self.pid)]

    def family(self) -> list[int]:
        """Every process below the daemon, remembered for the time after its end."""
        if self._popen.poll() is not None:
            return []
        found = descendants(self.pid)
        self._seen.update((pid, birth(pid)) for pid in found)
        return found

    def signal(self, number: signal.Signals) -> None:
        self.family()
        self._popen.send_signal(number)

    def wait(self, timeout: float = STOP_SECONDS) -> int:
        """Wait for its end; the exit code."""
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon did not end within {timeout:g} s") from None
        wait_until(lambda: not self.survivors(), 10, lambda: f"it left {self.survivors()} behind")
        self._seen.clear()  # the numbers may be given to strangers now
        self.ended = True
        return code

    def survivors(self) -> list[int]:
        return [pid for pid, born in self._seen.items() if is_running(pid) and birth(pid) == born]

    def stop(self) -> None:
        """The orderly end, which has to succeed."""
        self.signal(signal.SIGTERM)
        code = self.wait()
        assert code == 0, f"exit code {code} after SIGTERM"

    def kill(self) -> None:
        """kill -9 of the daemon process alone."""
        self.family()
        self._popen.kill()
        self._popen.wait()
        self.ended = True

    def close(self) -> None:
        """End what a test has left, without asking."""
        self.family()
        if self._popen.poll() is None:
            self._popen.kill()
            self._popen.wait()
        for pid in self.survivors():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.survivors(), 10, "killed processes stay")

    def tail(self) -> str:
        return tail(self.log, 120)
