"""Finds the module of Prosody that lets a component read rosters (XEP-0356), or gets it.

It is one of a few hundred in a package of the distribution. Installing those would put all of them
where the machine's own Prosody looks for modules; so only this one is unpacked.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .programs import SYSTEM, MissingError, Programs

PACKAGE, MODULE = "prosody-modules", "mod_privilege"
FOLDER = "usr/lib/prosody/modules"


def find_modules(root: Path = SYSTEM) -> Programs:
    """The folder that has the module."""
    folder = root / FOLDER
    if not (folder / MODULE / f"{MODULE}.lua").exists():
        raise MissingError(f"no {MODULE} found")
    return Programs({"modules": str(folder)})


def get_modules(tree: Path) -> Programs:
    """Make `tree` a folder that has the module, if it has not got it."""
    try:
        return find_modules(tree)
    except MissingError:
        pass
    if shutil.which("apt-get") is None:
        raise MissingError(f"{PACKAGE} missing: install it with your package manager")
    work = tree.with_name(f"{tree.name}.{os.getpid()}")
    try:
        (work / "lists/partial").mkdir(parents=True)
        # Package lists of its own: a user who may not run `apt-get update` may have none.
        apt_get = ["apt-get", "-q", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]
        for option in (f"Dir::State::lists={work / 'lists'}", f"Dir::Cache={work / 'cache'}"):
            apt_get += ["-o", option]
        subprocess.run([*apt_get, "update"], stdout=sys.stderr)
        _run([*apt_get, "download", PACKAGE], work)
        (archive,) = work.glob("*.deb")
        _run(["dpkg-deb", "--extract", str(archive), str(work / "all")], work)
        wanted = work / "all" / FOLDER / MODULE
        if not wanted.exists():
            raise MissingError(f"{archive.name} has no {MODULE}")
        made = work / "tree" / FOLDER / MODULE
        made.parent.mkdir(parents=True)
        wanted.rename(made)
        shutil.rmtree(tree, ignore_errors=True)
        (work / "tree").rename(tree)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return find_modules(tree)


def _run(command: list[str], folder: Path) -> None:
    if subprocess.run(command, stdout=sys.stderr, cwd=folder).returncode != 0:
        raise MissingError(f"{command[0]} failed (its output is above): {' '.join(command[-2:])}")
