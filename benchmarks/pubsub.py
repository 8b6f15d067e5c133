"""Publish-subscribe: our component beside the module of the XMPP server that it is connected to.

``python -m benchmarks.pubsub`` starts a private Prosody and a private PostgreSQL (``make servers``
finds them) and publishes in turns, as a client of slixmpp, to a node of our component and to one of
Prosody's own ``mod_pubsub``. Both nodes have the same subscribers, who are addresses of a component
that counts what it gets. Shown for each number of subscribers are the publications answered per
second, the notifications that arrived per second, and the most memory that both processes had.

Each of our notifications is read and written by Prosody on its way, so what it can do is a limit of
ours. *alone* therefore is our component at a server that only counts what it is sent.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from slixmpp import ClientXMPP
from slixmpp.xmlstream import ET
from sqlalchemy import Engine, text

from benchmarks import figures
from benchmarks.harness.xmpp import Arrivals, CountingComponent, CountingServer
from eventworker import migrations
from eventworker.db import build_engine
from eventworker.pubsub.facts import NewItem
from eventworker.pubsub.options import Settings
from eventworker.pubsub.service import PubSubService
from tests.helpers.slixmpp_client import SlixmppClient
from tests.helpers.xmpp import ComponentProcess, Loop
from tests.servers import PostgresServer, ProsodyServer

OWNER = f"alice@{ProsodyServer.domain}"
COUNTING = f"other.{ProsodyServer.domain}"
ALONE = f"alone.{ProsodyServer.domain}"
PAYLOAD = "<entry xmlns='http://www.w3.org/2005/Atom'><title>A story has changed</title></entry>"
#: Publications of a round, by the number of subscribers; few where each is told to many.
PUBLICATIONS = {1: 200, 1000: 20, 100_000: 1}
#: Seconds that a round may take.
LONGEST = 300.0
#: Copies the first subscription of a node.
SUBSCRIBE = """
INSERT INTO eventworker_pubsub_subscription (node_id, jid, bare, subid, state, options, deliver,
    type, depth, expires_at, temporary, bounces, reminded_at, created_at)
SELECT node_id, address, address, 's' || number, state, options, deliver,
    type, depth, expires_at, temporary, bounces, reminded_at, created_at
FROM eventworker_pubsub_subscription,
    (SELECT number, 'u' || number || '@' || :domain AS address
     FROM generate_series(2, :count) AS number) AS others
WHERE node_id = (SELECT id FROM eventworker_pubsub_node WHERE name = :node)
"""


def name_of(subscribers: int) -> str:
    """Of the node with so many."""
    return f"n{subscribers}"


class ProsodyWithNodes(ProsodyServer):
    """Has nodes with subscribers in its storage when it starts: to add one there, it writes all."""

    def __init__(self, sizes: list[int]) -> None:
        self._sizes = sizes
        super().__init__()

    def _prepare(self) -> None:
        super()._prepare()
        host = f"data/{quote(self.own_service).replace('.', '%2e')}"
        self._home.folder(host)
        self._home.folder(f"{host}/pubsub_nodes")
        for size in self._sizes:
            jids = (f'["u{number}@{COUNTING}"]=true;' for number in range(1, size + 1))
            self._home.file(
                f"{host}/pubsub_nodes/{name_of(size)}.dat",
                f'return {{ ["name"]="{name_of(size)}"; ["config"]={{}};'
                f' ["affiliations"]={{ ["{OWNER}"]="owner"; }};'
                f' ["subscribers"]={{ {"".join(jids)} }}; }};\n',
            )


def make_nodes(engine: Engine, service: str, sizes: list[int]) -> None:
    """Ours, with the same subscribers."""
    settings = Settings(service=service, admins=frozenset({OWNER}))
    admin = settings.actor(OWNER)
    for size in sizes:
        with engine.begin() as connection:
            verbs = PubSubService(connection, settings)
            verbs.create(name_of(size), admin)
            verbs.subscribe(name_of(size), admin, f"u1@{COUNTING}")
            values = {"domain": COUNTING, "count": size, "node": name_of(size)}
            connection.execute(text(SUBSCRIBE), values)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


class Memory:
    """The most that some processes had resident, in MB, while this was watching."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._done = threading.Event()
        self.before = self.most = self._now()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _now(self) -> list[float]:
        return [resident(pid) for pid in self._pids]

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.most = [max(pair) for pair in zip(self.most, self._now(), strict=True)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _value: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()


def resident(pid: int) -> float:
    """MB of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def by_xmpp(loop: Loop, client: ClientXMPP, service: str, node: str, count: int) -> None:
    """Publish, each time waiting for the answer."""

    async def publish() -> None:
        for number in range(count):
            payload = ET.fromstring(PAYLOAD)
            await client.plugin["xep_0060"].publish(
                service, node, id=f"item-{number}", payload=payload, timeout=LONGEST
            )

    loop(publish(), LONGEST)


def by_itself(engine: Engine, node: str, count: int) -> None:
    """Publish as an application does that has the database at hand."""
    settings = Settings(service=ALONE)
    for number in range(count):
        with engine.begin() as connection:
            verbs = PubSubService(connection, settings)
            verbs.publish(node, settings.itself, [NewItem(f"item-{number}", PAYLOAD)])


def measure(
    publish: Callable[[], None], arrivals: Arrivals, count: int, subscribers: int
) -> tuple[float, float]:
    """Publications answered, and notifications arrived, per second."""
    arrivals.start_over()
    begun = time.perf_counter()
    publish()
    answered = time.perf_counter()
    arrived = arrivals.wait_for(count * subscribers, LONGEST)
    return count / (answered - begun), count * subscribers / (arrived - begun)


def main() -> None:
    """Measure in turns and print a line for each number of subscribers and each service."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--subscribers", type=int, nargs="+", default=sorted(PUBLICATIONS))
    parser.add_argument("--rounds", type=int, default=3, help="runs of each")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as JSON, too")
    options = parser.parse_args()
    with ExitStack() as stack:
        rows = compare(stack, options.subscribers, options.rounds)
    if options.out:
        figures.write(options.out, "pubsub", rows)


