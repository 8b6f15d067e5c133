"""The processes of one contender: their start, what they cost, and their end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers import wait_until
from tests.servers.process import birth, descendants, is_running, tail

STOP_SECONDS = 15.0
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """Of all processes together, seconds of the processors; of the largest, its peak of memory."""

    cpu_seconds: float
    rss_mb: float


class Workers:
    """Processes that were started together, with all below them; their output goes to `log`."""

    def __init__(
        self, commands: Sequence[Sequence[str]], folder: Path, env: Mapping[str, str], log: Path
    ) -> None:
        self._log = log
        self._popens: list[subprocess.Popen[bytes]] = []
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        with log.open("ab") as output:
            for command in commands:
                self._popens.append(
                    subprocess.Popen(
                        [*_ended_with_us(), *command],
                        cwd=folder,
                        env={**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", **env},
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )
                )

    def require(self) -> None:
        """All of them have to run.

        :raises RuntimeError: when one has ended.
        """
        for each in self._popens:
            if each.poll() is not None:
                raise RuntimeError(f"a worker ended with {each.returncode}")

    def last_words(self) -> str:
        """The end of what they have written."""
        return tail(self._log, 15)

    def family(self) -> list[int]:
        """The pids of all of them."""
        roots = [each.pid for each in self._popens]
        return roots + [pid for root in roots for pid in descendants(root)]

    def usage(self) -> Usage:
        """What they have used until now; of children that have ended what their parents know."""
        pids = self.family()
        return Usage(sum(map(_cpu_seconds, pids)), max(_memory_mb(pid, "VmHWM") for pid in pids))

    def rss_mb(self) -> float:
        """The memory of the largest of them now."""
        return max(_memory_mb(pid, "VmRSS") for pid in self.family())

    def stop(self) -> None:
        """SIGTERM to those that were started; what is left a while later is killed."""
        born = {pid: birth(pid) for pid in self.family()}
        for each in self._popens:
            if each.poll() is None:
                each.terminate()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: all(each.poll() is not None for each in self._popens), STOP_SECONDS)
        left = [pid for pid, at in born.items() if is_running(pid) and birth(pid) == at]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for each in self._popens:
            each.wait()
        wait_until(lambda: not any(map(is_running, left)), 10, "killed workers stay")


def _cpu_seconds(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICK
    return 0.0


def _memory_mb(pid: int, name: str) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _ended_with_us() -> list[str]:
    """Where Linux's setpriv is, a killed benchmark does not leave its workers behind."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []
