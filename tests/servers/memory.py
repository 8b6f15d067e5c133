"""Where tests keep their files: in memory, if there is room.

What a test writes and synchronises need not survive the machine, only the processes.
"""

from __future__ import annotations

import os
import tempfile

SHARED_MEMORY = "/dev/shm"
NEEDED = 4 * 2**30


def use_memory_for_files() -> None:
    """Put temporary files into memory, unless ``TMPDIR`` says where they belong."""
    if "TMPDIR" in os.environ or not _is_fit(SHARED_MEMORY):
        return
    # For this process, which may have looked already, and for those that it starts.
    os.environ["TMPDIR"] = tempfile.tempdir = SHARED_MEMORY


def _is_fit(folder: str) -> bool:
    """Whether it has room, and programs can be run from there: containers often forbid both."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    has_room = found.f_bavail * found.f_frsize >= NEEDED
    return has_room and not found.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)
