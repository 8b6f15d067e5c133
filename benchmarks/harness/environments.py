"""The virtual environments: one for each peer, made once, made anew when its pins change."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from pathlib import Path

from tests.acceptance.installation import copy_of_eventworker

BENCHMARKS = Path(__file__).parents[1]
ROOT = BENCHMARKS.parent
PEERS = BENCHMARKS / "peers"
SHARED = BENCHMARKS / "shared"
CACHE = "EVENTWORKER_BENCH_CACHE"
_VERSIONS = (
    "import importlib.metadata as m, json;"
    "print(json.dumps({d.name.lower().replace('_', '-'): d.version for d in m.distributions()}))"
)


class NotInstallable(Exception):
    """A peer that could not be installed, with the reason."""


def cache() -> Path:
    """Where the environments are."""
    return Path(os.environ.get(CACHE) or BENCHMARKS / ".venvs").resolve()


def program(peer: str, name: str) -> Path:
    """A program of a peer's environment."""
    return cache() / peer / "bin" / name


def module_path(peer: str) -> str:
    """PYTHONPATH of a peer's processes: its own modules, and the work that all share."""
    return f"{PEERS / peer}{os.pathsep}{SHARED}"


def make(peer: str) -> None:
    """Make sure that a peer's environment is there and up to date.

    :raises NotInstallable: when pip says no.
    """
    folder = cache() / peer
    marker = folder / "fingerprint"
    wanted = _fingerprint(peer)
    if marker.exists() and marker.read_text() == wanted:
        return
    print(f"making the environment of {peer}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, symlinks=True, with_pip=True)
    _pip(folder, "--requirement", PEERS / peer / "requirements.txt")
    if peer == "eventworker":
        _install_ours(folder)
    marker.write_text(wanted)


def versions(peer: str) -> dict[str, str]:
    """Versions by name of all that is installed for a peer."""
    command = [program(peer, "python"), "-I", "-c", _VERSIONS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _install_ours(folder: Path) -> None:
    """This tree and the plugins of the benchmarks, both as wheels, built from copies."""
    with tempfile.TemporaryDirectory() as name:
        plugins = Path(name) / "plugins"
        shutil.copytree(PEERS / "eventworker", plugins)
        _pip(folder, "--no-deps", copy_of_eventworker(Path(name) / "eventworker"), plugins)


def _pip(folder: Path, *arguments: str | Path) -> None:
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    command = [folder / "bin/python", "-m", "pip", "install", *quiet, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "pip says nothing").splitlines()[-1]
        raise NotInstallable(last)


def _fingerprint(peer: str) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for file in _inputs(peer):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _inputs(peer: str) -> Iterable[Path]:
    yield PEERS / peer / "requirements.txt"
    if peer == "eventworker":
        yield from (
            ROOT / "setup.cfg",
            PEERS / peer / "setup.cfg",
            PEERS / peer / "bench_plugins.py",
        )
        package = (ROOT / "eventworker").rglob("*")
        yield from sorted(f for f in package if f.is_file() and "__pycache__" not in f.parts)
