"""Which plugins an event is owed to: decided here, in the database, not by what a process loaded.

A host that lacks a plugin must not ack that plugin's events away. A name is added when a daemon
starts with it enabled, stays owed while it cannot be imported, is off while it is disabled, and
leaves by ``eventworker plugins retire``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Connection, SmallInteger, String, Table, func, select, update

from eventworker.db import UTCDateTime, clock, insert_ignore, metadata
from eventworker.errors import PluginError

ON, OFF, RETIRED = "on", "off", "retired"

plugin_table = Table(
    "eventworker_plugin",
    metadata,
    Column("number", SmallInteger, primary_key=True, autoincrement=False),
    # Lower case; names are unique without regard to case.
    Column("key", String(120), nullable=False, unique=True),
    Column("name", String(120), nullable=False),
    Column("state", String(10), nullable=False),
    Column("since", UTCDateTime, nullable=False),
    # Apart from the state, so that a plugin that is switched off and on again is still paused.
    Column("paused_at", UTCDateTime),
    Column("paused_by", String(120)),
    Column("pause_reason", String(500)),
    # Since when each event has an outcome for it, so that a missing one can be waited for; None
    # for a plugin that is not ordered.
    Column("ordered_since", UTCDateTime),
)


@dataclass(frozen=True, slots=True)
class Registered:
    """One plugin as the database knows it."""

    number: int
    name: str
    state: str
    since: datetime
    paused_at: datetime | None = None
    paused_by: str | None = None
    pause_reason: str | None = None
    ordered_since: datetime | None = None

    @property
    def is_ordered(self) -> bool:
        """Whether it wants the events of each resource in their order."""
        return self.ordered_since is not None

    @property
    def is_paused(self) -> bool:
        """Whether events are owed to it and kept, and it is not called."""
        return self.state == ON and self.paused_at is not None

    @property
    def pause(self) -> str:
        """The pause as one sentence, for the log."""
        if self.paused_at is None:
            return f"plugin {self.name} is not paused"
        by = f" by {self.paused_by}" if self.paused_by else ""
        reason = f": {self.pause_reason}" if self.pause_reason else ""
        return (
            f"plugin {self.name} is paused, its events wait"
            f" (since {self.paused_at:%Y-%m-%dT%H:%M:%SZ}{by}{reason})"
        )


def read(connection: Connection) -> list[Registered]:
    """All plugins ever registered, in the order of their numbers."""
    table = plugin_table.c
    columns = (
        table.number,
        table.name,
        table.state,
        table.since,
        table.paused_at,
        table.paused_by,
        table.pause_reason,
        table.ordered_since,
    )
    rows = connection.execute(select(*columns).order_by(table.number))
    return [Registered(*row) for row in rows]


def sync(
    connection: Connection,
    on: Iterable[str],
    off: Iterable[str],
    broken: Iterable[str] = (),
    ordered: Iterable[str] = (),
) -> None:
    """Record what a starting daemon found: these are on, and these, where known, are off.

    A name in neither list (not installed here) keeps its state. So does a broken one, which should
    be on and cannot be asked; if nobody knows it yet it is on, so that its events wait for it.

    :param ordered: those of ``on`` that want the events of each resource in their order.
    """
    in_order = {name.lower() for name in ordered}
    for name in broken:
        _add(connection, name)
    for name in on:
        _switch_on(connection, name)
        _set_ordered(connection, name, name.lower() in in_order)
    table = plugin_table.c
    for name in off:
        connection.execute(
            update(plugin_table)
            .where(table.key == name.lower(), table.state == ON)
            .values(state=OFF, since=clock())
        )


def _switch_on(connection: Connection, name: str) -> None:
    table = plugin_table.c
    changed = connection.execute(
        update(plugin_table)
        .where(table.key == name.lower(), table.state != ON)
        .values(state=ON, since=clock(), name=name, ordered_since=None)
    )
    if not changed.rowcount:
        _add(connection, name)


def _set_ordered(connection: Connection, name: str, ordered: bool) -> None:
    since = plugin_table.c.ordered_since
    connection.execute(
        update(plugin_table)
        .where(
            plugin_table.c.key == name.lower(), since.is_(None) if ordered else since.is_not(None)
        )
        .values(ordered_since=clock() if ordered else None)
    )


def _add(connection: Connection, name: str) -> None:
    """Register a name as on, unless it is known."""
    table = plugin_table.c
    if connection.scalar(select(table.number).where(table.key == name.lower())):
        return
    number = select(func.coalesce(func.max(table.number), 0) + 1).scalar_subquery()
    # Two daemons that start at once compute the same number; the loser's row is ignored and it
    # tries again with the next one.
    for _ in range(100):
        connection.execute(
            insert_ignore(connection.dialect.name, plugin_table).values(
                number=number, key=name.lower(), name=name, state=ON, since=clock()
            )
        )
        # Asked for, since the row count of such an INSERT is unknown (-1) on PostgreSQL.
        if connection.scalar(select(table.number).where(table.key == name.lower())):
            return
    raise PluginError(f"plugin {name} could not be given a number in eventworker_plugin")


def numbers(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Name to number, for the names that are registered."""
    wanted = {name.lower(): name for name in names}
    table = plugin_table.c
    rows = connection.execute(select(table.key, table.number).where(table.key.in_(wanted)))
    return {wanted[key]: number for key, number in rows}


def retire(connection: Connection, name: str) -> bool:
    """End the debt: no further event is owed to this plugin. False if the name is unknown."""
    changed = connection.execute(
        update(plugin_table)
        .where(plugin_table.c.key == name.lower())
        .values(state=RETIRED, since=clock(), **_NOT_PAUSED)
    )
    return bool(changed.rowcount)


_NOT_PAUSED: dict[str, None] = {"paused_at": None, "paused_by": None, "pause_reason": None}


def pause(connection: Connection, name: str, by: str = "", reason: str = "") -> Registered:
    """Stop calling a plugin, everywhere; what is owed to it is kept. Twice is once, with the later
    reason.

    :param by: who wants it, and ``reason`` why; for those who look later.
    :returns: the plugin as it was before.
    :raises PluginError: when the name is unknown, or retired.
    """
    before = _known(connection, name)
    changed = connection.execute(
        update(plugin_table)
        # The state again: it may have been retired since the look.
        .where(plugin_table.c.number == before.number, plugin_table.c.state != RETIRED)
        .values(
            paused_at=func.coalesce(plugin_table.c.paused_at, clock()),
            paused_by=_cut(by, 120),
            pause_reason=_cut(reason, 500),
        )
    )
    return before if changed.rowcount else pause(connection, name, by, reason)


def resume(connection: Connection, name: str) -> Registered:
    """Call a plugin again, what was kept for it included.

    :returns: the plugin as it was before.
    :raises PluginError: when the name is unknown, or retired.
    """
    before = _known(connection, name)
    connection.execute(
        update(plugin_table).where(plugin_table.c.number == before.number).values(**_NOT_PAUSED)
    )
    return before


def _known(connection: Connection, name: str) -> Registered:
    for each in read(connection):
        if each.name.lower() == name.lower():
            if each.state == RETIRED:
                raise PluginError(f"plugin {each.name} is retired, so nothing is owed to it")
            return each
    raise PluginError(f"no plugin {name} is registered; see: eventworker plugins list")


def _cut(text: str, length: int) -> str | None:
    return " ".join(text.replace("\x00", "").split())[:length] or None
