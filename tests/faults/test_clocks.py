"""The clock of the daemon's host jumps; the database's does not, and it alone says what is due."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.site import Site
from tests.faults.scene import Scene
from tests.servers import wait_until
from tests.servers.programs import programs_of

YEAR = 365 * 86400
#: Seconds by which the daemon's clock is wrong, one after the other.
JUMPS = {"an-hour": (3600, -3600, 0), "ten-years": (10 * YEAR, -10 * YEAR, 0)}
BACKOFF = 1.0


#: Python sleeps to an absolute time on the monotonic clock, and libfaketime takes that for one on
#: the clock that it lies about: the processes would sleep for an hour, or fail.
SLEEP = """import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds)
"""


class Clock:
    """The clock of the processes that are started with `env`; all others keep theirs."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        (folder / "sitecustomize.py").write_text(SLEEP)
        self.env = {
            "PYTHONPATH": str(folder),
            "LD_PRELOAD": programs_of("libfaketime")["libfaketime"],
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Be wrong by so much from now on."""
        made = self._file.with_suffix(".new")
        made.write_text(f"{seconds:+d}")
        made.rename(self._file)


def wrong_by(scene: Scene, event_id: str) -> float:
    """How wrong the clock was of the process that handled this event."""
    ((at,),) = scene.probe.rows(
        "SELECT at FROM probe_effect WHERE event_id = :id AND plugin = 'alpha'", id=event_id
    )
    return float(at) - time.time()


def jumped(scene: Scene, jumps: tuple[int, ...]) -> None:
    """An event that fails all the time is tried again at the same pace, whatever the host says."""
    scene.site.configure(
        plugin_beta={"obeys": "boom", "backoff": BACKOFF, "backoff_max": BACKOFF},
        retention={"interval": 1},
    )
    clock = Clock(scene.site.folder)
    scene.start(workers=2, env=clock.env)
    (failing,) = scene.producer.produce(1, resource="boom")
    pair = (str(failing.id), "beta")
    wait_until(lambda: scene.probe.calls()[pair] >= 2, 20, "it is not tried again")
    for jump in jumps:
        clock.set(jump)
        began, before = time.monotonic(), scene.probe.calls()[pair]
        (event, *_) = scene.producer.produce(40)
        wait_until(
            lambda event=event: scene.probe.effects()[str(event.id), "alpha"] == 1, 10, "not done"
        )
        assert abs(wrong_by(scene, str(event.id)) - jump) < 30, "the clock did not jump"
        scene.prove(f"clock wrong by {jump} s")
        # Late: it would not come at all. Early: it would come at once, again and again.
        wait_until(
            lambda before=before: scene.probe.calls()[pair] >= before + 2,
            10 * BACKOFF,
            "a clock that jumped keeps the retry from being made",
        )
        most = (time.monotonic() - began) / (0.75 * BACKOFF) + 2
        assert scene.probe.calls()[pair] - before <= most, "retries come early"
    kept = scene.probe.number("SELECT count(*) FROM eventworker_outbox")
    assert kept == 1 + 40 * len(jumps), "what was sent a moment ago is deleted as years old"
    scene.probe.give_sign("repaired")
    scene.healed()
    assert scene.judge(within=10).dead == 0


@pytest.mark.parametrize("jumps", JUMPS)
def test_f35_a_clock_that_jumps_hurries_nothing_and_delays_nothing(
    make_scene: Callable[..., Scene], site: Site, jumps: str
) -> None:
    jumped(make_scene("F35", site), JUMPS[jumps])


@pytest.mark.parametrize("sql_site", ["database", "maria_database"], indirect=True)
def test_f35_so_it_is_where_the_outbox_is_the_queue(
    make_scene: Callable[..., Scene], sql_site: Site
) -> None:
    jumped(make_scene("F35", sql_site), JUMPS["ten-years"])


@pytest.mark.parametrize("sql_site", ["sqlite_database"], indirect=True)
def test_f35_on_sqlite_the_hosts_clock_is_the_databases_and_nothing_is_done_twice(
    make_scene: Callable[..., Scene], sql_site: Site
) -> None:
    """There leases and retries come early or late by the jump; effects come once all the same."""
    scene = make_scene("F35", sql_site)
    clock = Clock(sql_site.folder)
    scene.start(workers=2, env=clock.env)
    for jump in (3600, 0, 3600, 7200):
        clock.set(jump)
        (event, *_) = scene.producer.produce(20)
        wait_until(
            lambda event=event: scene.probe.effects()[str(event.id), "alpha"] == 1, 20, "not done"
        )
        assert abs(wrong_by(scene, str(event.id)) - jump) < 30, "the clock did not jump"
        scene.prove(f"clock wrong by {jump} s")
    scene.healed()
    scene.judge(within=10)
