"""The weaker isolation, for machines without namespaces: limits, and no more."""

import logging
from dataclasses import replace

import pytest

from eventworker.engine.child import Child
from eventworker.engine.slot import Slot
from eventworker.pubsub.hooks.limits import Isolation
from eventworker.pubsub.hooks.sandbox import Box
from eventworker.pubsub.hooks.service import _box
from eventworker.pubsub.hooks.surroundings import Surroundings
from tests.helpers.hooks import LIMITS, Hooks, call

pytestmark = pytest.mark.row("HK-14")


@pytest.fixture
def box() -> Box:
    return Box.of(Isolation.PROCESS, Surroundings.own([]), LIMITS)


def test_memory_files_and_time_have_an_end(box: Box) -> None:
    assert "MemoryError" in call("bytearray(2 ** 30)", box).error
    assert call("while True: pass", box, timeout=0.5).error == "it took too long"
    code = "import tempfile\ntempfile.TemporaryFile().write(bytes(2 ** 23))"
    assert "File too large" in call(code, box).error


def test_neither_environment_nor_files_are_inherited(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "sings")
    assert call("import os; print('CANARY' in os.environ)", box).output == "False\n"


def test_no_privilege_can_be_gained(box: Box) -> None:
    code = "import ctypes; print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))"
    assert call(code, box).output == "1\n"


def test_it_is_warned_of(hooks: Hooks, caplog: pytest.LogCaptureFixture) -> None:
    options = replace(hooks.options, isolation=Isolation.PROCESS)
    with caplog.at_level(logging.WARNING):
        assert _box(options, Child(Slot())) is not None
    assert "a hook can read, write and reach whatever this user can" in caplog.text
