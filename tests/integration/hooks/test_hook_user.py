"""The sandbox of an ordinary user, who has a namespace of users made for him."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helpers.hooks import CAPABILITIES, need_full_isolation

ROOT = Path(__file__).parents[3]
#: What the package imports besides would need an environment that user can read.
SCRIPT = """
import json, sys, types
root, codes = sys.argv[1], json.loads(sys.argv[2])
for name in ("eventworker", "eventworker.pubsub"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [f"{root}/{name.replace('.', '/')}"]
from eventworker.pubsub.hooks.limits import Isolation, Limits
from eventworker.pubsub.hooks.pool import Pool
from eventworker.pubsub.hooks.sandbox import Box, SandboxEnded
from eventworker.pubsub.hooks.surroundings import Surroundings
class Unfiltered(Box):
    def locks(self):
        return {**super().locks(), "filter": None}
kind = Unfiltered if sys.argv[3:] else Box
box = kind.of(Isolation.FULL, Surroundings.own([]), Limits(timeout=5, threads=16))
item = dict.fromkeys(("event", "id", "node", "payload", "publisher", "key"), "x")
said = []
for code in codes:
    job = {"type": "python_code", "arg": code, "owner": "a@b", "config": {}, "item": item}
    with Pool(box, 0).take() as sandbox:
        try:
            sandbox.begin(job, 5)
            how = sandbox.receive()["ended"]
        except SandboxEnded as ended:
            how = ended.reason
        said.append([how, sandbox.printed()])
print(json.dumps(said))
"""


THREADS = """
import threading
stop = threading.Event()
for n in range(64):
    threading.Thread(target=stop.wait, daemon=True).start()
"""


def as_user(codes: Sequence[str], *more: str) -> list[list[str]]:
    need_full_isolation()
    user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    for python in (sys.executable, shutil.which("python3", path="/usr/bin")):
        if python is None:
            continue
        command = [python, "-B", "-c", SCRIPT, str(ROOT), json.dumps(codes), *more]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env={"PATH": os.defpath}, cwd="/", **user
            )  # type: ignore[call-overload]
        except PermissionError:
            continue  # root's own Python, of which nobody else may read a file
        if "No module named" in done.stderr or "init_fs_encoding" in done.stderr:
            continue
        if "no sandbox can be made" in done.stderr:
            pytest.skip(f"only root may keep hooks apart here: {done.stderr.splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]
    pytest.skip("there is no Python that an ordinary user can run")


@pytest.mark.row("HK-14")
def test_an_ordinary_user_has_the_same_sandbox() -> None:
    said = as_user(
        [
            "import os; print(os.getuid(), os.path.exists('/etc/passwd'), os.listdir('/tmp'))",
            "import os; os.fork()",
            "import socket; socket.socket()",
            "import os; os._exit(0)",
            "import ctypes\nprint(ctypes.CDLL(None).unshare(0x10000000))",
            THREADS,
            "open('/usr/lib/x', 'w')",
            "for n in range(5000): open(f'/tmp/{n}', 'w').close()",
            "import os; print(sorted(os.environ))",
        ]
    )
    assert said == [
        ["done", "65534 False []\n"],
        ["raised", ""],
        ["raised", ""],
        ["its process ended with exit code 0 before it had answered", ""],
        ["done", "-1\n"],
        ["raised", ""],
        ["raised", ""],
        ["raised", ""],
        ["done", "['HOME', 'LANG', 'PWD']\n"],
    ]


@pytest.mark.row("HK-14")
def test_an_ordinary_user_has_no_capability_left() -> None:
    """Not even those of the namespace that was made for him; seen without the filter."""
    assert as_user([CAPABILITIES], "unfiltered") == [["done", "0 True\n[]\nFalse\n"]]
