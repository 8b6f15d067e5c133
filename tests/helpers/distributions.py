"""Distributions with worker plugins, as pip would have installed them."""

import sys
from pathlib import Path

import pytest
from stevedore.extension import ExtensionManager

PLUGIN = """
from oslo_config import cfg

class {name}:
    options = [cfg.StrOpt("{name}_colour", default="red", help="A colour.")]

    def __init__(self, config):
        pass

    def enabled(self):
        return True

    def handle(self, event):
        pass
"""


def install_plugins(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str, broken: str = ""
) -> None:
    """Put the distribution `probes` into `folder` and on the import path, for one test.

    Each of `names` is a plugin with one option; `broken` is one that cannot be imported.
    """
    module = f"probes_{abs(hash(folder))}"
    (folder / f"{module}.py").write_text("".join(PLUGIN.format(name=name) for name in names))
    info = folder / "probes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: probes\nVersion: 1.0\n")
    entries = [f"{name} = {module}:{name}" for name in names]
    entries += [f"{broken} = {module}.missing:X"] if broken else []
    (info / "entry_points.txt").write_text("\n".join(["[storyboard.plugin.worker]", *entries]))
    monkeypatch.syspath_prepend(str(folder))
    # stevedore keeps what it saw of a group for the life of the process.
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    monkeypatch.delitem(sys.modules, module, raising=False)
