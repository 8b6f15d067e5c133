"""How a hook is kept apart, and how much one run of it may use."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

#: Bytes that are kept of what a hook prints.
MAX_OUTPUT = 64 * 1024
#: Bytes after which it is ended, as one who prints for the sake of it.
FLOOD = 16 * 1024 * 1024
#: Bytes of one request; read, it may take up twenty times as much.
MAX_LINE = 1024 * 1024
#: Requests of one run that are carried out; and those after which it is ended.
MAX_REQUESTS, MAX_ASKED = 1000, 2000
#: Seconds in which a sandbox has to be ready.
START = 30.0


class Isolation(StrEnum):
    """How well a hook is kept apart."""

    #: Namespaces, Landlock, seccomp, limits; all of them, or no hook runs.
    FULL = "full"
    #: A process with limits. It can do whatever the daemon's user can.
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a run.

    :ivar timeout: seconds by the clock on the wall.
    :ivar memory: bytes of address space.
    :ivar storage: bytes of its own folder, and of a file in it.
    :ivar names: files and folders in it, empty ones too: the kernel keeps each in its own memory.
    :ivar files: open at the same time.
    :ivar threads: processes and threads; the sandbox's own two are among them.
    """

    timeout: float = 30.0
    memory: int = 512 * 1024 * 1024
    storage: int = 16 * 1024 * 1024
    names: int = 4096
    files: int = 64
    threads: int = 32

    def by_name(self, *, counts_threads: bool) -> dict[str, int]:
        """As the kernel calls them.

        :param counts_threads: outside of a namespace all processes of the user would count.
        """
        limits = {
            "AS": self.memory,
            # Seconds of a processor; a run may use one for as long as it may last, and the time
            # that the sandbox took to get ready counts too.
            "CPU": math.ceil(self.timeout) + 2,
            "FSIZE": self.storage,
            "NOFILE": self.files,
            "CORE": 0,
            "MEMLOCK": 0,
            "MSGQUEUE": 0,
        }
        return {**limits, "NPROC": self.threads} if counts_threads else limits
