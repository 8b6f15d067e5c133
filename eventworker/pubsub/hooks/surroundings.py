"""What of the file system a hook sees: Python, its libraries, and the folders of hooks."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Where the sandbox's own code is, inside.
INSIDE = "/inside"
SCRATCH = "/tmp"  # noqa: S108 - inside of the sandbox, where it is nobody else's
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
_PACKAGE = "hook_inside"
_SYSTEM = ("/usr", "/usr/local")
_LIBRARIES = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/share/zoneinfo", "/etc/ld.so.cache")
_LINKS = ("/lib", "/lib64", "/lib32")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A Python and the folders that it takes modules from.

    :ivar executable: of the interpreter, all links followed.
    :ivar prefix: where it was installed.
    :ivar path: folders of modules besides its own, the first first.
    """

    executable: str
    prefix: str
    path: tuple[str, ...]

    @classmethod
    def own(cls, directories: Iterable[str]) -> Surroundings:
        """This process's interpreter, its installed packages, and these folders."""
        places = [*directories, *_site_packages()]
        path = tuple(dict.fromkeys(os.path.realpath(each) for each in places))
        return cls(os.path.realpath(sys.executable), os.path.realpath(sys.base_prefix), path)

    def readable(self) -> list[str]:
        """Files and folders that are there inside under their own names, read-only."""
        places = [*_LIBRARIES, *(each for each in _LINKS if not os.path.islink(each))]
        if self.prefix in _SYSTEM:
            places += [f"{self.prefix}/lib", self.executable]
        else:
            places += [self.prefix, self.executable]
        places += self.path
        return _outermost([each for each in places if os.path.exists(each)])

    def links(self) -> dict[str, str]:
        """Links that are there inside, with where they lead."""
        return {each: os.readlink(each) for each in _LINKS if os.path.islink(each)}

    def command(self, *, boxed: bool) -> list[str]:
        """The interpreter with the sandbox's own code: nothing of the environment, no packages and
        no current folder.

        :param boxed: the code is where the sandbox puts it, not where it is installed.
        """
        folder = INSIDE if boxed else str(code().parent)
        name = _PACKAGE if boxed else code().name
        boot = f"import sys;sys.path.insert(0,{folder!r});from {name}.main import main;"
        return [
            self.executable,
            "-I",
            "-S",
            "-B",
            "-X",
            "utf8",
            "-c",
            f"{boot}sys.path.pop(0);main()",
        ]


def code() -> Path:
    """The folder with the sandbox's own code."""
    return Path(os.path.realpath(__file__)).parent / "inside"


def code_inside() -> str:
    """Where that folder is inside."""
    return f"{INSIDE}/{_PACKAGE}"


def _site_packages() -> list[str]:
    places = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    return [each for each in places if each and os.path.isdir(each)]


def _outermost(places: Sequence[str]) -> list[str]:
    """Without those that lie in another one of them."""
    kept: list[str] = []
    for place in sorted(set(places)):
        if not any(place.startswith(f"{other}/") for other in kept):
            kept.append(place)
    return kept
