"""Sandboxes that are ready before there is something to do."""

from __future__ import annotations

import contextlib
from collections import deque

from eventworker.pubsub.hooks.bubblewrap import Missing
from eventworker.pubsub.hooks.sandbox import Box, Sandbox


class Pool:
    """Keeps some sandboxes ready. Each is handed out once, for one run.

    Belongs to one thread, as the sandboxes do.

    :param warm: how many; 0: each is made when it is wanted.
    """

    def __init__(self, box: Box, warm: int) -> None:
        self._box = box
        self._warm = warm
        self._waiting: deque[Sandbox] = deque()

    def fill(self) -> None:
        """Start as many as are lacking, without waiting for them."""
        while len(self._waiting) < self._warm:
            self._waiting.append(Sandbox(self._box))

    def take(self) -> Sandbox:
        """A sandbox that is ready for its job; the caller closes it.

        :raises Missing: when none can be made.
        """
        while self._waiting:
            sandbox = self._waiting.popleft()
            # Somebody may have killed it while it waited; that is no reason to make no other.
            if sandbox.is_alive:
                with contextlib.suppress(Missing):
                    return self._ready(sandbox)
            sandbox.close()
        return self._ready(Sandbox(self._box))

    def _ready(self, sandbox: Sandbox) -> Sandbox:
        try:
            sandbox.wait_until_ready()
        except BaseException:
            sandbox.close()
            raise
        return sandbox

    def close(self) -> None:
        """End those that wait."""
        while self._waiting:
            self._waiting.popleft().close()
