"""How many events a second: a full queue, worked off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.harness.running import Commit, Plan, run
from benchmarks.harness.servers import Servers

#: The part of the events that is left out at the beginning.
WARM_UP = 0.05


def measure(servers: Servers, plan: Plan) -> dict[str, Any]:
    """Events per second, milliseconds of the processors per event, memory."""
    with run(servers, plan) as running:
        running.queue.fill(plan.events)
        running.start()
        running.open()
        usage = running.wait(plan.events * plan.copies)
        commits = running.finish(plan.events)
    found = {
        "events": plan.events,
        "events_per_second": rate(commits, WARM_UP) / plan.copies,
        "cpu_ms_per_event": usage.cpu_seconds * 1000 / plan.events,
        "rss_mb": usage.rss_mb,
    }
    if plan.failing:
        # The last failures are waited for while nothing else is left to do.
        found["events_per_second_before_the_end"] = rate(commits, WARM_UP, 1 - WARM_UP)
    return found


def rate(commits: Sequence[Commit], first: float, last: float = 1.0) -> float:
    """Rows per second between the commit at the one part of all rows and that at the other.

    Only rows committed after the first moment count, since those of one transaction have one time.
    """
    begin = commits[int(len(commits) * first)].committed
    end = commits[min(int(len(commits) * last), len(commits) - 1)].committed
    counted = sum(begin < each.committed <= end for each in commits)
    return counted / (end - begin)