def compare(stack: ExitStack, sizes: list[int], rounds: int) -> list[dict[str, str | float]]:
    """The rows of the table, which are printed as they are found."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    postgres = stack.enter_context(PostgresServer({"max_wal_size": "4GB"}))
    prosody = stack.enter_context(ProsodyWithNodes(sizes))
    counting = stack.enter_context(CountingComponent(prosody, COUNTING))
    server = stack.enter_context(CountingServer())
    engines, components = {}, {}
    for service, at in ((prosody.component, prosody), (ALONE, None)):
        url = postgres.createdb()
        engines[service] = build_engine(url)
        stack.callback(engines[service].dispose)
        migrations.upgrade(engines[service])
        make_nodes(engines[service], service, sizes)
        (folder / service).mkdir()
        xmpp: dict[str, object] = {} if at else {"port": server.port, "secret": server.secret}
        made = ComponentProcess(
            folder / service, url, at, service, {"admins": OWNER}, {"threads": 4, **xmpp}
        )
        components[service] = stack.enter_context(made)
    loop = stack.enter_context(Loop())
    alice = stack.enter_context(SlixmppClient(loop, prosody, f"{OWNER}/bench", prosody.component))
    alice.client.del_filter("in", alice._keep)  # nobody reads them

    def to(service: str) -> Callable[[str, int], None]:
        return lambda node, count: by_xmpp(loop, alice.client, service, node, count)

    ours, alone = (components[each].process for each in (prosody.component, ALONE))
    assert ours is not None
    assert alone is not None
    contenders: dict[str, tuple[Callable[[str, int], None], Arrivals, list[int]]] = {
        "mod_pubsub": (to(prosody.own_service), counting.arrivals, [prosody.process.pid]),
        "ours": (to(prosody.component), counting.arrivals, [prosody.process.pid, ours.pid]),
        "ours, alone": (
            lambda node, count: by_itself(engines[ALONE], node, count),
            server.arrivals,
            [alone.pid],
        ),
    }
    rows: list[dict[str, str | float]] = []
    print(f"{'subscribers':>11} {'service':<12}{'publ./s':>9}{'notif./s':>10}  MB before, most")
    for size in sizes:
        count = PUBLICATIONS.get(size, max(1, 200_000 // size))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        memory: dict[str, tuple[list[float], list[float]]] = {}
        for turn in range(rounds + 1):
            for name, (publish, arrivals, pids) in contenders.items():
                with Memory(*pids) as watch:
                    rates = measure(
                        lambda: publish(name_of(size), count),  # noqa: B023 - called at once
                        arrivals,
                        count,
                        size,
                    )
                if turn:  # the first of each finds cold caches
                    found[name].append(rates)
                    memory[name] = (watch.before, watch.most)
        for name, rates_of in found.items():
            published, notified = (statistics.median(each) for each in zip(*rates_of, strict=True))
            row: dict[str, str | float] = {"Publications/s": published, "Notifications/s": notified}
            before, most = (" + ".join(f"{mb:.0f}" for mb in each) for each in memory[name])
            print(f"{size:>11} {name:<12}{published:9.1f}{notified:10.0f}  {before}, {most}")
            rows.append(
                {
                    "Subscribers": size,
                    "Service": name,
                    **row,
                    "MB before": before,
                    "MB at most": most,
                }
            )
    return rows


if __name__ == "__main__":
    main()
