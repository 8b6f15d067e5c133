"""Whatever a plugin does to its transaction: its effect and the inbox row are there together."""

from collections.abc import Callable

import pytest

from tests.acceptance.site import Site
from tests.faults.scene import Scene

MakeScene = Callable[..., Scene]

#: What the real session would end its transaction by, tamed.
TAMED = ("commits", "rolls_back", "starts_over", "closes", "nests")
#: What is refused, or found out, and what the log says of it.
REFUSED = {
    "commits_and_fails": "failed after a commit",
    "raw_commit": "COMMIT is refused inside handle()",
    "raw_rollback": "ROLLBACK is refused inside handle()",
    "makes_a_table": "CREATE is refused inside handle()",
    "connection_commit": "the connection's own commit() is refused inside handle()",
    "driver_rollback": "TransactionLost",
}


def tries_everything(scene: Scene) -> None:
    every = ", ".join((*TAMED, *REFUSED, "die_after_commit"))
    scene.site.configure(plugin_alpha={"obeys": every}, plugin_gamma={"obeys": every})
    daemon = scene.start()
    for name in TAMED:
        scene.producer.produce(5, resource=name)
    for name, said in REFUSED.items():
        scene.producer.produce(1, resource=name)
        scene.producer.produce(2)
        # Two plugins, and at least two attempts of each.
        scene.says(daemon, said, times=4)
    assert {state for state, _, _ in scene.probe.deliveries().values()} <= {"retry", "pending"}
    refused = sum(1 for _, plugin in scene.probe.deliveries() if plugin != "beta")
    assert refused == 2 * len(REFUSED), "something that was refused was done all the same"
    scene.probe.give_sign("repaired")
    scene.healed()
    verdict = scene.judge(within=15)
    assert verdict.events == 5 * len(TAMED) + 3 * len(REFUSED)


def test_f11_a_plugin_that_commits_and_rolls_back_as_it_likes(
    make_scene: MakeScene, site: Site
) -> None:
    tries_everything(make_scene("F11", site))


def test_f11_so_it_is_where_the_outbox_is_the_queue(make_scene: MakeScene, sql_site: Site) -> None:
    tries_everything(make_scene("F11", sql_site))


@pytest.mark.parametrize("kind", ["database", "maria_database"])
def test_f11_what_the_drivers_commit_forced_through_has_its_inbox_row(
    make_scene: MakeScene,
    make_site: Callable[..., Site],
    request: pytest.FixtureRequest,
    kind: str,
) -> None:
    """Nothing can refuse it. It is found out, and reported; what it has committed is the whole
    transaction, and that is not done again. On SQLite, where the inbox row comes last, it would
    be."""
    site = make_site(request.getfixturevalue(kind))
    scene = make_scene("F11", site)
    site.configure(plugin_alpha={"obeys": "driver_commit"})
    daemon = scene.start()
    scene.producer.produce(3, resource="driver_commit")
    scene.producer.produce(10)
    scene.says(daemon, "TransactionLost", times=3)
    scene.judge()
