"""One server process: started as an unprivileged user, ended by pid with all it has started."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

from tests.servers.waiting import wait_until

UNPRIVILEGED = "nobody"
GONE_AFTER = 30.0


class ServerError(RuntimeError):
    """A server that did not do what it was told; the message ends with the tail of its log."""


class Identity(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def identity() -> Identity:
    """Who runs the servers: both refuse root or should not have it, so root steps down."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(UNPRIVILEGED)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def give_away(path: Path) -> None:
    """Make a file or folder the property of the user that runs the servers."""
    if who := identity():
        os.chown(path, who["user"], who["group"])


class ServerProcess:
    """A child in a session of its own, with its output in a file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        home: Path,
        env: Mapping[str, str],
        log: Path,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.log = log
        self._stop_signal = stop_signal
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [*_ended_with_us(stop_signal), *command],
                cwd=home,
                env={"HOME": str(home), "LC_ALL": "C", "TZ": "UTC", **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **identity(),
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def alive(self) -> bool:
        return self._popen.poll() is None

    def stop(self, with_signal: signal.Signals | None = None, timeout: float = GONE_AFTER) -> None:
        """Ask it to end; one that does not in time is killed, and that is an error."""
        family = [self.pid, *descendants(self.pid)]
        if self.alive():
            self._popen.send_signal(with_signal or self._stop_signal)
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise self.failed(f"did not end within {timeout:g} s of being asked to") from None
        _end(family)

    def kill(self) -> None:
        """SIGKILL to it and all below it, and wait until none of them is left."""
        family = [self.pid, *descendants(self.pid)]
        self._popen.kill()
        self._popen.wait()
        _end(family)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers, as behind a broken network."""
        self._send_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._send_all(signal.SIGCONT)

    def _send_all(self, number: signal.Signals) -> None:
        for pid in [self.pid, *descendants(self.pid)]:
            # A server's children come and go, also between the look and the signal.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def failed(self, what: str, *more_logs: Path) -> ServerError:
        tails = [tail(log) for log in (self.log, *more_logs)]
        return ServerError("\n".join([f"{self._popen.args!r}", what, *filter(None, tails)]))


def run_once(command: Sequence[str], folder: Path, env: Mapping[str, str], text: str = "") -> str:
    """Run a server's program to its end, as the user that the servers run as."""
    done = subprocess.run(
        command,
        input=text,
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        **identity(),
    )
    if done.returncode != 0:
        raise ServerError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def tail(log: Path, lines: int = 80) -> str:
    """The end of a log; empty when there is none."""
    if not log.exists():
        return ""
    last = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join([f"--- the end of {log.name}:", *last])


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie: who reaps an orphan is not our concern."""
    return _state_and_parent(pid)[0] not in ("", "Z", "X")


def is_child(pid: int, parent: int) -> bool:
    """Whether it is running, as a child of that process."""
    state, its_parent = _state_and_parent(pid)
    return state not in ("", "Z", "X") and its_parent == parent


def birth(pid: int) -> str:
    """When the process began, in clock ticks since the boot; empty if there is none.

    A number is given to another process when all others have had their turn, which on a busy
    machine takes some minutes. The two together mean one process for ever.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def descendants(pid: int) -> list[int]:
    """Everything below a process: servers put their children into sessions of their own."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        child = int(entry.name)
        children.setdefault(_state_and_parent(child)[1], []).append(child)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", 0
    state, parent = stat.rpartition(")")[2].split()[:2]
    return state, int(parent)


def _end(pids: Iterable[int]) -> None:
    """What outlives its parent is killed, and awaited: it may still hold a port or a file."""
    left = [pid for pid in pids if is_running(pid)]
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: not any(is_running(pid) for pid in left), GONE_AFTER, f"processes {left} stay"
    )


def _ended_with_us(stop_signal: signal.Signals) -> list[str]:
    """Where Linux's setpriv is, a killed test run does not leave its servers behind."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", stop_signal.name.removeprefix("SIG")] if setpriv else []
