"""Find the servers and three programs for the tests, or get them, and write down where they are.

    python3 -m tools.servers [--ignore-installed] [--output .servers.json]

In this order: programs that are installed; as root, the distribution's packages; without root,
the same packages unpacked into the user's cache folder. A server that cannot be had is a failure.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from .installed import install
from .programs import (
    SYSTEM,
    MissingError,
    Programs,
    find_bubblewrap,
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
    # No servers: the first lies to a process about the time, the second tells what a process asks
    # of the kernel, the third keeps a process from asking much.
    "libfaketime": ("libfaketime", find_libfaketime),
    "strace": ("strace", find_strace),
    "bubblewrap": ("bubblewrap", find_bubblewrap),
}


def main() -> None:
    arguments = _arguments()
    try:
        found = find_or_get(arguments.ignore_installed)
    except MissingError as problem:
        sys.exit(f"servers: {problem}")
    record = {name: {"paths": p.paths, "env": p.env} for name, p in found.items()}
    arguments.output.write_text(json.dumps(record, indent=2) + "\n")
    for programs in found.values():
        print(f"servers: {next(iter(programs.paths.values()))}")


def find_or_get(ignore_installed: bool) -> dict[str, Programs]:
    if ignore_installed:
        return _unpacked()
    if missing := _missing(SYSTEM):
        if shutil.which("apt-get") is None:
            raise MissingError(
                f"{' and '.join(missing)} missing: install with your package manager"
            )
        if os.geteuid() != 0:
            return _unpacked()
        install(missing)
    return {name: finder(SYSTEM) for name, (_, finder) in SERVERS.items()}


def _unpacked() -> dict[str, Programs]:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    found = {}
    for name, (package, finder) in SERVERS.items():
        tree = Path(cache).absolute() / "eventworker/servers" / name
        try:
            found[name] = finder(tree)
        except MissingError:
            tree.parent.mkdir(parents=True, exist_ok=True)
            unpack([package], tree)
            found[name] = finder(tree)
    return found


def _missing(root: Path) -> list[str]:
    """The packages of the servers that do not run."""
    missing = []
    for package, finder in SERVERS.values():
        try:
            finder(root)
        except MissingError:
            missing.append(package)
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
