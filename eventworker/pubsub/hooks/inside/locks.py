"""Locks that a process puts on itself and can never take off again."""

from __future__ import annotations

import binascii
import ctypes
import os
import resource
import signal
import stat
import struct
from collections.abc import Mapping, Sequence
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_SECCOMP_MODE_FILTER = 2
_MS_NOSUID, _MS_NODEV, _MS_REMOUNT = 2, 4, 32
#: Of the structures in which capabilities are handed over: 64 of them, of this process.
_CAPABILITY_VERSION = 0x20080522
#: Landlock's system calls have one number everywhere.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_ASKED, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
#: Rights on files by the version of Landlock that brought them.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
#: To bind and to connect; and what lies outside of one's own rules: abstract sockets, signals.
_NET_RIGHTS, _SCOPES = 3, 3
#: Of the rights those that a rule on what is no folder may have.
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15


class Refused(Exception):
    """A lock that this system does not have."""


def put_on(locks: Mapping[str, Any]) -> None:
    """Put on the locks that are named.

    :param locks: ``names``: how many a ``folder`` may have at the ``most``; ``uid``: a number to
        become; ``no_capabilities``; ``limits``: numbers by the names that :mod:`resource` has for
        them; ``no_new_privs``; ``paths``: ``read``, ``write`` and ``devices``, each a list, for
        Landlock; ``filter``: a program of BPF in base64.
    :raises Refused: when the system has not one of them.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if (names := locks.get("names")) is not None:
        _limit_names(libc, names["folder"], names["most"])
    if (uid := locks.get("uid")) is not None:
        _become(uid)
    if locks.get("no_capabilities"):
        _give_up_capabilities(libc)
    # Not before: to become somebody else would undo it.
    _prctl(libc, "death signal", _PR_SET_PDEATHSIG, signal.SIGKILL)
    for name, value in locks.get("limits", {}).items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    if locks.get("no_new_privs"):
        _prctl(libc, "no_new_privs", _PR_SET_NO_NEW_PRIVS, 1)
        # Others of the same user may not look into this process, nor it into its own memory.
        _prctl(libc, "dumpable", _PR_SET_DUMPABLE, 0)
    if (paths := locks.get("paths")) is not None:
        _landlock(libc, paths)
    if (program := locks.get("filter")) is not None:
        _seccomp(libc, binascii.a2b_base64(program))


def _become(uid: int) -> None:
    try:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise Refused(f"the user id {uid} cannot be had: {error.strerror}") from None


def _limit_names(libc: Any, folder: str, most: int) -> None:
    """Bubblewrap limits the bytes of a folder in memory, but not its empty files."""
    flags = ctypes.c_ulong(_MS_REMOUNT | _MS_NOSUID | _MS_NODEV)
    options = f"nr_inodes={most}".encode()
    if libc.mount(b"tmpfs", folder.encode(), None, flags, options) != 0:
        raise Refused(f"{folder} cannot be limited: {os.strerror(ctypes.get_errno())}")


def _give_up_capabilities(libc: Any) -> None:
    """For good: with ``no_new_privs`` no program gives them back."""
    clear = ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL)
    header, none = struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24)
    if libc.prctl(_PR_CAP_AMBIENT, clear, 0, 0, 0) != 0 or libc.capset(header, none) != 0:
        raise Refused(f"capabilities: {os.strerror(ctypes.get_errno())}")


def _prctl(libc: Any, what: str, option: int, value: int) -> None:
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise Refused(f"{what}: {os.strerror(ctypes.get_errno())}")


def landlock_version() -> int:
    """The version of Landlock that the kernel has; 0 for none."""
    libc = ctypes.CDLL(None, use_errno=True)
    none = ctypes.c_size_t(0)
    return max(0, int(libc.syscall(_CREATE_RULESET, None, none, ctypes.c_uint(_VERSION_ASKED))))


def _landlock(libc: Any, paths: Mapping[str, Sequence[str]]) -> None:
    version = landlock_version()
    if version < 1:
        raise Refused("the kernel has no Landlock")
    files = sum(rights for since, rights in _FILE_RIGHTS.items() if since <= version)
    rules = struct.pack("=Q", files)
    if version >= 4:
        rules += struct.pack("=Q", _NET_RIGHTS)
    if version >= 6:
        rules += struct.pack("=Q", _SCOPES)
    ruleset = _call(libc, _CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), ctypes.c_uint(0))
    reading = _EXECUTE | _READ_FILE | _READ_DIR
    for names, rights in (
        (paths["read"], reading),
        (paths["write"], files & ~_EXECUTE),
        (paths["devices"], _READ_FILE | _WRITE_FILE),
    ):
        for name in names:
            _allow(libc, ruleset, name, rights & files)
    _call(libc, _RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    os.close(ruleset)


def _allow(libc: Any, ruleset: int, name: str, rights: int) -> None:
    try:
        place = os.open(name, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise Refused(f"{name} is not in the sandbox: {error.strerror}") from None
    if not stat.S_ISDIR(os.fstat(place).st_mode):
        rights &= _OF_FILES
    rule = struct.pack("=Qi", rights, place)
    kind = ctypes.c_int(_PATH_BENEATH)
    _call(libc, _ADD_RULE, ctypes.c_int(ruleset), kind, rule, ctypes.c_uint(0))
    os.close(place)


def _call(libc: Any, number: int, *arguments: Any) -> int:
    answer = int(libc.syscall(ctypes.c_long(number), *arguments))
    if answer < 0:
        raise Refused(f"Landlock: {os.strerror(ctypes.get_errno())}")
    return answer


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def _seccomp(libc: Any, instructions: bytes) -> None:
    program = _Program(len(instructions) // 8, instructions)
    mode = ctypes.c_ulong(_SECCOMP_MODE_FILTER)
    if libc.prctl(_PR_SET_SECCOMP, mode, ctypes.byref(program), 0, 0) != 0:
        raise Refused(f"seccomp: {os.strerror(ctypes.get_errno())}")
