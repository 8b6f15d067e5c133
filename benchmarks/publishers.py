"""Many who publish at once: all to one node, beside each to a node of his own.

``python -m benchmarks.publishers`` starts a private PostgreSQL that flushes (``make servers`` finds
it) and as many processes as there are publishers. In turns they publish for some seconds to one
node, whose lock each of them waits for, and to nodes of their own; with nobody subscribed, since
subscribers cost a publisher nothing. Shown are publications per second, their ratio, and the
milliseconds that one takes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from benchmarks import figures
from eventworker import migrations
from eventworker.db import build_engine, short_transaction
from eventworker.pubsub.facts import NewItem
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from tests.servers import PostgresServer

PAYLOAD = "<entry xmlns='http://www.w3.org/2005/Atom'><title>A story has changed</title></entry>"
ONE, OWN = "one node", "nodes of their own"


def node_of(shape: str, number: int) -> str:
    """Where a publisher publishes to."""
    return "one" if shape == ONE else f"own {number}"


def publisher(url: str, number: int, turns: list[str], seconds: float, together: Barrier) -> Any:
    """Publish in each turn until its time is over; the durations of each turn."""
    engine = build_engine(url)
    settings = Settings()

    def publish(node: str, key: str) -> float:
        begun = time.perf_counter()
        with short_transaction(engine) as connection:
            verbs = PubSubService(connection, settings)
            verbs.publish(node, settings.itself, [NewItem(key, PAYLOAD)])
        return time.perf_counter() - begun

    taken: list[list[float]] = []
    for turn, shape in enumerate(turns):
        node = node_of(shape, number)
        publish(node, f"warm {number}")
        together.wait()
        end = time.perf_counter() + seconds
        took: list[float] = []
        while time.perf_counter() < end:
            took.append(publish(node, f"{turn} {number} {len(took) % 100}"))
        taken.append(took)
    engine.dispose()
    return taken


def measure(url: str, publishers: int, seconds: float, rounds: int) -> dict[str, list[list[float]]]:
    """Durations of the publications of each turn, by shape."""
    turns = [ONE, OWN] * rounds
    with multiprocessing.Manager() as manager:
        together: Any = manager.Barrier(publishers)
        with multiprocessing.Pool(publishers) as pool:
            jobs = [(url, number, turns, seconds, together) for number in range(publishers)]
            found = pool.starmap(publisher, jobs, chunksize=1)
    taken: dict[str, list[list[float]]] = {ONE: [], OWN: []}
    for turn, shape in enumerate(turns):
        taken[shape].append([each for one in found for each in one[turn]])
    return taken


def make_nodes(url: str, publishers: int) -> None:
    """All that are published to."""
    engine = build_engine(url)
    migrations.upgrade(engine)
    settings = Settings()
    names = {node_of(shape, number) for shape in (ONE, OWN) for number in range(publishers)}
    for name in sorted(names):
        with short_transaction(engine) as connection:
            PubSubService(connection, settings).create(name, settings.itself)
    engine.dispose()


def main() -> None:
    """Measure in turns and print a line for each number of publishers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--publishers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=4, help="of each turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as JSON, too")
    options = parser.parse_args()
    rows: list[dict[str, str | float]] = []

    def in_all(turns: list[list[float]]) -> float:
        return statistics.median(len(each) / options.seconds for each in turns)

    with PostgresServer() as server:
        for number in options.publishers:
            url = server.createdb()
            make_nodes(url, number)
            taken = measure(url, number, options.seconds, options.rounds)
            one, own = in_all(taken[ONE]), in_all(taken[OWN])
            waits = {
                shape: statistics.median(t for turn in turns for t in turn) * 1000
                for shape, turns in taken.items()
            }
            rows.append(
                {
                    "Publishers": number,
                    "One node, publications/s": one,
                    "ms": waits[ONE],
                    "Own nodes, publications/s": own,
                    "ms ": waits[OWN],
                    "times": own / one,
                }
            )
            print(", ".join(f"{title.strip()} {_shown(cell)}" for title, cell in rows[-1].items()))
    if options.out:
        figures.write(options.out, "publishers", rows)


def _shown(cell: str | float) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)


if __name__ == "__main__":
    main()
