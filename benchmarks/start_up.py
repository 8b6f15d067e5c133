"""How long the daemon takes from its start to the first event done, and what it costs when idle.

``python -m benchmarks.start_up`` records one event in the embedded queue on SQLite, starts
``storyboard-worker-daemon``, and waits for the row that its plugin writes: seconds from exec to the
commit. Beside it, what no daemon can do without: the same interpreter that only imports SQLAlchemy
and oslo.config. Then it leaves a daemon alone, with the embedded queue and with RabbitMQ and
PostgreSQL, and tells the CPU seconds per minute of each of its processes. PYTHONPATH holds the
plugin, as an installed one would be found.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import figures
from benchmarks.embedded import daemon, fill, running
from eventworker import migrations
from eventworker.db import build_engine
from tests.servers import PostgresServer, RabbitServer
from tests.servers.process import descendants

#: Seconds after which a run is given up.
PATIENCE = 30.0
LEAST = "import sqlalchemy.orm, oslo_config.cfg"


def first_event(folder: Path) -> float:
    """Seconds from exec to the commit of the event that waits."""
    fresh = Path(tempfile.mkdtemp(dir=folder))
    url = f"sqlite:///{fresh}/events.sqlite"
    engine = build_engine(url)
    fill(engine, 1)
    command, env = daemon(fresh, f"[database]\nconnection = {url}\n[notifications]\ndriver = sql\n")
    started = time.monotonic()
    with running(command, env, fresh / "daemon.log"):
        while time.monotonic() < started + PATIENCE:
            with engine.connect() as connection:
                if connection.exec_driver_sql("SELECT count(*) FROM work_done").scalar():
                    found = time.monotonic() - started
                    break
            time.sleep(0.005)
        else:
            raise SystemExit((fresh / "daemon.log").read_text())
    engine.dispose()
    return found


def least() -> float:
    """Seconds of the imports alone."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", LEAST], check=True)
    return time.monotonic() - started


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def surroundings(driver: str, folder: Path) -> Iterator[str]:
    """Options of a daemon with the tables and the broker that it needs."""
    if driver == "sql":
        url = f"sqlite:///{tempfile.mkdtemp(dir=folder)}/events.sqlite"
        migrations.upgrade(build_engine(url))
        yield f"[database]\nconnection = {url}\n[notifications]\ndriver = sql\n"
        return
    with PostgresServer() as postgres, RabbitServer() as rabbit:
        url, vhost = postgres.createdb(), rabbit.add_vhost()
        migrations.upgrade(build_engine(url))
        yield (
            f"[database]\nconnection = {url}\n[notifications]\nrabbit_host = {vhost.host}\n"
            f"rabbit_port = {vhost.port}\nrabbit_userid = {vhost.user}\n"
            f"rabbit_password = {vhost.password}\nrabbit_virtual_host = {vhost.vhost}\n"
        )


def idle(driver: str, folder: Path, seconds: float) -> dict[str, float]:
    """CPU seconds per minute by process: the daemon itself, then its children in their order."""
    fresh = Path(tempfile.mkdtemp(dir=folder))
    with surroundings(driver, folder) as options:
        command, env = daemon(fresh, options)
        log = fresh / "daemon.log"
        with running(command, env, log) as pid:
            until = time.monotonic() + PATIENCE
            while "processes start" not in log.read_text() and time.monotonic() < until:
                time.sleep(0.1)
            time.sleep(3.0)  # the children open their connections
            pids = [pid, *sorted(descendants(pid))]
            before = {each: cpu_seconds(each) for each in pids}
            time.sleep(seconds)
            used = {each: cpu_seconds(each) - before[each] for each in pids}
    names = ["daemon", *(f"child {number}" for number in range(1, len(pids)))]
    return {name: used[each] / seconds * 60 for name, each in zip(names, pids, strict=True)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5, help="starts")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds to watch; 0 for not")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as JSON, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = [(least(), first_event(folder)) for _ in range(options.rounds)]
        imports, first = (statistics.median(each) for each in zip(*pairs, strict=True))
        print(f"imports alone {imports:.2f} s, to the first event {first:.2f} s")
        rows: list[dict[str, str | float]] = [
            {"What": "the imports alone", "Figure": imports, "Unit": "s"},
            {"What": "to the first event done", "Figure": first, "Unit": "s"},
        ]
        for driver in ("sql", "rabbit") if options.idle else ():
            used = idle(driver, folder, options.idle)
            told = ", ".join(f"{each} {seconds:.2f}" for each, seconds in used.items())
            print(f"idle, driver {driver}: {sum(used.values()):.2f} CPU s per minute ({told})")
            what = f"idle, driver {driver}, all processes"
            total = sum(used.values())
            rows.append({"What": what, "Figure": total, "Unit": "CPU s per minute"})
    if options.out:
        figures.write(options.out, "start-up", rows)


if __name__ == "__main__":
    main()
