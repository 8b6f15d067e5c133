"""The README's first command: the whole path on one machine, without a broker."""

import subprocess
import sys
from pathlib import Path

from tests.acceptance.installation import clean_environment

ROOT = Path(__file__).parents[2]


def test_the_demonstration_ends_by_itself_when_everything_is_handled() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "examples.tracker.demo", "--once"],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    lines = shown.stdout.splitlines()
    assert "event      PATCH task/1" in lines
    assert "  done     PATCH task/1  by subscription" in lines
    assert "  told     eve: task_changed task/1" in lines
    assert "  told     bob: story_changed story/2" in lines
    assert "  told     eve: story_changed story/2" not in lines  # it is private
    assert lines[-1].startswith("13 events, each handled once by each plugin; 10 notifications")
