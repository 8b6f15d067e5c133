"""Wheels of all that is here, and virtual environments that they are installed into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
#: What belongs to a source tree but would be a leftover in a copy of it.
LEFTOVERS = shutil.ignore_patterns("*.egg-info", "build", "dist", "__pycache__", ".venvs")
#: Distributions of ours, by the beginnings of their files' names in a site-packages folder.
OURS = ("eventworker", "storyboard", "my_storyboard", "my-storyboard", "__editable__", "_editable")


class Installation:
    """A virtual environment, of which the tests run the commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        venv.create(folder, symlinks=True, with_pip=False)

    @property
    def site_packages(self) -> Path:
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def link_dependencies(self) -> None:
        """Give it what the tests' own environment has, except what is ours.

        Links, not a .pth to the whole folder: entry points of an editable install would be seen.
        """
        paths = sysconfig.get_paths()
        for folder in dict.fromkeys([paths["purelib"], paths["platlib"]]):
            for entry in Path(folder).iterdir():
                name = entry.name.lower()
                if not name.startswith(OURS) and not name.endswith(".pth"):
                    (self.site_packages / entry.name).symlink_to(entry)

    def add_pip(self) -> None:
        """Give it a ``pip`` that fetches nothing: its packages need what is linked already."""
        script = self.bin / "pip"
        script.write_text(
            f'#!/bin/sh\nexec {sys.executable} -m pip --python {self.bin}/python "$@" '
            "--no-build-isolation --quiet --disable-pip-version-check\n"
        )
        script.chmod(0o755)

    def install(self, *arguments: str | Path) -> None:
        pip("--python", self.bin / "python", "install", "--no-compile", *arguments)

    def run(
        self,
        command: str,
        *arguments: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its commands to the end."""
        return subprocess.run(
            [self.bin / command, *arguments],
            cwd=cwd,
            env={**clean_environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )


def clean_environment() -> dict[str, str]:
    """Of the developer's own environment only what a service would have."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONWARNINGS": "error"}


def pip(*arguments: str | Path) -> None:
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *quiet, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, f"pip {arguments}:\n{done.stdout}{done.stderr}"


def build_wheels(sources: Mapping[str, Path], workshop: Path) -> dict[str, Path]:
    """A wheel of each source tree, by name; built from copies, so that the trees stay clean."""
    for name, source in sources.items():
        shutil.copytree(source, workshop / name, ignore=LEFTOVERS)
    wheels = workshop / "wheels"
    # Without isolation, as it would download setuptools once for each of them.
    trees = [workshop / name for name in sources]
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, *trees)
    return {name: _wheel_of(name, wheels) for name in sources}


def _wheel_of(name: str, wheels: Path) -> Path:
    (found,) = wheels.glob(f"{name.replace('-', '_')}-[0-9]*.whl")
    return found


def copy_of_eventworker(folder: Path) -> Path:
    """What eventworker's own wheel is built from, without the rest of the repository."""
    folder.mkdir()
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.rst", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "eventworker", folder / "eventworker", ignore=LEFTOVERS)
    return folder


def patched(folder: Path, patch: Path) -> None:
    """Apply a patch to a copy of the sources."""
    command = ["git", "apply", str(patch.resolve())]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{patch}: {done.stderr}"


def copy_of_the_tree(folder: Path) -> Path:
    """The repository as a clone of it would be, for commands that leave something there."""
    folder.mkdir(parents=True)
    for entry in ROOT.iterdir():
        if entry.name in ("eventworker", "plugins", "examples", "etc", "docs", "benchmarks"):
            shutil.copytree(entry, folder / entry.name, ignore=LEFTOVERS)
        elif entry.is_file() and entry.suffix in (".py", ".cfg", ".toml", ".rst", ""):
            shutil.copy(entry, folder)
    return folder


def plugin_sources() -> dict[str, Path]:
    """The distributions under plugins/, by name."""
    return {found.parent.name: found.parent for found in ROOT.glob("plugins/*/setup.cfg")}


SAMPLE_PLUGIN = ROOT / "plugins/storyboard-compat/tests/sample-plugin"
PROBES = HERE / "probe_plugins"
TWIN = HERE / "twin_plugin"
