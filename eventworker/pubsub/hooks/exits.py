"""How a process has ended, seen from outside."""

from __future__ import annotations

import contextlib
import os
import signal


def exit_code(pid: int) -> int | None:
    """The exit code of a child, or minus the signal that has ended it; None while it runs.

    It is not reaped: until its keeper does that, its number is no other process's, nor that of
    another session.
    """
    how = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if how is None:
        return None
    return how.si_status if how.si_code == os.CLD_EXITED else -how.si_status


def in_words(code: int) -> str:
    """What is told of a run whose process has ended by itself."""
    # Bubblewrap tells of a signal as a shell does.
    number = -code if code < 0 else code - 128
    if number in (signal.SIGKILL, signal.SIGXCPU):
        return f"it was ended by {signal.Signals(number).name}: too much memory or processor time"
    with contextlib.suppress(ValueError):
        return f"it was ended by {signal.Signals(number).name}"
    return f"its process ended with exit code {code} before it had answered"
