"""Messages that come again, that nobody takes, or that the broker refuses."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert

from eventworker.event import Event
from eventworker.outbox.table import outbox_table, row_of
from eventworker.transport import Message
from tests.acceptance.site import EXCHANGE, QUEUE, Site
from tests.faults.scene import Scene
from tests.helpers.events import make_event
from tests.helpers.rabbit import channel_at
from tests.servers import RabbitServer, wait_until

RECOVERED = 30.0


def lines_of(events: Sequence[Event], file: Path) -> Path:
    """The events as `eventworker publish` reads them."""
    with file.open("w") as opened:
        for event in events:
            known = {"id": str(event.id), "time": event.time.isoformat(), "source": event.source}
            opened.write(json.dumps({**json.loads(event.encode()), **known}) + "\n")
    return file


@pytest.mark.family
def test_f28_the_whole_stream_published_again_and_again_is_handled_once(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene = make_scene("F28", site)
    scene.start(workers=2)
    events = scene.producer.produce(100)
    site.send(*events)  # beside the relay
    site.send(*reversed(events))
    file = lines_of(events, site.folder / "again.jsonl")
    site.command("publish", "--quiet", str(file))
    scene.prove("300 messages beside those of the relay")
    scene.judge()
    assert set(scene.probe.calls().values()) == {1}, "a plugin was called with what it has done"


def test_f28_what_was_handled_and_is_published_again_is_handled_once_without_a_broker(
    make_scene: Callable[..., Scene], sql_site: Site
) -> None:
    scene = make_scene("F28", sql_site)
    # SQLite has one writer, and a second process would only wait for it.
    scene.start(workers=1 if sql_site.url.startswith("sqlite") else 2)
    events = scene.producer.produce(60)
    wait_until(lambda: scene.oracle.open_pairs() == 0, 30, "nothing is handled")
    file = lines_of(events, sql_site.folder / "again.jsonl")
    said = sql_site.command("publish", "--quiet", str(file))
    scene.prove(f"published again: {(said.stdout + said.stderr).strip()}")
    scene.judge()


def test_f28_two_relays_at_once_do_nothing_twice(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene = make_scene("F28", site)
    daemons = [scene.start(workers=1), scene.start(workers=1)]
    with scene.producer.stream(rate=150, count=600):
        for daemon in daemons:
            (relay, *_) = [
                int(line.rpartition(" ")[2])
                for line in daemon.output().splitlines()
                if "service relay is process" in line
            ]
            scene.kill(relay)
        wait_until(lambda: scene.producer.committed >= 600, 30, "the producer stands still")
    scene.prove("two relays, killed once each")
    scene.healed()
    scene.judge(within=RECOVERED)


def test_f29_without_a_promise_of_order_events_are_handled_as_they_come(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    """The last one first, and one in the middle much later; nobody waits for it."""
    scene = make_scene("F29", site)
    site.configure(outbox={"relay": False})
    scene.start(workers=2)
    events = scene.producer.produce(40, streams=1)
    gap = events.pop(20)
    site.send(*reversed(events))
    wait_until(lambda: scene.oracle.open_pairs() == len(scene.oracle.plugins), 30, "they wait")
    scene.prove("39 events in the wrong order, and a gap")
    site.send(gap)
    scene.judge(at_rest=False)


@pytest.fixture
def narrow(rabbit_server: RabbitServer) -> Iterator[int]:
    """Channels that are opened now take no message of more bytes than this."""
    bytes_ = 100_000
    before = rabbit_server.evaluate("application:get_env(rabbit, max_message_size)")
    rabbit_server.evaluate(f"application:set_env(rabbit, max_message_size, {bytes_})")
    yield bytes_
    value = before.removeprefix("{ok,").removesuffix("}")
    rabbit_server.evaluate(f"application:set_env(rabbit, max_message_size, {value})")


def test_f31_rows_that_cannot_be_published_die_alone(
    make_scene: Callable[..., Scene], site: Site, narrow: int
) -> None:
    """Somebody writes into the outbox without asking us what AMQP and the broker can take."""
    scene = make_scene("F31", site)
    large = [make_event(resource_after={"text": "x" * narrow}) for _ in range(2)]
    bad = [row_of(Message.of(event)) for event in [*large, make_event()]]
    bad[-1]["resource"] = "\U0001f600" * 100  # 400 bytes; a routing key has 255
    scene.producer.produce(50)
    engine = create_engine(site.url)
    with engine.begin() as connection:
        connection.execute(insert(outbox_table), bad)
    engine.dispose()
    scene.producer.produce(50)  # in the same round of the relay, behind them
    daemon = scene.start(workers=2)
    scene.says(daemon, "never published", len(bad))
    scene.healed()
    scene.judge(within=RECOVERED)
    dead = scene.probe.rows("SELECT error FROM eventworker_outbox WHERE state = 2")
    errors = sorted(error for (error,) in dead)
    assert len(errors) == len(bad)
    assert sum("larger than configured max size" in error for error in errors) == 2
    assert sum("is no routing key" in error for error in errors) == 1


def test_f32_what_a_full_queue_refuses_stays_in_the_outbox(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene, vhost = make_scene("F32", site), site.vhost
    assert vhost
    site.configure(plugin_alpha={"obeys": "hold"}, notifications={"prefetch": 1})
    vhost.server.ctl(
        *("set_policy", "--vhost", vhost.vhost, "full", f"^{QUEUE}$"),
        '{"max-length": 10, "overflow": "reject-publish"}',
        *("--apply-to", "queues"),
    )
    daemon = scene.start(workers=2)
    held = scene.producer.produce(2, resource="hold")
    wait_until(lambda: all(scene.probe.call_pids(each.id) for each in held), 30, "no call begins")
    scene.producer.produce(200)
    scene.says(daemon, "the broker refused it (basic.nack)")
    assert scene.oracle.unsettled() > 100
    scene.probe.give_sign("released")
    scene.healed()
    # Each round takes ten of them, and the next one comes a second later.
    scene.judge(timeout=120)


def test_f32_what_the_broker_returns_stays_in_the_outbox_until_it_is_bound(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    """Bound for some resources only: the others wait, and hold nobody up."""
    scene, vhost = make_scene("F32", site), site.vhost
    assert vhost
    with channel_at(vhost) as channel:
        channel.queue_unbind(QUEUE, EXCHANGE, "#")
    site.configure(notifications={"rabbit_binding_keys": "story"})
    daemon = scene.start(workers=2)
    scene.producer.produce(30, resource="comment")
    scene.producer.produce(30)
    scene.says(daemon, "bound to exchange storyboard for comment")
    wait_until(lambda: scene.oracle.open_pairs() == 90, 30, "the others are held up")
    assert scene.oracle.unsettled() == 30
    with channel_at(vhost) as channel:
        channel.queue_bind(QUEUE, EXCHANGE, "comment")
    scene.healed()
    # They are tried again every half minute.
    scene.judge(within=30 + RECOVERED)
