"""The command line that puts a process into namespaces of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from eventworker.pubsub.hooks.limits import Limits
from eventworker.pubsub.hooks.surroundings import (
    DEVICES,
    SCRATCH,
    Surroundings,
    code,
    code_inside,
)

#: The first version that can limit the size of a folder in memory.
_OLDEST = (0, 6, 0)
#: Above those of accounts, containers and services: these numbers are nobody's.
_FIRST_UID, _UIDS = 0x70000000, 0x00100000
#: Where the numbers above do not exist, as in a container with few of its own.
_NOBODY = 65534


class Missing(Exception):
    """What the isolation needs is not there."""


def program() -> str:
    """Where bubblewrap is.

    :raises Missing: when there is none, or an old one.
    """
    found = shutil.which("bwrap")
    if found is None:
        raise Missing("bubblewrap (bwrap) is not installed")
    told = subprocess.run(  # noqa: S603 - the operator's PATH says which
        [found, "--version"], capture_output=True, text=True, check=False
    )
    version = tuple(int(each) for each in re.findall(r"\d+", told.stdout)[:3])
    if version < _OLDEST:
        raise Missing(f"{found} is too old, 0.6 is needed: {told.stdout.strip() or told.stderr}")
    return found


def arguments(
    program: str, surroundings: Surroundings, limits: Limits, *, is_root: bool
) -> list[str]:
    """The whole command line.

    :param is_root: of the process that starts it. An ordinary user has a namespace of users made
        for him; root has not, since he would stay root in it, and becomes another user inside.
    """
    words = [program, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    words += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--clearenv"]
    # With this one the process limits its own folder, and gives it up before it sees a hook.
    words += ["--hostname", "hook", "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN"]
    if is_root:
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        words += ["--unshare-user", "--uid", str(_NOBODY), "--gid", str(_NOBODY)]
    # Before the others, of which some may lie there.
    words += ["--perms", "1777", "--size", str(limits.storage), "--tmpfs", SCRATCH]
    readable = surroundings.readable()
    # Bubblewrap would make them for their owner alone.
    places = [*readable, *DEVICES, code_inside()]
    for folder in sorted({str(each) for place in places for each in Path(place).parents} - {"/"}):
        words += ["--perms", "0755", "--dir", folder]
    for place in readable:
        words += ["--ro-bind", place, place]
    words += ["--ro-bind", str(code()), code_inside()]
    for link, target in surroundings.links().items():
        words += ["--symlink", target, link]
    for device in DEVICES:
        words += ["--dev-bind", device, device]
    words += ["--remount-ro", "/", "--chdir", SCRATCH]
    words += ["--setenv", "HOME", SCRATCH, "--setenv", "LANG", "C.UTF-8"]
    return [*words, "--", *surroundings.command(boxed=True)]


def user_id(n: int) -> int:
    """A number of nobody's for the n-th sandbox, so that none counts the processes of another."""
    wanted = _FIRST_UID + n % _UIDS
    return wanted if _is_mapped(wanted) else _NOBODY


def _is_mapped(uid: int) -> bool:
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= uid < first + count:
            return True
    return False


def is_root() -> bool:
    """Whether this process is root."""
    return os.geteuid() == 0
