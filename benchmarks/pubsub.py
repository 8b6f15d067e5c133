"""Publish-subscribe: our component beside the module of the XMPP server that it is connected to.

``python -m benchmarks.pubsub`` starts a private Prosody and a private PostgreSQL (``make servers``
finds them) and publishes in turns, as a client of slixmpp, to a node of our component and to one of
Prosody's own ``mod_pubsub``. Both nodes have the same subscribers, who are addresses of a component
that counts what it gets. Shown for each number of subscribers are the publications answered per
second, the notifications that arrived per second, and the most memory that both processes had.

Each of our notifications is read and written by Prosody on its way, which bounds what arrives.
*limit* is that bound: the same messages, made beforehand, from a component that does nothing but
send them. *alone* is our component at a server that only counts what it is sent.
"""

from __future__ import annotations

import argparse
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
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

Cell = str | float

OWNER = f"alice@{ProsodyServer.domain}"
COUNTING = f"other.{ProsodyServer.domain}"
BARE = f"several.{ProsodyServer.domain}"
ALONE = f"alone.{ProsodyServer.domain}"
PAYLOAD = "<entry xmlns='http://www.w3.org/2005/Atom'><title>A story has changed</title></entry>"
SIZES = [1, 1000, 100_000]
#: Seconds that a round may take.
LONGEST = 300.0
#: Copies the first subscription of a node.
SUBSCRIBE = """
INSERT INTO eventworker_pubsub_subscription (node_id, jid, bare, subid, asked_for, state, options,
    deliver, type, depth, expires_at, temporary, bounces, reminded_at, created_at)
SELECT node_id, address, address, 's' || number, asked_for, state, options, deliver,
    type, depth, expires_at, temporary, bounces, reminded_at, created_at
FROM eventworker_pubsub_subscription,
    (SELECT number, 'u' || number || '@' || :domain AS address
     FROM generate_series(2, :count) AS number) AS others
WHERE node_id = (SELECT id FROM eventworker_pubsub_node WHERE name = :node)
"""


