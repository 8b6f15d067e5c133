"""One process for one run of a hook: started ahead of it, locked, and used once."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from eventworker.pubsub.hooks import bubblewrap, seccomp
from eventworker.pubsub.hooks.bubblewrap import Missing
from eventworker.pubsub.hooks.exits import exit_code, in_words
from eventworker.pubsub.hooks.limits import (
    FLOOD,
    MAX_LINE,
    MAX_OUTPUT,
    START,
    Isolation,
    Limits,
)
from eventworker.pubsub.hooks.surroundings import (
    DEVICES,
    SCRATCH,
    Surroundings,
    code_inside,
)

_numbers = itertools.count(os.getpid() * 64)
_CHUNK = 64 * 1024
#: Seconds between two looks whether a process that says no more has ended.
_LOOK = 0.005


class SandboxEnded(Exception):
    """The process has ended, or has been ended.

    :ivar reason: in words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Box:
    """How sandboxes are made.

    :ivar program: bubblewrap; None for a mere process.
    """

    isolation: Isolation
    surroundings: Surroundings
    limits: Limits
    program: str | None = None

    @classmethod
    def of(cls, isolation: Isolation, surroundings: Surroundings, limits: Limits) -> Box:
        """One that can be made here.

        :raises Missing: when something that it needs is not there.
        """
        if isolation is Isolation.PROCESS:
            return cls(isolation, surroundings, limits)
        if not seccomp.is_known(seccomp.machine()):
            raise Missing(f"there is no seccomp filter for {seccomp.machine()}")
        return cls(isolation, surroundings, limits, bubblewrap.program())

    def command(self) -> list[str]:
        """The command line of a sandbox."""
        if self.program is None:
            return self.surroundings.command(boxed=False)
        root = bubblewrap.is_root()
        return bubblewrap.arguments(self.program, self.surroundings, self.limits, is_root=root)

    def locks(self) -> dict[str, Any]:
        """What the process puts on itself before it sees a hook."""
        if self.program is None:
            return {"limits": self.limits.by_name(counts_threads=False), "no_new_privs": True}
        readable = [*self.surroundings.readable(), code_inside()]
        return {
            "names": {"folder": SCRATCH, "most": self.limits.names},
            "uid": bubblewrap.user_id(next(_numbers)) if bubblewrap.is_root() else None,
            "no_capabilities": True,
            "limits": self.limits.by_name(counts_threads=True),
            "no_new_privs": True,
            "paths": {"read": readable, "write": [SCRATCH], "devices": list(DEVICES)},
            "filter": seccomp.encoded(seccomp.machine()),
        }


