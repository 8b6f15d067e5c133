"""Lines of JSON to and from the process that keeps the sandbox."""

from __future__ import annotations

import json
import os
import threading
from typing import Any


class Pipe:
    """Both directions; a line at a time.

    :param reads: descriptor that lines come from.
    :param writes: descriptor that they go to.
    """

    def __init__(self, reads: int, writes: int) -> None:
        self._in = os.fdopen(reads, "rb")
        self._writes = writes
        self._lock = threading.Lock()

    @classmethod
    def taken(cls) -> Pipe:
        """The one that stands where standard input and output are. These are put elsewhere: what a
        hook prints goes where its errors go, and it has nothing to read."""
        pipe = cls(os.dup(0), os.dup(1))
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        return pipe

    def read(self) -> Any:
        """The next line's value; None at the end."""
        line = self._in.readline()
        return json.loads(line) if line else None

    def write(self, value: Any) -> None:
        """Send one value."""
        data = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        while data:
            data = data[os.write(self._writes, data) :]

    def ask(self, verb: str, arguments: dict[str, Any]) -> Any:
        """Send a request and wait for its answer, ``{"value": ...}`` or ``{"error": {...}}``.

        One thread asks at a time.
        """
        with self._lock:
            self.write({"ask": verb, "arguments": arguments})
            answer = self.read()
        if answer is None:
            raise EOFError("nobody answers any more")
        return answer
