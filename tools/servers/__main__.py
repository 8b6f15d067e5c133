"""Find the servers and three programs for the tests, or get them, and write down where they are.

    python3 -m tools.servers [--ignore-installed] [--output .servers.json]

In this order: programs that are installed; as root, the distribution's packages, but for ejabberd;
otherwise, the same packages unpacked into a cache folder. A server that cannot be had is a failure.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from .installed import install
from .modules import PACKAGE, find_modules, get_modules
from .programs import (
    SYSTEM,
    MissingError,
    Programs,
    find_bubblewrap,
    find_ejabberd,
    find_libfaketime,
    find_mariadb,
    find_postgresql,
    find_prosody,
    find_rabbitmq,
    find_strace,
)
from .unpacked import unpack

Finder = Callable[[Path], Programs]
SERVERS: dict[str, tuple[str, Finder]] = {
    "rabbitmq": ("rabbitmq-server", find_rabbitmq),
    "postgresql": ("postgresql", find_postgresql),
    # The package of the programs alone: it brings no service that could be started.
    "mariadb": ("mariadb-server-core", find_mariadb),
    "prosody": ("prosody", find_prosody),
    "ejabberd": ("ejabberd", find_ejabberd),
    # No servers: the first lies to a process about the time, the second tells what a process asks
    # of the kernel, the third keeps a process from asking much.
    "libfaketime": ("libfaketime", find_libfaketime),
    "strace": ("strace", find_strace),
    "bubblewrap": ("bubblewrap", find_bubblewrap),
}

# Installing this one asks questions, makes certificates and enables a port mapper; unpacking it
# takes five seconds.
NEVER_INSTALLED = {"ejabberd"}


def main() -> None:
    arguments = _arguments()
    try:
        found = find_or_get(arguments.ignore_installed)
        found[PACKAGE] = _modules(arguments.ignore_installed)
    except MissingError as problem:
        sys.exit(f"servers: {problem}")
    record = {name: {"paths": p.paths, "env": p.env} for name, p in found.items()}
    arguments.output.write_text(json.dumps(record, indent=2) + "\n")
    for programs in found.values():
        print(f"servers: {next(iter(programs.paths.values()))}")


def find_or_get(ignore_installed: bool) -> dict[str, Programs]:
    missing = set(SERVERS) if ignore_installed else _missing(SYSTEM)
    if missing and shutil.which("apt-get") is None:
        packages = [SERVERS[name][0] for name in SERVERS if name in missing]
        raise MissingError(f"{' and '.join(packages)} missing: install with your package manager")
    to_unpack = missing
    if os.geteuid() == 0 and not ignore_installed:
        to_unpack = missing & NEVER_INSTALLED
        if to_install := missing - to_unpack:
            install([SERVERS[name][0] for name in SERVERS if name in to_install])
    return {
        name: _unpacked(name) if name in to_unpack else finder(SYSTEM)
        for name, (_, finder) in SERVERS.items()
    }


def _unpacked(name: str) -> Programs:
    package, finder = SERVERS[name]
    tree = _cache() / "eventworker/servers" / name
    try:
        return finder(tree)
    except MissingError:
        tree.parent.mkdir(parents=True, exist_ok=True)
        unpack([package], tree)
        return finder(tree)


def _modules(ignore_installed: bool) -> Programs:
    try:
        if not ignore_installed:
            return find_modules()
    except MissingError:
        pass
    tree = _cache() / "eventworker/servers" / PACKAGE
    tree.parent.mkdir(parents=True, exist_ok=True)
    return get_modules(tree)


def _cache() -> Path:
    """Where whoever runs the servers may read: for root that is somebody else, who may not look
    into root's home."""
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen).absolute()
    return Path("/var/cache") if os.geteuid() == 0 else Path.home() / ".cache"


def _missing(root: Path) -> set[str]:
    """The servers that do not run."""
    missing = set()
    for name, (_, finder) in SERVERS.items():
        try:
            finder(root)
        except MissingError:
            missing.add(name)
    return missing


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m tools.servers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    ignore = "unpack the packages into the cache folder even where the servers are installed"
    parser.add_argument("--ignore-installed", action="store_true", help=ignore)
    parser.add_argument("--output", type=Path, default=Path(".servers.json"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