class Sandbox:
    """A process that waits for its one job.

    Belongs to the thread that started it: the kernel ends it with that thread.
    """

    def __init__(self, box: Box) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - of paths that the operator has chosen
            box.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            close_fds=True,
            start_new_session=True,
            env={},
            cwd="/",
        )
        self.output = bytearray()
        self.truncated = False
        self._printed = 0
        self._received = bytearray()
        self._lines: list[bytes] = []
        self._is_ready = False
        self._selector = selectors.DefaultSelector()
        for stream, name in ((self._process.stdout, "lines"), (self._process.stderr, "output")):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream, selectors.EVENT_READ, name)
        assert self._process.stdin is not None
        self._stdin = self._process.stdin.fileno()
        os.set_blocking(self._stdin, False)
        self.deadline = time.monotonic() + START
        # If it has ended already, whoever waits for it is told.
        with contextlib.suppress(SandboxEnded):
            self.send({"locks": box.locks(), "path": list(box.surroundings.path)})

    @property
    def pid(self) -> int:
        """Of the outermost process."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Wait until all locks are on.

        :raises Missing: when one of them is not to be had here, or the sandbox itself is not.
        """
        if self._is_ready:
            return
        self.deadline = time.monotonic() + START
        try:
            answer = self.receive()
        except SandboxEnded as ended:
            said = self.printed().strip().splitlines()
            raise Missing(f"no sandbox can be made: {said[-1] if said else ended.reason}") from None
        if "ready" not in answer:
            raise Missing(f"no sandbox can be made: {answer.get('refused')}")
        self.output.clear()
        self._is_ready = True

    @property
    def is_alive(self) -> bool:
        """Whether it still waits for its job, as far as can be seen."""
        return exit_code(self.pid) is None

    def begin(self, job: dict[str, Any], timeout: float) -> None:
        """Hand over the job; from now on its time runs.

        :param timeout: in seconds.
        :raises SandboxEnded: see :meth:`receive`.
        """
        self.deadline = time.monotonic() + timeout
        self._printed = 0
        self.send(job)

    def send(self, value: dict[str, Any]) -> None:
        """Send one line.

        Meanwhile nothing is read but what is printed: whoever talks on instead of listening waits.

        :raises SandboxEnded: when nobody takes it in time, or at all.
        """
        data = memoryview(json.dumps(value).encode() + b"\n")
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdin, selectors.EVENT_WRITE, "input")
            for key in self._selector.get_map().values():
                if key.data == "output":
                    selector.register(key.fileobj, key.events, key.data)
            while data:
                for name in self._ready(selector):
                    if name == "input":
                        data = data[self._write(data) :]
                    elif not self._read_output():
                        selector.unregister(self._process.stderr)  # type: ignore[arg-type]

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._stdin, data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            raise SandboxEnded(self._how_it_ended()) from None

    def receive(self) -> dict[str, Any]:
        """The next line.

        :raises SandboxEnded: when there is none in time, or no more.
        """
        while not self._lines:
            for name in self._ready(self._selector):
                if name == "lines":
                    self._read_lines()
                elif not self._read_output():
                    self._selector.unregister(self._process.stderr)  # type: ignore[arg-type]
        try:
            value = json.loads(self._lines.pop(0))
        except (ValueError, RecursionError):
            raise SandboxEnded("it said what is no message") from None
        if not isinstance(value, dict):
            raise SandboxEnded("it said what is no message")
        return value

    def _ready(self, selector: selectors.BaseSelector) -> list[str]:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise SandboxEnded("it took too long")
        return [key.data for key, _ in selector.select(left)]

    def _read_lines(self) -> None:
        assert self._process.stdout is not None
        data = self._read_now(self._process.stdout.fileno())
        if data is None:
            return
        if not data:
            raise SandboxEnded(self._how_it_ended())
        self._received += data
        if b"\n" in data:
            *lines, rest = bytes(self._received).split(b"\n")
            self._lines += lines
            self._received = bytearray(rest)
        if len(self._received) > MAX_LINE:
            raise SandboxEnded("it said more at a time than is listened to")

    def _read_output(self) -> bool:
        """Whether there may be more of it."""
        assert self._process.stderr is not None
        data = self._read_now(self._process.stderr.fileno())
        if data:
            self._note_output(data)
        return data != b""

    @staticmethod
    def _read_now(descriptor: int) -> bytes | None:
        """What is there; nothing at the end; None when there is nothing yet."""
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return None

    def _note_output(self, data: bytes) -> None:
        self._printed += len(data)
        room = MAX_OUTPUT - len(self.output)
        self.output += data[:room]
        self.truncated = self._printed > MAX_OUTPUT
        if self._printed > FLOOD:
            raise SandboxEnded(f"it printed more than {FLOOD // 2**20} MiB")

    def _how_it_ended(self) -> str:
        """The process has closed its side; what its end looks like from outside."""
        until = max(self.deadline, time.monotonic() + 0.1)
        while (code := exit_code(self.pid)) is None:
            if time.monotonic() >= until:
                return "it took too long"
            time.sleep(_LOOK)
        return in_words(code)

    def printed(self) -> str:
        """What the hook has printed so far, as far as it is kept."""
        stderr = self._process.stderr
        assert stderr is not None
        with contextlib.suppress(SandboxEnded):
            while not self.truncated and (data := self._read_now(stderr.fileno())):
                self._note_output(data)
        text = self.output.decode(errors="replace")
        return f"{text}\n[there was more]" if self.truncated else text

    def close(self) -> None:
        """End it, with whatever it has started, and wait for that."""
        with contextlib.suppress(ProcessLookupError):
            # Inside of its namespace all die with it; without one, all that are of its session.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
