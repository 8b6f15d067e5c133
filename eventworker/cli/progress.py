"""How far a long verb has come: a bar on a terminal, else a line now and then.

Own lines instead of a library's, since the ones there are draw bars only: in a log file they leave
carriage returns, and what we say there is the half that matters.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TextIO

#: Seconds between two looks of the bar, and between two lines.
_REDRAW, _LINE = 0.1, 5.0
#: Seconds before a speed says anything.
_WARM_UP = 0.5
_BAR = 20


class Progress:
    """Counts towards a total that may be unknown.

    :param done: what has been done with them, such as ``published``.
    :param stream: where it is shown; None for nowhere.
    :param total: events; None if nobody knows.
    """

    def __init__(
        self,
        done: str,
        stream: TextIO | None,
        total: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._done = done
        self._stream = stream
        self._total = total
        self._clock = clock
        self._terminal = stream is not None and stream.isatty()
        self._began = self._shown_at = clock()
        self._drawn = False

    def at(self, count: int) -> None:
        """So many are done; shown if it is time."""
        now = self._clock()
        if self._stream is None or now - self._shown_at < (_REDRAW if self._terminal else _LINE):
            return
        self._shown_at = now
        if self._terminal:
            columns = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{self._bar(count)}{self._text(count)}"[: columns + 4])
            self._drawn = True
        else:
            self._stream.write(f"eventworker: {self._text(count)}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the bar away, before something else is printed or at the end."""
        if self._drawn and self._stream is not None:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False

    def _bar(self, count: int) -> str:
        if not self._total:
            return ""
        filled = min(_BAR, _BAR * count // self._total)
        return f"[{'#' * filled}{'.' * (_BAR - filled)}] "

    def _text(self, count: int) -> str:
        text = f"{self._done} {count:,}"
        if self._total:
            text += f" of {self._total:,} ({100 * count // self._total}%)"
        elapsed = self._clock() - self._began
        if count and elapsed >= _WARM_UP:
            speed = count / elapsed
            text += f", {speed:,.{0 if speed >= 10 else 1}f}/s"
            if self._total:
                text += f", {duration((self._total - count) / speed)} left"
        return text


def duration(seconds: float) -> str:
    """``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
