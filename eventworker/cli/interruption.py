"""Ctrl-C, held back while something is on its way whose end has to be known."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interruption:
    """Takes SIGINT for the length of a ``with`` block. Main thread only.

    :ivar asked: somebody has pressed Ctrl-C inside a :meth:`held` block.
    """

    def __init__(self) -> None:
        self.asked = False
        self._holding = False
        self._before: Any = None

    def __enter__(self) -> Interruption:
        self._before = signal.signal(signal.SIGINT, self._on_interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def held(self) -> Iterator[None]:
        """In here the first Ctrl-C is only noted; a second one does not wait."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False

    def _on_interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked or not self._holding:
            raise KeyboardInterrupt
        self.asked = True
