"""How long an event takes: from its publication to the commit of its row, at a steady rate."""

from __future__ import annotations

from typing import Any

from benchmarks.harness.running import Plan, run
from benchmarks.harness.servers import Servers

#: Events that go ahead, so that all that is lazy is done when the time is taken.
AHEAD = 500
#: Seconds at the beginning that do not count.
SETTLING = 2.0


def measure(servers: Servers, plan: Plan, rate: float, seconds: float) -> dict[str, Any]:
    """Percentiles in milliseconds, of events that come at so many a second, for so long.

    The database knows when each transaction was committed, so that nobody has to look for rows
    meanwhile; publisher and database have one clock.
    """
    with run(servers, plan) as running:
        running.queue.fill(AHEAD)
        running.start()
        running.open()
        ahead = running.wait(AHEAD)
        events = running.queue.publish_steadily(AHEAD, rate, seconds)
        usage = running.wait(AHEAD + events)
        commits = running.finish(AHEAD + events)
    sent = [(each.published, each.committed) for each in commits if each.published is not None]
    begun = min(published for published, _ in sent) + SETTLING
    found = sorted(done - published for published, done in sent if published >= begun)
    return {
        "events": len(found),
        "p50_ms": percentile(found, 0.5) * 1000,
        "p99_ms": percentile(found, 0.99) * 1000,
        "max_ms": found[-1] * 1000,
        "cpu_ms_per_event": (usage.cpu_seconds - ahead.cpu_seconds) * 1000 / events,
        "rss_mb": usage.rss_mb,
    }


def percentile(ordered: list[float], part: float) -> float:
    """The smallest value that so large a part of all does not exceed."""
    return ordered[max(0, -int(-len(ordered) * part) - 1)]
