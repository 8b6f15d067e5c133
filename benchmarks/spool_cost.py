"""What a spooled event costs the request that makes it.

``python -m benchmarks.spool_cost`` puts events of a usual size into a spool in a temporary folder
(``--folder`` for another disk) and prints the percentiles of the time until it is there durably:
with one thread, several threads, and several processes; each while the target takes the events,
and while it is away. For comparison: one fsync of the same bytes, and the outbox itself.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import figures
from eventworker import Event, migrations
from eventworker.capture.sinks import outbox_sink
from eventworker.capture.spool import Spool, outbox_target
from eventworker.db import build_engine

Put = Callable[[Event], None]
#: A port that nobody listens at.
AWAY = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"


def one_event(number: int) -> Event:
    """What a middleware makes of a request."""
    return Event(
        author_id=7,
        method="PUT",
        url="https://tracker.example.org/#!/story/12",
        path=f"/v1/stories/{number}",
        status=200,
        resource="story",
        resource_id=number,
    )


def timed(put: Put, count: int, pause: float) -> list[float]:
    """Seconds that each of so many events took, with a pause between them as requests have."""
    taken = []
    for number in range(count):
        event = one_event(number)
        start = time.perf_counter()
        put(event)
        taken.append(time.perf_counter() - start)
        time.sleep(pause)
    return taken


def in_threads(put: Put, threads: int, count: int, pause: float) -> list[float]:
    """The same from several threads at once."""
    taken: list[float] = []
    running = [
        threading.Thread(target=lambda: taken.extend(timed(put, count // threads, pause)))
        for _ in range(threads)
    ]
    for each in running:
        each.start()
    for each in running:
        each.join()
    return taken


def in_processes(put: Put, processes: int, count: int, pause: float) -> list[float]:
    """The same from several processes, forked as a web server forks."""
    readers = []
    for _ in range(processes):
        reader, writer = os.pipe()
        if os.fork() == 0:
            taken = timed(put, count // processes, pause)
            with os.fdopen(writer, "w") as out:
                out.writelines(f"{each}\n" for each in taken)
            os._exit(0)
        os.close(writer)
        readers.append(os.fdopen(reader))
    taken = [float(line) for reader in readers for line in reader]
    for reader in readers:
        reader.close()
        os.wait()
    return taken


def fsyncs(folder: Path) -> Put:
    """A line appended to a file and fsynced: what durability costs at least."""
    file = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def put(event: Event) -> None:
        os.write(file, event.encode())
        os.fsync(file)

    return put


def show(name: str, taken: Sequence[float]) -> dict[str, str | float]:
    """One line of figures, in milliseconds; the same as a row of a table."""
    cuts = statistics.quantiles(taken, n=100)
    p50, p99, worst = 1e3 * cuts[49], 1e3 * cuts[98], 1e3 * max(taken)
    print(f"{name:44} p50 {p50:7.2f}  p99 {p99:7.2f}  worst {worst:7.2f} ms")
    return {"Way": name, "p50 ms": p50, "p99 ms": p99, "worst ms": worst}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--pause", type=float, default=0.002, help="seconds between requests")
    parser.add_argument("--folder", help="on the disk to measure (default: the temporary folder)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as JSON, too")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/tracker.sqlite"
        engine = build_engine(url)
        migrations.upgrade(engine)
        count, pause = options.events, options.pause
        rows.append(show("append and fsync", timed(fsyncs(folder), count, pause)))
        rows.append(show("outbox_sink on SQLite", timed(outbox_sink(engine), count, pause)))
        for state, database in (("target takes them", url), ("target away", AWAY)):
            spool = Spool(folder / f"{state}.spool", outbox_target(database))
            for title, measured in (
                ("one thread", timed(spool, count, pause)),
                ("8 threads", in_threads(spool, 8, count, pause)),
                ("4 processes", in_processes(spool, 4, count, pause)),
            ):
                rows.append(show(f"spool, {title}, {state}", measured))
            spool.close()
        engine.dispose()
    if options.out:
        figures.write(options.out, "spool", rows)


if __name__ == "__main__":
    main()
