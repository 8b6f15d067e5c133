"""What a plugin leaves in its process does not change what becomes of any event."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.site import Site
from tests.faults.scene import Scene

MakeScene = Callable[..., Scene]

#: Behaviour, and what the log says of it; of the rest nothing has to be said.
LEFTOVERS = {
    "threads": "",
    "files": "",
    "children": "",
    "stray": "a process that the plugin forked came back from the call",
    "stray_that_fails": "a process that the plugin forked came back from the call",
    "takes_signals": "it changed the handler of SIGTERM, the handler of SIGHUP, "
    "the handler of SIGCHLD of its process",
    "blocks_signals": "it changed the blocked signals of its process",
    "moves": "it changed the working folder of its process",
    "masks": "it changed the umask of its process",
    "speaks": "it changed the locale of its process",
}


def left_behind(scene: Scene) -> None:
    """Each of them three times in each of two processes or so, then a call that has to be
    interrupted, then SIGHUP and SIGTERM, which the same processes have to hear."""
    probe = scene.probe
    every = ", ".join((*LEFTOVERS, "hang"))
    scene.site.configure(plugin_alpha={"obeys": every, "max_attempts": 2, "handler_timeout": 1})
    daemon = scene.start()
    before = daemon.children("consumer")
    for name, said in LEFTOVERS.items():
        scene.producer.produce(3, resource=name)
        if said:
            scene.says(daemon, said)
    scene.producer.produce(20)
    scene.producer.produce(1, resource="hang")
    # By the alarm, and not by the daemon's kill: the processes live on.
    scene.says(daemon, "HandlerTimeout: the call took longer than its limit of 1 s", times=2)
    scene.drained()
    assert daemon.children("consumer") == before, "a process died of it"
    for pid in before:
        assert Path(f"/proc/{pid}/cwd").resolve() == scene.site.folder.resolve()
        assert "Umask:\t0777" not in Path(f"/proc/{pid}/status").read_text()

    scene.site.configure(DEFAULT={"debug": False})
    daemon.signal(signal.SIGHUP)
    began = time.monotonic()
    scene.judge()
    assert time.monotonic() - began < 10, "somebody did not hear the SIGTERM"
    assert len(probe.dead()) == 1


def test_f12_what_a_plugin_leaves_in_its_process_hurts_nobody(
    make_scene: MakeScene, site: Site
) -> None:
    left_behind(make_scene("F12", site))


def test_f12_nor_does_it_where_the_outbox_is_the_queue(
    make_scene: MakeScene, sql_site: Site
) -> None:
    left_behind(make_scene("F12", sql_site))
