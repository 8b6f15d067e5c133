"""What a plugin finds in its process, and what is put back after its call.

A consumer calls one plugin after the other in one process, and all of them live with what the one
before has changed: a taken SIGTERM would keep the daemon from ending, another folder would move
everybody's relative paths. Threads, files and processes that a plugin leaves are not looked for: it
may want them.
"""

from __future__ import annotations

import locale
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

log = logging.getLogger(__name__)

#: SIGALRM is the time limit's own affair.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Surroundings:
    """Signal handlers, blocked signals, working folder, locale and umask of this process."""

    def __init__(self) -> None:
        # Can only be read by setting it, which a plugin's thread could notice later on.
        self._umask = os.umask(0o077)
        os.umask(self._umask)

    @contextmanager
    def kept(self, plugin: str) -> Iterator[None]:
        """Put back after the block what it has changed, and say so."""
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        folder = _folder()
        words = locale.setlocale(locale.LC_ALL)
        try:
            yield
        finally:
            changed = [
                *_handlers_put_back(handlers),
                *_blocked_put_back(blocked),
                *_folder_put_back(folder),
            ]
            if locale.setlocale(locale.LC_ALL) != words:
                locale.setlocale(locale.LC_ALL, words)
                changed.append("the locale")
            if os.umask(self._umask) != self._umask:
                changed.append("the umask")
            if changed:
                log.warning(
                    "it changed %s of its process, which is put back",
                    ", ".join(changed),
                    extra={"plugin": plugin},
                )


def _handlers_put_back(handlers: dict[signal.Signals, Any]) -> Iterator[str]:
    for number, handler in handlers.items():
        # None: a handler that is not Python's, which Python cannot set again.
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)
            yield f"the handler of {number.name}"


def _blocked_put_back(blocked: set[int | signal.Signals]) -> Iterator[str]:
    if signal.pthread_sigmask(signal.SIG_SETMASK, blocked) != blocked:
        yield "the blocked signals"


def _folder() -> str | None:
    """The working folder; None for one that somebody has removed."""
    with suppress(FileNotFoundError):
        return os.getcwd()
    return None


def _folder_put_back(folder: str | None) -> Iterator[str]:
    if folder is not None and _folder() != folder:
        with suppress(OSError):  # it has been removed meanwhile
            os.chdir(folder)
        yield "the working folder"


@contextmanager
def never_forked() -> Iterator[None]:
    """End a process here that the block has forked and let go.

    It would go on as a second consumer: commit on the connection that it shares with the first one,
    and ack.
    """
    pid = os.getpid()
    try:
        yield
    finally:
        end_if_forked(pid)


def end_if_forked(pid: int) -> None:
    """End this process if it is not ``pid``: see :func:`never_forked`."""
    if os.getpid() != pid:
        log.error("a process that the plugin forked came back from the call; it ends")
        os._exit(1)
