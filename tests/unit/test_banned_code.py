"""What makes code or gigabytes out of bytes is refused by the linter, so that none comes in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUFF = (sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=json")


def complaints(place: str, source: str) -> set[str]:
    """The rules that refuse this source as a file of that place."""
    checked = subprocess.run(
        [*RUFF, "--stdin-filename", place, "-"],
        input=source.encode(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=False,
    )
    return {each["code"] for each in json.loads(checked.stdout)}


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("import pickle", "TID251"),
        ("from marshal import loads", "TID251"),
        ("import shelve", "TID251"),
        ("import yaml", "TID251"),
        ("import gzip", "TID251"),
        ("from lzma import open", "TID251"),
        ("import zlib\nzlib.decompress(b'')", "TID251"),
        ("eval('1')", "S307"),
        ("exec('1')", "S102"),
        ("import hashlib\nhashlib.md5(b'')", "S324"),
        ("import ssl\nssl._create_unverified_context()", "S323"),
        ("import subprocess\nsubprocess.run('ls', shell=True)", "S602"),
        ("def f(session, name):\n    session.execute(f'SELECT a FROM {name}')", "S608"),
    ],
)
def test_the_linter_refuses_it_in_what_is_shipped(line: str, rule: str) -> None:
    for place in ("eventworker/cli/new.py", "plugins/eventworker-audit/eventworker_audit/new.py"):
        assert rule in complaints(place, line + "\n")


def test_the_linter_refuses_nothing_else_by_these_rules() -> None:
    sound = "import json\nimport zlib\n\nprint(json.loads(b'1'), zlib.crc32(b''))\n"
    assert complaints("eventworker/cli/new.py", sound) == set()
