"""Plugins on the import path of the test's own process."""

from pathlib import Path

import pytest
from stevedore.extension import ExtensionManager

from tests.helpers.distributions import install

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
    """Make `folder` hold the distribution `probes`, found for the length of the test.

    Each of `names` is a plugin with one option; `broken` is one that cannot be imported.
    """
    # A name of its own, since Python keeps the modules of earlier tests.
    module = f"probes_{abs(hash(folder))}"
    entry_points = {name: f"{module}:{name}" for name in names}
    if broken:
        entry_points[broken] = f"{module}.missing:X"
    code = "".join(PLUGIN.format(name=name) for name in names)
    install(folder, "probes", entry_points, **{module: code})
    monkeypatch.syspath_prepend(str(folder))
    # stevedore keeps what it saw of a group for the life of the process.
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