def publications(subscribers: int) -> int:
    """Of a round; few where each is told to many."""
    return min(200, max(1, 20_000 // subscribers))


def name_of(subscribers: int) -> str:
    """Of the node with so many."""
    return f"n{subscribers}"


class ProsodyWithNodes(ProsodyServer):
    """Has nodes with subscribers in its storage when it starts: to add one there, it writes all."""

    def __init__(self, sizes: Sequence[int]) -> None:
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


def make_nodes(engine: Engine, service: str, sizes: Sequence[int]) -> None:
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

    @staticmethod
    def text(sizes: Sequence[float]) -> str:
        """As a cell."""
        return " + ".join(f"{size:.0f}" for size in sizes)

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


def by_bare_socket(sender: CountingComponent, sample: bytes, subscribers: int) -> None:
    """Send what a publication would, without one."""
    template = re.sub(rb" to='u\d+@", b" to='u%d@", sample.replace(ALONE.encode(), BARE.encode()))
    sender.send(b"".join(template % number for number in range(1, subscribers + 1)))


@dataclass(frozen=True)
class Contender:
    """Who tells subscribers.

    :ivar publish: to a node, so many items; returns when the last is answered.
    :ivar pids: the processes whose memory is shown.
    :ivar answers: whether there is an answer to wait for.
    """

    name: str
    publish: Callable[[str, int], None]
    arrivals: Arrivals
    pids: Sequence[int]
    answers: bool = True


def compare(stack: ExitStack, sizes: Sequence[int], rounds: int) -> Iterator[dict[str, Cell]]:
    """The rows of the table, as they are found."""
    contenders = start(stack, sizes)
    for size in sizes:
        count = publications(size)
        found: dict[str, list[tuple[float, float]]] = {each.name: [] for each in contenders}
        memory: dict[str, Memory] = {}
        warming_up = size < 10_000  # what the first of a few finds cold
        for turn in range(rounds + warming_up):
            for each in contenders:
                with Memory(*each.pids) as memory[each.name]:
                    rates = measure(each, count, size)
                if turn or not warming_up:
                    found[each.name].append(rates)
        published, notified = (
            {name: statistics.median(rates[place] for rates in of) for name, of in found.items()}
            for place in (0, 1)
        )
        base = contenders[0].name
        for each in contenders:
            name = each.name
            yield {
                "Subscribers": size,
                "Service": name,
                "Publications/s": published[name] if each.answers else "",
                "times": published[name] / published[base] if each.answers else "",
                "Notifications/s": notified[name],
                "times ": notified[name] / notified[base],
                "MB before": memory[name].text(memory[name].before),
                "MB at most": memory[name].text(memory[name].most),
            }


def measure(who: Contender, count: int, subscribers: int) -> tuple[float, float]:
    """Publications answered, and notifications arrived, per second."""
    who.arrivals.start_over()
    begun = time.perf_counter()
    who.publish(name_of(subscribers), count)
    answered = time.perf_counter()
    arrived = who.arrivals.wait_for(count * subscribers, LONGEST)
    return count / (answered - begun), count * subscribers / (arrived - begun)


def start(stack: ExitStack, sizes: Sequence[int]) -> list[Contender]:
    """Everything that it takes, until the stack is left."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    postgres = stack.enter_context(PostgresServer({"max_wal_size": "4GB"}))
    prosody = stack.enter_context(ProsodyWithNodes(sizes))
    counting = stack.enter_context(CountingComponent(prosody, COUNTING))
    bare = stack.enter_context(CountingComponent(prosody, BARE))
    server = stack.enter_context(CountingServer())
    engines, pids = {}, {}
    for service, at in ((prosody.component, prosody), (ALONE, None)):
        url = postgres.createdb()
        engines[service] = build_engine(url)
        stack.callback(engines[service].dispose)
        migrations.upgrade(engines[service])
        make_nodes(engines[service], service, sizes)
        (folder / service).mkdir()
        xmpp = {} if at else {"port": server.port, "secret": server.secret}
        made = ComponentProcess(folder / service, url, at, service, {"admins": OWNER}, xmpp)
        component = stack.enter_context(made).process
        assert component is not None
        pids[service] = component.pid
    loop = stack.enter_context(Loop())
    alice = stack.enter_context(SlixmppClient(loop, prosody, f"{OWNER}/bench", prosody.component))
    alice.client.del_filter("in", alice._keep)  # nobody reads them
    by_itself(engines[ALONE], name_of(sizes[0]), 1)
    server.arrivals.wait_for(sizes[0], LONGEST)

    def limit(node: str, count: int) -> None:
        for _ in range(count):
            by_bare_socket(bare, server.sample, int(node.removeprefix("n")))

    its = prosody.process.pid
    return [
        Contender(
            "mod_pubsub",
            partial(by_xmpp, loop, alice.client, prosody.own_service),
            counting.arrivals,
            [its],
        ),
        Contender(
            "ours",
            partial(by_xmpp, loop, alice.client, prosody.component),
            counting.arrivals,
            [its, pids[prosody.component]],
        ),
        Contender("limit", limit, counting.arrivals, [its], answers=False),
        Contender(
            "ours, alone", partial(by_itself, engines[ALONE]), server.arrivals, [pids[ALONE]]
        ),
    ]


def main() -> None:
    """Measure in turns and print a line for each number of subscribers and each service."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--subscribers", type=int, nargs="+", default=SIZES)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as JSON, too")
    options = parser.parse_args()
    rows: list[dict[str, Cell]] = []
    with ExitStack() as stack:
        for row in compare(stack, options.subscribers, options.rounds):
            if not rows:
                print(" ".join(f"{title:>15}" for title in row))
            print(" ".join(f"{_shown(cell):>15}" for cell in row.values()), flush=True)
            rows.append(row)
            if options.out:  # what is found is kept if the rest takes too long
                figures.write(options.out, "pubsub", rows)


def _shown(cell: Cell) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)


if __name__ == "__main__":
    main()
