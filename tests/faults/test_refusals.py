"""A database that is there and says no: not now, not you, not so many, or nothing at all.

What the database asks for costs no attempt: with one attempt to spend, a dead letter would show it.
What a plugin makes of an error is the plugin's, and is never taken for done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, make_url, text

from tests.acceptance.site import Site
from tests.faults.proxy import Proxy
from tests.faults.scene import PLUGINS, Scene
from tests.servers import MariaServer, PostgresServer, wait_until

RECOVERED = 10.0
LOCKS = ("CREATE TABLE probe_lock (id INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT NULL)",)
LOCKS += ("INSERT INTO probe_lock VALUES (1, 0), (2, 0)",)

here = pytest.mark.parametrize("sql_site", ["database", "maria_database"], indirect=True)


def frugal(scene: Scene, **obeys: str) -> Scene:
    """One attempt is all that there is."""
    orders: dict[str, dict[str, Any]] = {name: {"max_attempts": 1} for name in PLUGINS}
    for name, behaviours in obeys.items():
        orders[name]["obeys"] = behaviours
    scene.site.configure(**{f"plugin_{name}": options for name, options in orders.items()})
    scene.probe.execute(*LOCKS)
    return scene


def counted(scene: Scene) -> list[int]:
    """What stands in the rows that plugins count in."""
    return [n for (n,) in scene.probe.rows("SELECT n FROM probe_lock ORDER BY id")]


def settings(site: Site, **values: str) -> None:
    """Settings of the site's own database on PostgreSQL, for the sessions to come."""
    name = make_url(site.url).database
    site.probe.execute(*(f"ALTER DATABASE {name} SET {key} = {v}" for key, v in values.items()))


@contextmanager
def locked_row(site: Site) -> Iterator[Connection]:
    """Somebody else holds the row that plugins count in."""
    engine = create_engine(site.url)
    with engine.connect() as connection:
        connection.execute(text("SELECT n FROM probe_lock WHERE id = 1 FOR UPDATE"))
        yield connection
    engine.dispose()


@here
def test_f26_a_deadlock_of_two_plugins_is_broken_and_costs_no_attempt(
    make_scene: Callable[..., Scene], sql_site: Site
) -> None:
    scene = frugal(make_scene("F26", sql_site), alpha="one_then_two", beta="two_then_one")
    daemon = scene.start(workers=2)
    # The one consumer must not lease both of them.
    scene.producer.produce(1, resource="one_then_two")
    wait_until(lambda: (scene.probe.folder / "locked-1").exists(), 20, "the call does not begin")
    scene.producer.produce(1, resource="two_then_one")
    scene.says(daemon, "deadlock" if "postgres" in sql_site.url else "Deadlock")
    scene.healed()
    assert scene.judge(within=RECOVERED).dead == 0
    assert counted(scene) == [2, 2]


def test_f26_transactions_that_cannot_be_serialized_are_done_again(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene = frugal(make_scene("F26", site), alpha="count", beta="count")
    settings(site, default_transaction_isolation="'serializable'")
    daemon = scene.start(workers=3)
    events = scene.producer.produce(60, resource="count")
    scene.says(daemon, "could not serialize access")
    scene.healed()
    assert scene.judge(within=20).dead == 0
    assert counted(scene)[0] == 2 * len(events)


@here
def test_f26_a_lock_that_is_not_given_in_time_costs_no_attempt(
    make_scene: Callable[..., Scene], sql_site: Site, request: pytest.FixtureRequest
) -> None:
    scene = frugal(make_scene("F26", sql_site), alpha="count")
    if "postgres" in sql_site.url:
        settings(sql_site, lock_timeout="'200ms'")
    else:
        server: MariaServer = request.getfixturevalue("maria_server")
        server.execute("SET GLOBAL innodb_lock_wait_timeout = 1")
        request.addfinalizer(
            lambda: server.execute("SET GLOBAL innodb_lock_wait_timeout = DEFAULT")
        )
    daemon = scene.start(workers=1)
    with locked_row(sql_site):
        scene.producer.produce(2, resource="count")
        # More often than a call is redone at once, so it was postponed in between.
        scene.says(daemon, "the database asks to do it again", times=7, timeout=40)
        assert "lock timeout" in daemon.output() or "Lock wait timeout" in daemon.output()
    scene.healed()
    assert scene.judge(within=RECOVERED).dead == 0
    assert counted(scene)[0] == 2


def test_f26_a_statement_that_takes_too_long_is_the_plugins_fault(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    """As a call that takes too long is: tried again for ever it would be no use to anybody."""
    scene = make_scene("F26", site)
    scene.probe.execute(*LOCKS)
    site.configure(plugin_alpha={"obeys": "count"})
    settings(site, statement_timeout="'200ms'")
    daemon = scene.start(workers=1)
    with locked_row(site):
        (event,) = scene.producer.produce(1, resource="count")
        scene.says(daemon, "canceling statement due to statement timeout")
        wait_until(
            lambda: scene.probe.deliveries().get((str(event.id), "alpha"), ("", 0, ""))[1] >= 1,
            20,
            "no attempt is spent",
        )
    scene.healed()
    scene.judge(within=RECOVERED)
    assert counted(scene)[0] == 1


def worker_role(site: Site) -> str:
    """The daemons get a user of their own; its name."""
    name = f"worker_{make_url(site.url).database}"
    site.probe.execute(
        f"CREATE ROLE {name} LOGIN",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}",
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}",
    )
    url = make_url(site.url).set(username=name).render_as_string(hide_password=False)
    site.configure(database={"connection": url})
    return name


