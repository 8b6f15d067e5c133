"""Files that hooks come from: where they may lie, whose they may be, and how they are read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from eventworker.errors import EventworkerError

#: Bytes of a hook.
MAX_SOURCE = 1024 * 1024
_FOR_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class FileRefused(EventworkerError):
    """The file is none that a hook may come from."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was read.

    :ivar path: absolute, all links followed.
    :ivar sha256: of its bytes.
    :ivar mark: changes when the file does.
    """

    path: str
    text: str
    sha256: str
    mark: str


def digest(text: str) -> str:
    """The digest of code."""
    return hashlib.sha256(text.encode()).hexdigest()


def read(name: str, directories: Sequence[str]) -> Source:
    """Read a hook's file.

    The path is followed once, folder by folder, through descriptors, and never again: nobody can
    put another file into its place between the look at it and the reading of it.

    :param directories: absolute and resolved.
    :raises FileRefused: when it is not there, lies elsewhere, is no regular file, or somebody else
        than root and this user may write to it or to its folder.
    """
    path = resolved(name, directories)
    descriptor = _opened(path, next(each for each in directories if _is_in(path, each)))
    try:
        found = os.fstat(descriptor)
        _require_safe(found, path)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(MAX_SOURCE + 1)
    finally:
        os.close(descriptor)
    if len(data) > MAX_SOURCE:
        raise FileRefused(f"{path} has more than {MAX_SOURCE} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise FileRefused(f"{path} is not UTF-8") from None
    return Source(path, text, hashlib.sha256(data).hexdigest(), _mark(found))


def resolved(name: str, directories: Sequence[str]) -> str:
    """The path, absolute and with all links followed.

    :raises FileRefused: when it lies in none of the folders.
    """
    if "\x00" in name:
        raise FileRefused("a path has no NUL in it")
    path = absolute(name)
    if not directories:
        raise FileRefused("[hooks] directories names no folder that files may come from")
    if not any(_is_in(path, each) for each in directories):
        raise FileRefused(f"{path} is in none of [hooks] directories: {', '.join(directories)}")
    return path


def absolute(name: str) -> str:
    """The path from the root, with all links followed.

    :raises FileRefused: when one of them went away meanwhile.
    """
    try:
        return os.path.realpath(os.path.expanduser(name))
    except OSError as error:
        raise FileRefused(f"{name} cannot be read: {error.strerror}") from None


def mark(name: str) -> str | None:
    """What the file looks like from outside; None when it is not there."""
    try:
        return _mark(os.stat(name))
    except (OSError, ValueError):
        return None


def _mark(found: os.stat_result) -> str:
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def _is_in(path: str, directory: str) -> bool:
    return path.startswith(f"{directory}/")


def _opened(path: str, directory: str) -> int:
    """A descriptor of the file, on whose way from the folder there is no link."""
    *folders, name = os.path.relpath(path, directory).split("/")
    place = -1
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        place = os.open(directory, flags | os.O_DIRECTORY)
        _require_folder(place, directory)
        for folder in folders:
            below = os.open(folder, flags | os.O_DIRECTORY, dir_fd=place)
            os.close(place)
            place = below
            _require_folder(place, folder)
        # Not to wait for whoever writes into a FIFO.
        return os.open(name, flags | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=place)
    except OSError as error:
        raise FileRefused(f"{path} cannot be read: {error.strerror}") from None
    finally:
        if place >= 0:
            os.close(place)


def _require_folder(descriptor: int, name: str) -> None:
    found = os.fstat(descriptor)
    if found.st_uid not in (0, os.geteuid()) or found.st_mode & _FOR_OTHERS:
        raise FileRefused(f"others than root and this user may change what is in {name}")


def _require_safe(found: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise FileRefused(f"{path} is no regular file")
    if found.st_uid not in (0, os.geteuid()):
        raise FileRefused(f"{path} belongs neither to root nor to this user")
    if found.st_mode & _FOR_OTHERS:
        raise FileRefused(f"others than its owner may write to {path}")
