"""Who is measured, and how each is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    :ivar name: what the tables call it.
    :ivar peer: its folder below ``benchmarks/peers``, of whose environment it takes its programs.
    :ivar package: the distribution whose version the results name.
    :ivar command: a program of that environment with its arguments; ``{processes}``, ``{folder}``
        (of the run), ``{queue}`` and ``{number}`` (of the copy) are filled in.
    :ivar copies: whether each process is a start of the command of its own.
    :ivar envelope: the messages that it reads, see ``messages.py``.
    :ivar carrier: what carries them: "rabbit", or a peer's own way through the database.
    :ivar queue: the queue that it consumes, and `arguments` what it declares that queue with.
    :ivar config: a file of its folder that is put into the run's, with ``{amqp}`` and ``{queue}``
        filled in.
    :ivar kind: "ours", "peer", or "bare" for what only shows what the machine allows.
    :ivar plugins: of eventworker, what ``[plugins] only`` names.
    :ivar load: it gets so many times the events, so that a fast one is measured for long enough.
    :ivar env: more variables of its environment.
    """

    name: str
    peer: str
    package: str
    command: tuple[str, ...]
    copies: bool = True
    envelope: str = "plain"
    carrier: str = "rabbit"
    queue: str = "bench"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    config: str = ""
    kind: str = "peer"
    plugins: tuple[str, ...] = ()
    load: int = 1
    env: Mapping[str, str] = field(default_factory=dict)


def eventworker(name: str, *plugins: str, load: int = 2, carrier: str = "rabbit") -> Contender:
    """The daemon with these plugins."""
    command = ("storyboard-worker-daemon", "--config-file", "{folder}/eventworker.conf")
    return Contender(
        name,
        "eventworker",
        "eventworker",
        (*command, "--worker-count", "{processes}"),
        copies=False,
        carrier=carrier,
        queue="storyboard_events",
        kind="ours",
        plugins=plugins,
        load=load,
    )


def celery(name: str, *pool: str, copies: bool) -> Contender:
    """Celery with a pool of that kind."""
    quiet = ("--without-gossip", "--without-mingle", "--loglevel", "WARNING")
    return Contender(
        name,
        "celery",
        "celery",
        ("celery", "--app", "worker", "worker", *quiet, "--hostname", "%n-{number}@%h", *pool),
        copies=copies,
        envelope="celery",
    )


OURS = (
    eventworker("eventworker", "add", load=4),
    eventworker("eventworker-ordinary", "add_ordinary", load=1),
    eventworker("eventworker-batch", "add_batch", load=8),
)
PEERS = (
    Contender("kombu", "kombu", "kombu", ("python", "worker.py")),
    Contender("storyboard-loop", "storyboard_loop", "pika", ("python", "worker.py")),
    Contender(
        "dramatiq",
        "dramatiq",
        "dramatiq",
        ("dramatiq", "worker", "--processes", "{processes}", "--threads", "8"),
        copies=False,
        envelope="dramatiq",
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "bench.XQ"},
        env={"dramatiq_queue_prefetch": "100"},
    ),
    celery("celery-solo", "--pool", "solo", copies=True),
    celery("celery-prefork", "--pool", "prefork", "--concurrency", "{processes}", copies=False),
    Contender(
        "procrastinate",
        "procrastinate",
        "procrastinate",
        ("procrastinate", "--app", "worker.app", "worker", "--queues", "{queue}"),
        carrier="procrastinate",
    ),
    Contender(
        "faststream",
        "faststream",
        "faststream",
        ("faststream", "run", "worker:app", "--log-level", "warning"),
    ),
    Contender(
        "nameko",
        "nameko",
        "nameko",
        ("nameko", "run", "--config", "{folder}/config.yaml", "worker"),
        config="config.yaml",
    ),
    Contender(
        "taskiq-aio-pika",
        "taskiq_aio_pika",
        "taskiq-aio-pika",
        ("taskiq", "worker", "worker:broker", "--workers", "{processes}", "--log-level", "WARNING"),
        copies=False,
        envelope="taskiq",
        arguments={
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "taskiq.dead_letter",
            "x-queue-type": "classic",
        },
    ),
    Contender(
        "fedora-messaging",
        "fedora_messaging",
        "fedora-messaging",
        ("fedora-messaging", "--conf", "{folder}/config.toml", "consume"),
        envelope="fedora",
        config="config.toml",
    ),
)
BARES = (
    Contender("pika-session", "pika", "pika", ("python", "session.py"), kind="bare"),
    Contender(
        "pika-executemany", "pika", "pika", ("python", "executemany.py"), kind="bare", load=8
    ),
)
_HUEYS_LOOKS = ("--delay", "0.005", "--max-delay", "0.005")
#: Who needs no broker; procrastinate is among the others, too.
EMBEDDED = (
    eventworker("eventworker-sql", "add", carrier="outbox"),
    Contender(
        "huey",
        "huey",
        "huey",
        # Without the options it looks ten times a second, and later once in ten seconds.
        ("huey_consumer", "worker.huey", "--no-periodic", "--quiet", *_HUEYS_LOOKS),
        carrier="huey",
    ),
)
CONTENDERS = {each.name: each for each in (*OURS, *PEERS, *BARES, *EMBEDDED)}
