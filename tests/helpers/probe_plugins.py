"""Plugins on the import path of the test's own process."""

from pathlib import Path
from textwrap import indent

import pytest
from stevedore.extension import ExtensionManager

from tests.helpers.distributions import install

PLUGIN = """
from oslo_config import cfg

class {name}:
    options = [cfg.StrOpt("{name}_colour", default="red", help="A colour.")]
{declares}

    def __init__(self, config):
        pass

    def enabled(self):
        return True

    def handle(self, event):
        pass
"""


def install_plugins(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *names: str,
    broken: str = "",
    declares: str = "",
    distribution: str = "probes",
) -> None:
    """Make `folder` hold a distribution, found for the length of the test.

    Each of `names` is a plugin with one option; `broken` is one that cannot be imported.
    `declares` is Python for the body of their classes.
    """
    # A name of its own, since Python keeps the modules of earlier tests.
    module = f"probes_{abs(hash(folder))}"
    entry_points = {name: f"{module}:{name}" for name in names}
    if broken:
        entry_points[broken] = f"{module}.missing:X"
    code = "".join(PLUGIN.format(name=name, declares=indent(declares, "    ")) for name in names)
    install(folder, distribution, entry_points, **{module: code})
    monkeypatch.syspath_prepend(str(folder))
    # stevedore keeps what it saw of a group for the life of the process.
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
