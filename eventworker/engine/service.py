"""The contract of a side service: something the daemon keeps running beside the consumers.

Found through the entry-point group ``eventworker.service``; runs in a child process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eventworker.engine.child import Child


@dataclass(frozen=True, slots=True)
class Service:
    """A side service.

    :ivar wanted: whether this configuration asks for it.
    :ivar run: called with configuration and child; returns when ``child.stopping``.
    """

    wanted: Callable[[Any], bool]
    run: Callable[[Any, Child], None]
