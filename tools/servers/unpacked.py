"""Unpacks distribution packages, with what they need, into a folder: no root, nothing installed.

    python3 -m tools.servers.unpacked FOLDER PACKAGE...

APT works here on state and cache folders of its own, so that a user who may not run
`apt-get update` has package lists at all, and its resolver tells which packages are missing.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from .programs import MissingError

DPKG_STATUS = Path("/var/lib/dpkg/status")
# A server that is installed must still come with the tree, so the resolver is not told of it.
FORGOTTEN = re.compile(
    r"Package: (rabbitmq-server|ejabberd|erlang-.*|postgresql.*|mariadb-.*|mysql-.*|prosody|lua.*"
    r"|python3-pip-whl)$",
    re.M,
)
# Without these lines no installed package can be found broken for what is forgotten.
RELATIONS = re.compile(r"^(Pre-Depends|Depends|Conflicts|Breaks): .*\n", re.M)
# The C library has to be the one of the running loader, and LLVM (100 MB) only serves the JIT.
LEFT_OUT = re.compile(r"(libc6|libc-bin|libllvm\d+|perl.*|python3.*|libpython3.*|systemd.*)_")
ERLANG, PROSODY = "/usr/lib/erlang", "/usr/lib/prosody"


def unpack(packages: Sequence[str], folder: Path) -> None:
    """Make `folder` the tree of the packages; an incomplete one is never left under that name."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise MissingError(f"{program} not found: install {' and '.join(packages)} by hand")
    work = folder.with_name(f"{folder.name}.{os.getpid()}")
    tree = work / "tree"
    try:
        tree.mkdir(parents=True)
        for archive in _download(packages, work / "apt"):
            if LEFT_OUT.match(archive.name) and not archive.name.startswith(tuple(packages)):
                continue
            _run(["dpkg-deb", "--extract", str(archive), str(tree)])
        _point_erlang_at(tree, folder)
        _point_prosody_at(tree, folder)
        shutil.rmtree(folder, ignore_errors=True)
        tree.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _download(packages: Sequence[str], state: Path) -> list[Path]:
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True)
    status = state / "status"
    status.write_text("\n".join(_paragraphs_to_keep()))
    apt_get = ["apt-get", "-q", "--yes", "-o", "Debug::NoLocking=1"]
    for option, value in (
        ("Dir::State", state),
        ("Dir::State::lists", state / "lists"),
        ("Dir::State::status", status),
        ("Dir::Cache", state / "cache"),
        ("Dir::Cache::archives", state / "cache/archives"),
    ):
        apt_get += ["-o", f"{option}={value}"]
    # A third-party source that cannot be reached need not matter; the download below decides.
    subprocess.run([*apt_get, "update"], stdout=sys.stderr)
    options = ["--download-only", "--no-install-recommends"]
    _run([*apt_get, "install", *options, *packages])
    return sorted((state / "cache/archives").glob("*.deb"))


def _paragraphs_to_keep() -> Iterator[str]:
    installed = DPKG_STATUS.read_text(errors="replace") if DPKG_STATUS.exists() else ""
    for paragraph in installed.split("\n\n"):
        if paragraph.strip() and not FORGOTTEN.search(paragraph):
            yield RELATIONS.sub("", paragraph.strip("\n") + "\n")


def _point_erlang_at(tree: Path, folder: Path) -> None:
    """Erlang's start scripts carry the folder that they were built for."""
    inside = tree / ERLANG.lstrip("/")
    for script in [*inside.glob("bin/*"), *inside.glob("erts-*/bin/*")]:
        if script.is_file() and script.open("rb").read(2) == b"#!":
            text = script.read_text()
            script.write_text(text.replace(ERLANG, f"{folder}{ERLANG}"))


def _point_prosody_at(tree: Path, folder: Path) -> None:
    """Prosody's start script carries the folders of its libraries."""
    script = tree / "usr/bin/prosody"
    if script.exists():
        script.write_text(script.read_text().replace(f"'{PROSODY}", f"'{folder}{PROSODY}"))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=sys.stderr)
    if done.returncode != 0:
        raise MissingError(f"{command[0]} failed (its output is above): {' '.join(command[-3:])}")


if __name__ == "__main__":
    try:
        unpack(sys.argv[2:], Path(sys.argv[1]).absolute())
    except MissingError as problem:
        sys.exit(f"unpack: {problem}")
