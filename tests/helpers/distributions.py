"""Installed distributions made of a few files, found in a fresh Python process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DISCOVER = """
import json, sys, warnings
from eventworker.engine.loader import discover
from eventworker.errors import PluginError
from tests.helpers.configuration import configuration

try:
    found = discover(configuration(plugins=json.loads(sys.argv[1])))
except PluginError as error:
    print(json.dumps({"refused": str(error)}))
else:
    print(json.dumps({
        "loaded": {each.name: sorted(each.arguments) for each in found.loaded},
        "distributions": {each.name: each.distribution for each in found.loaded},
        "off": found.off,
        "broken": found.broken,
        "imported": [name for name in sys.modules if name.startswith("made_")],
    }))
"""


def install(site: Path, distribution: str, entry_points: dict[str, str], **modules: str) -> None:
    """Write what `pip install` would leave in `site`: modules and their entry points."""
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {value}\n" for name, value in entry_points.items())
    (info / "entry_points.txt").write_text(f"[storyboard.plugin.worker]\n{lines}")
    for name, code in modules.items():
        (site / f"{name}.py").write_text(code)


def discovered(site: Path, **plugins: Any) -> dict[str, Any]:
    """What `discover` finds in a process of its own, as stevedore remembers within one.

    :param plugins: options of the group `[plugins]`.
    """
    done = subprocess.run(
        [sys.executable, "-c", DISCOVER, json.dumps(plugins)],
        env={**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", "HOME": str(site)},
        cwd=site,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
