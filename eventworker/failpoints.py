"""Named places on the path of an event, where a test stands in the way.

At each of them the process may die, and the promise has to hold. The tests arm them from outside,
by :func:`arm`; nothing of eventworker does, and no option or variable of the environment can. What
is not armed costs a look at an empty dict.
"""

from __future__ import annotations

from collections.abc import Callable

#: In the order in which an event passes them.
NAMES = (
    "relay.claimed",  # rows are leased, nothing is published
    "relay.confirmed",  # the broker has them, the outbox does not know
    "relay.settled",  # the outbox knows
    "dispatch.received",  # a delivery is in hand
    "call.claimed",  # its transaction has begun, on PostgreSQL and MariaDB with the inbox row
    "group.called",  # one call of a group has ended, and others follow, or their flush
    "group.flushed",  # what several calls have added is written
    "call.returned",  # handle() has returned
    "commit.before",
    "commit.after",
    "outcome.before",  # a failure is about to be written down
    "outcome.after",
    "parked.after",  # what is left to the backlog is there
    "ack.before",
    "ack.after",
    "backlog.claimed",  # attempts are counted, no call has begun
    "order.settled",  # committed, and the next event of the resource is not told of its turn
    "effect.claimed",  # its attempt is counted, perform() has not begun
    "effect.performed",  # perform() has returned, and nothing says so
    "effect.after",  # its row is gone
)

_armed: dict[str, Callable[[], None]] = {}


def reached(name: str) -> None:
    """Called where the event passes the place ``name``."""
    if _armed and (act := _armed.get(name)) is not None:
        act()


def arm(name: str, act: Callable[[], None] | None) -> None:
    """Have ``act`` called at the place ``name`` of this process and those forked from it; None for
    nothing any more.

    :raises ValueError: when there is no such place.
    """
    if name not in NAMES:
        raise ValueError(f"there is no fail-point {name}; there are {', '.join(NAMES)}")
    if act is None:
        _armed.pop(name, None)
    else:
        _armed[name] = act
