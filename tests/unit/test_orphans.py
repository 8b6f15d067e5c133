"""Whose leases a starting daemon frees: those of processes that can do no more."""

import os

from eventworker.engine.preflight import _is_alive
from tests.servers import wait_until


def test_a_process_that_nobody_has_buried_is_dead() -> None:
    assert _is_alive(str(os.getpid()))
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    try:
        wait_until(lambda: not _is_alive(str(pid)), 5, "it counts as alive")
        assert os.path.exists(f"/proc/{pid}")
    finally:
        os.waitpid(pid, 0)
    assert not _is_alive(str(pid))
