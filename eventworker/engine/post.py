"""A child that the daemon keeps running, and what its end is said to be."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from eventworker.engine.child import Child
from eventworker.engine.slot import Call, Slot


@dataclass(slots=True)
class Post:
    """A child that is to be kept running."""

    title: str
    run: Callable[[Child], None]
    slot: Slot = field(default_factory=Slot)
    pid: int | None = None
    started: float = 0.0
    start_at: float = 0.0
    short_lives: int = 0
    replaced: bool = False
    overrun: Call | None = None


def cause_of(overrun: Call | None, call: Call | None, code: int) -> str:
    """Why a child ended, for a log line and a dead letter.

    :param overrun: the call that it was killed for, if it was.
    :param call: the call that it was in.
    :param code: its exit code, or the negative number of the signal that ended it.
    """
    if overrun is not None and overrun == call:
        return f"killed: the call did not end at its limit of {overrun.timeout:g} s"
    where = " during the call" if call is not None else ""
    if code < 0:
        return f"killed by signal {_name_of(-code)}{where}"
    return f"the process ended with exit code {code}{where}"


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return str(number)
