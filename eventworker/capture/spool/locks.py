"""Locks between processes, by ``flock`` on files beside the spool: the kernel ends them with their
holder, so there is no lease and no clock."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eventworker.errors import SpoolError


def beside(path: Path, suffix: str) -> Path:
    """The name of a file that belongs to the spool at ``path``."""
    return path.with_name(path.name + suffix)


class FileLock:
    """A lock on a file beside the spool, which is made if need be and never removed."""

    def __init__(self, spool: Path, suffix: str) -> None:
        self._spool = spool
        self._path = beside(spool, suffix)
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take the lock if nobody has it; whether it was taken.

        :raises SpoolError: when the file cannot be opened.
        """
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SpoolError(
                f"the spool needs to write {self._path}, and cannot: {error.strerror}"
            ) from None
        try:
            self._give_away(file)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except BaseException:
            os.close(file)
            raise
        self._file = file
        return True

    def _give_away(self, file: int) -> None:
        """An operator's command, run by root, must not leave what locks the application out."""
        if os.geteuid() == 0:
            owner = (self._spool if self._spool.exists() else self._spool.parent).stat()
            os.fchown(file, owner.st_uid, owner.st_gid)

    def release(self) -> None:
        """Give the lock back, if it is held.

        In the child after a fork, too: the lock is one of the *open file*, which both processes
        have, and the child's copy would keep it when its parent has died. Closing it there does not
        take it from the parent.
        """
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    @contextmanager
    def held(self, patience: float) -> Iterator[None]:
        """Hold the lock for the length of the block.

        :param patience: seconds to wait for another holder.
        :raises SpoolError: when the other one keeps it for longer.
        """
        deadline = time.monotonic() + patience
        while not self.acquire():
            if time.monotonic() >= deadline:
                raise SpoolError(f"another process keeps {self._path} locked")
            time.sleep(0.005)
        try:
            yield
        finally:
            self.release()