def drop_role(site: Site, name: str) -> None:
    site.probe.execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def end_sessions(site: Site, role: str) -> int:
    return site.probe.number(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = :role",
        role=role,
    )


def test_f26_sessions_that_an_administrator_ends_are_begun_anew(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene = frugal(make_scene("F26", site))
    role = worker_role(site)
    scene.start(workers=2)
    ended = 0
    with scene.producer.stream(rate=20, count=100_000):
        for goal in range(20, 221, 20):
            wait_until(lambda goal=goal: scene.probe.effect_count() >= goal, 30, "it stands still")
            ended += end_sessions(site, role)
    assert ended >= 10
    scene.prove(f"pg_terminate_backend: {ended} sessions")
    scene.healed()
    assert scene.judge(within=RECOVERED).dead == 0
    drop_role(site, role)


def test_f26_too_many_connections_are_waited_out(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    scene = frugal(make_scene("F26", site))
    role = worker_role(site)
    daemon = scene.start(workers=2)
    with scene.producer.stream(rate=20, count=100_000):
        wait_until(lambda: scene.probe.effect_count() >= 60, 30, "nothing is handled")
        site.probe.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
        end_sessions(site, role)
        scene.says(daemon, "too many connections for role")
        daemon.says("consumption pauses", times=2)
        site.probe.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
        scene.healed()
        daemon.says("the database answers again; consumption goes on", times=2)
    assert scene.judge(within=RECOVERED).dead == 0
    drop_role(site, role)


def swallowed(scene: Scene, behaviour: str) -> None:
    """Calls that leave nothing behind but an event that looks handled, between good ones."""
    scene.site.configure(plugin_alpha={"obeys": behaviour})
    scene.start(workers=2)
    scene.producer.produce(20)
    bad = scene.producer.produce(4, resource=behaviour)
    scene.producer.produce(20)
    wait_until(
        lambda: all(scene.probe.calls()[str(event.id), "alpha"] for event in bad), 30, "no call"
    )
    scene.prove(f"{len(bad)} events were called with that {behaviour}")
    scene.probe.give_sign("repaired")
    scene.healed()
    assert scene.judge(timeout=20).dead == 0


def test_f26_a_plugin_that_swallows_the_loss_of_its_transaction_is_called_again(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    swallowed(make_scene("F26", site), "swallow")


def test_f26_so_it_is_where_the_outbox_is_the_queue(
    make_scene: Callable[..., Scene], sql_site: Site
) -> None:
    swallowed(make_scene("F26", sql_site), "swallow")


def test_f26_a_plugin_that_undoes_everything_and_fails_is_called_again(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    swallowed(make_scene("F26", site), "stumble")


def test_f27_a_transaction_that_idles_too_long_is_ended_and_done_again(
    make_scene: Callable[..., Scene], site: Site, postgres_server: PostgresServer
) -> None:
    scene = frugal(make_scene("F27", site), alpha="hold")
    settings(site, idle_in_transaction_session_timeout="'300ms'")
    scene.start(workers=2)
    log = postgres_server.home / "postgres.log"
    before = log.read_text().count("idle-in-transaction timeout")
    scene.producer.produce(10)
    scene.producer.produce(1, resource="hold")
    wait_until(
        lambda: log.read_text().count("idle-in-transaction timeout") > before, 20, "it is not ended"
    )
    scene.prove("the server's log: idle-in-transaction timeout")
    scene.probe.give_sign("released")
    scene.healed()
    assert scene.judge(within=RECOVERED).dead == 0


@here
def test_f27_connections_that_a_pooler_cuts_between_transactions_are_opened_anew(
    make_scene: Callable[..., Scene], sql_site: Site, proxied: Callable[[Site], Proxy]
) -> None:
    proxy = proxied(sql_site)
    scene = frugal(make_scene("F27", sql_site))
    scene.start(workers=2)
    for cuts in range(5):
        scene.producer.produce(10)
        wait_until(lambda: scene.oracle.open_pairs() == 0, 20, f"it stands still after {cuts}")
        proxy.cut()
    assert proxy.seen["cut"] >= 5
    scene.prove(f"{proxy.seen['cut']} connections cut at rest")
    scene.healed()
    scene.producer.produce(10)
    assert scene.judge(within=RECOVERED).dead == 0


def test_f27_a_plugin_that_takes_all_connections_keeps_nobody_else_from_work(
    make_scene: Callable[..., Scene], site: Site
) -> None:
    """It is interrupted while it waits for one more; the one of its call is given back.

    A consumer of the embedded queue on PostgreSQL may need that one to listen. It then ends when it
    has waited for another for half a minute, and is replaced.
    """
    scene = make_scene("F27", site)
    site.configure(plugin_alpha={"obeys": "hoard", "handler_timeout": 2})
    daemon = scene.start(workers=2)
    scene.producer.produce(1, resource="hoard")
    scene.says(daemon, "HandlerTimeout", times=3)
    scene.producer.produce(20)
    wait_until(lambda: scene.oracle.open_pairs() == 1, 20, "the others are not handled")
    scene.probe.give_sign("repaired")
    scene.healed()
    assert scene.judge(within=RECOVERED).dead == 0
