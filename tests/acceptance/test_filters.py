"""A plugin's own condition is foreign code: it may hang, or take its process down."""

from tests.acceptance.probe import Probe, once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until


def test_a_condition_that_crashes_or_hangs_is_given_up_on_and_nobody_else_is_hurt(
    site: Site, probe: Probe
) -> None:
    site.configure(
        plugins={"only": "alpha, choosy"},
        plugin_alpha={"condition": "resource != spam"},
        plugin_choosy={"obeys": "killed, hang", "max_attempts": 2, "handler_timeout": 2},
    )
    site.start(workers=2)
    bad = [make_event(resource="killed"), make_event(resource="hang")]
    good = [make_event(resource_id=number) for number in range(20)]
    unwanted = [make_event(resource="user") for _ in range(10)]
    spam = make_event(resource="spam")
    site.send(*good[:10], bad[0], *unwanted, bad[1], spam, *good[10:])

    wait_until(lambda: len(probe.dead()) == 2, 60, lambda: f"so far: {probe.deliveries()}")
    site.wait_for([*good, *bad, *unwanted], "alpha")
    site.wait_for([*good, spam], "choosy")
    site.stop_all()

    assert probe.effects() == probe.calls()
    assert probe.calls() == once([*good, *bad, *unwanted], "alpha") + once([*good, spam], "choosy")
    errors = {pair[0]: row[1:] for pair, row in probe.deliveries().items()}
    for event, said in zip(
        bad, ("killed by signal SIGKILL during the call", "wants(): Handler"), strict=True
    ):
        attempts, error = errors[str(event.id)]
        assert attempts == 2
        assert said in error
