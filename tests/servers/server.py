"""What all private servers have in common: a folder, a process, a start, an end."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.home import Home
from tests.servers.ports import HOST
from tests.servers.process import ServerError, ServerProcess, run_once
from tests.servers.programs import programs_of


class Server(abc.ABC):
    """A server with a folder of its own, on the same ports for its whole life."""

    #: What it is called in messages.
    title: str
    host = HOST

    def __init__(self, kind: str) -> None:
        self._programs = programs_of(kind)
        self._home = Home(kind)
        self._process: ServerProcess | None = None
        self._names = itertools.count(1)
        try:
            self._prepare()
        except BaseException:
            self._home.remove()
            raise

    @abc.abstractmethod
    def _prepare(self) -> None:
        """Make in the folder what the server needs for its first start."""

    @abc.abstractmethod
    def _launch(self) -> ServerProcess:
        """Start the process; returns at once."""

    @abc.abstractmethod
    def _wait_until_ready(self) -> None:
        """Return when it serves.

        :raises AssertionError: when that takes too long.
        :raises ServerError: when it has ended.
        """

    @property
    def home(self) -> Path:
        """The folder with all that it writes."""
        return self._home.path

    @property
    def process(self) -> ServerProcess:
        if self._process is None:
            raise ServerError(f"this {self.title} server is not running")
        return self._process

    def runs(self) -> bool:
        """Whether it was started, and neither stopped nor ended by itself."""
        return self._process is not None and self._process.alive()

    def start(self) -> None:
        self._process = self._launch()
        try:
            self._wait_until_ready()
        except BaseException as problem:
            failure = self._process.failed(f"did not start: {problem}", *self._more_logs())
            self._discard_process()
            raise failure from problem

    def stop(self) -> None:
        """An orderly shutdown: sessions are cut."""
        self.process.stop()
        self._process = None

    def kill(self) -> None:
        """kill -9, of the children too."""
        self.process.kill()
        self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop answering without closing anything; only a client's time limit finds out."""
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def close(self) -> None:
        """End it, whatever its state, and remove all it had."""
        self._discard_process()
        self._home.remove()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _more_logs(self) -> tuple[Path, ...]:
        """Logs beside the output of the process."""
        return ()

    def _must_run(self) -> None:
        if not self.process.alive():
            raise ServerError(f"{self.title} ended")

    def _run(self, command: list[str], env: Mapping[str, str] | None = None, text: str = "") -> str:
        """Run one of its programs to the end, with ``text`` as its input; returns its output."""
        plain = {"HOME": str(self.home), "LC_ALL": "C", "TZ": "UTC", **self._programs.env}
        return run_once(command, self.home, plain if env is None else env, text)

    def _discard_process(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None
