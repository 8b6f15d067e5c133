"""A long queue: does the rate hold, does the memory stay?"""

from __future__ import annotations

import time
from typing import Any

from benchmarks.harness.running import Plan, run
from benchmarks.harness.servers import Servers
from benchmarks.harness.throughput import WARM_UP, rate

#: Seconds between two samples, at least.
INTERVAL = 1.0


def measure(servers: Servers, plan: Plan) -> dict[str, Any]:
    """As of throughput, and samples: seconds since the start, rows so far, MB of the largest
    process at that moment."""
    samples: list[tuple[float, int, float]] = []
    with run(servers, plan) as running:
        running.queue.fill(plan.events)
        running.start()
        running.open()
        begun = time.monotonic()

        def sample(done: int) -> None:
            now = time.monotonic() - begun
            if not samples or now >= samples[-1][0] + INTERVAL:
                samples.append((round(now, 2), done, round(running.rss_mb(), 1)))

        usage = running.wait(plan.events, sample)
        samples.append(
            (round(time.monotonic() - begun, 2), plan.events, round(running.rss_mb(), 1))
        )
        commits = running.finish(plan.events)
    return {
        "events": plan.events,
        "events_per_second": rate(commits, WARM_UP),
        "cpu_ms_per_event": usage.cpu_seconds * 1000 / plan.events,
        "rss_mb": usage.rss_mb,
        "samples": samples,
    }
