"""What a fork and the end of a process mean to the spools that are open in it."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from typing import Any, Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """A thing that has to know of forks, and of the end."""

    def before_fork(self) -> None: ...
    def after_fork_here(self) -> None: ...
    def after_fork_in_child(self) -> None: ...
    def close(self) -> None: ...


_live: WeakSet[Any] = WeakSet()
#: Those that the running fork has told; one fork at a time, since two threads may fork at once.
_forking: list[Forkable] = []
_turn = threading.Lock()
_once = threading.Lock()
_registered = False


def watch(one: Forkable) -> None:
    """Tell `one` of forks, and close it at the end of the process."""
    global _registered
    with _once:
        if not _registered:
            _registered = True
            os.register_at_fork(
                before=_before, after_in_parent=_after_here, after_in_child=_after_in_child
            )
            atexit.register(_at_exit)
        _live.add(one)


def _before() -> None:
    _turn.acquire()
    for one in list(_live):
        _forking.append(one)
        one.before_fork()


def _after_here() -> None:
    while _forking:
        _forking.pop().after_fork_here()
    _turn.release()


def _after_in_child() -> None:
    while _forking:
        _forking.pop().after_fork_in_child()
    _turn.release()


def _at_exit() -> None:
    for one in list(_live):
        with contextlib.suppress(Exception):
            one.close()
