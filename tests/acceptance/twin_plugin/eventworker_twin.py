"""A plugin with a name that is taken, but for the case of a letter."""

from __future__ import annotations

from eventworker.plugin import WorkerTaskBase


class Twin(WorkerTaskBase):
    """Never gets to run."""

    def handle(self) -> None:
        raise AssertionError("the daemon has to refuse two plugins of one name")
