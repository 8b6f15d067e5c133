"""``eventworker pubsub``: the publish-subscribe service, asked from the command line."""

from __future__ import annotations

from eventworker.cli import hook
from eventworker.cli.arguments import Verbs, add_group


def add(verbs: Verbs) -> None:
    """The verbs of ``eventworker pubsub``."""
    group = add_group(verbs, "pubsub", "look after the publish-subscribe service")
    hook.add(group)
    hook.add(add_group(group, "node", "look after nodes"))
