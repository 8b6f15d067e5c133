"""Giving hooks to nodes, taking them away, and looking at them."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, insert, or_, select, update

from eventworker.db import clock
from eventworker.errors import EventworkerError
from eventworker.pubsub.desk import Desk
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.hooks import files, sessions
from eventworker.pubsub.hooks.audit import note
from eventworker.pubsub.hooks.ending import is_alive, remove
from eventworker.pubsub.hooks.listing import EVENTS, Listed, listed
from eventworker.pubsub.hooks.options import HookSettings
from eventworker.pubsub.hooks.table import OK, WAITING, hook_table
from eventworker.pubsub.jid import bare, jid
from eventworker.pubsub.names import node_name
from eventworker.pubsub.rules import Action

TYPES = ("python", "python_file", "python_code")
#: Characters of code.
MAX_CODE = files.MAX_SOURCE
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

_hook = hook_table.c


class HookRefused(EventworkerError):
    """The hook cannot be given, or not by this account."""


@dataclass(frozen=True, slots=True)
class NewHook:
    """A hook as it is given.

    :ivar type: one of :data:`TYPES`.
    :ivar arg: the name of a module, the path of a file, or code.
    :ivar service: address; None for this service, the only one whose nodes have hooks here.
    :ivar persistent: otherwise it ends with the daemon, or with its lease.
    :ivar lease: in seconds.
    :ivar events: which of :data:`EVENTS` it hears of.
    """

    node: str
    type: str
    arg: str
    service: str | None = None
    persistent: bool = False
    lease: float | None = None
    events: Sequence[str] = ("items",)


class Registry(Desk):
    """The hooks of the service, inside a transaction of the caller's."""

    def give(self, actor: Actor, new: NewHook, options: HookSettings) -> int:
        """Give a node a hook, which acts in the name of ``actor``; returns its number.

        To give one of the type ``python_file`` again approves of the file as it is now, or asks
        for that where others have to approve.

        :raises HookRefused: and nothing has changed.
        :raises FileRefused: when its file may not be used.
        :raises PubSubError: when the actor may not read the node.
        """
        if not options.enabled:
            raise HookRefused("hooks are off; they are turned on by [hooks] enabled = True")
        self._require_manager(actor, options)
        service = self._own(new.service)
        node = node_name(new.node)
        self._require_reader(node, actor)
        if not new.events or set(new.events) - set(EVENTS):
            raise HookRefused(f"a hook hears of {', '.join(EVENTS)}, of one at least")
        arg, sha256 = _checked(new, options)
        values: dict[str, Any] = {
            "service": service,
            "node": node,
            "owner": actor.bare,
            "type": new.type,
            "arg": arg,
        }
        same = _digest(values)
        there = self.connection.execute(select(hook_table).where(_hook.same == same)).first()
        if there is not None:
            return self._renew(actor, there, sha256, options)
        self._require_room(actor, options)
        made = self.connection.execute(
            insert(hook_table).values(
                **values,
                **self._duration(new),
                same=same,
                sha256=sha256,
                **{f"hears_{each}": each in new.events for each in EVENTS},
                state=WAITING if options.approval else OK,
                runs=0,
                failures=0,
                free_at=clock(),
                taken_at=clock(),
                created_at=clock(),
            )
        )
        assert made.inserted_primary_key is not None
        number = int(made.inserted_primary_key[0])
        note(self.connection, actor.jid, "create", {**values, "id": number, "sha256": sha256})
        return number

    def approve(self, actor: Actor, number: int, sha256: str, options: HookSettings) -> None:
        """Let a hook of somebody else's run that waits for that.

        :param sha256: of its code as the actor has seen it; it may have changed since.
        :raises HookRefused: and nothing has changed.
        """
        self._require_manager(actor, options)
        look = select(hook_table).where(_hook.id == number, _hook.state == WAITING, is_alive())
        row = self.connection.execute(look.with_for_update()).first()
        if row is None:
            raise HookRefused(f"no hook {number} waits for approval")
        if row.owner == actor.bare:
            raise HookRefused(
                f"hook {number} is {row.owner}'s own; somebody else has to approve it"
            )
        if row.sha256 != sha256.lower():
            raise HookRefused(
                f"the code of hook {number} is another one, with SHA-256 {row.sha256}"
            )
        self._let(row, OK, row.sha256)
        note(self.connection, actor.jid, "approve", row._asdict())

    def take(
        self,
        actor: Actor,
        node: str,
        options: HookSettings,
        *,
        type: str | None = None,
        arg: str | None = None,
        service: str | None = None,
    ) -> int:
        """Take hooks away, with the runs that they had before them; returns their number.

        :param type: only of this type; None or empty for any.
        :param arg: only with this argument; None or empty for any.
        :raises HookRefused: when this account may not.
        """
        self._require_manager(actor, options)
        chosen = [_hook.node == node_name(node), _hook.service == self._own(service)]
        if type:
            chosen.append(_hook.type == type)
        if actor.jid != self.settings.service:
            chosen.append(_hook.owner == actor.bare)
        rows = self.connection.execute(select(hook_table).where(*chosen)).all()
        rows = [row for row in rows if not arg or _is_meant(row, arg)]
        remove(self.connection, actor.jid, "delete", rows)
        return len(rows)

    def list(
        self,
        actor: Actor,
        options: HookSettings,
        *,
        node: str | None = None,
        service: str | None = None,
    ) -> list[Listed]:
        """The actor's hooks and those that wait for approval, or those of everybody for the service
        itself; the oldest first.

        :raises HookRefused: when this account may not see them.
        """
        self._require_manager(actor, options)
        chosen: list[ColumnElement[bool]] = [is_alive()]
        if node is not None:
            chosen.append(_hook.node == node_name(node))
        if service is not None:
            chosen.append(_hook.service == bare(jid(service)))
        if actor.jid != self.settings.service:
            chosen.append(or_(_hook.owner == actor.bare, _hook.state == WAITING))
        return listed(self.connection, and_(*chosen))

    def _require_manager(self, actor: Actor, options: HookSettings) -> None:
        if not options.may_manage(actor, self.settings.service):
            raise HookRefused(f"{actor.bare} is not among [hooks] admins")

    def _require_room(self, actor: Actor, options: HookSettings) -> None:
        if actor.jid == self.settings.service or not options.max_hooks:
            return
        mine = select(func.count()).where(_hook.owner == actor.bare, is_alive())
        if (self.connection.scalar(mine) or 0) >= options.max_hooks:
            raise HookRefused(f"{actor.bare} has {options.max_hooks} hooks, which is the most")

    def _own(self, service: str | None) -> str:
        if service is None:
            return self.settings.service
        wanted = bare(jid(service))
        if wanted != self.settings.service:
            raise HookRefused(
                f"{wanted} is not this service, which is {self.settings.service}: hooks hear of "
                "its own nodes only"
            )
        return wanted

    def _require_reader(self, node: str, actor: Actor) -> None:
        """A hook may hear of nothing that its owner may not; of a node that is not there yet that
        is asked when there is something to hear."""
        if actor.jid == self.settings.service:
            return
        try:
            self.require(self.node(node, actor), actor, Action.RETRIEVE)
        except PubSubError as error:
            if error.condition not in ("item-not-found", "gone"):
                raise

    def _duration(self, new: NewHook) -> dict[str, Any]:
        if new.persistent:
            if new.lease is not None:
                raise HookRefused("a persistent hook has no lease")
            return {"persistent": True}
        if new.lease is not None:
            return {"persistent": False, "lease_until": clock(new.lease)}
        session = sessions.newest(self.connection)
        if session is None:
            raise HookRefused(
                "a temporary hook lives as long as the daemon, and none runs hooks right now; "
                "make it persistent, or give it a lease"
            )
        return {
            "persistent": False,
            "session_id": session.id,
            "lease_until": session.lease_until,
        }

    def _renew(self, actor: Actor, row: Row[Any], sha256: str | None, options: HookSettings) -> int:
        """His hook is there already; its file may have changed."""
        if row.sha256 == sha256 and (options.approval or row.state != WAITING):
            raise HookRefused(f"the node {row.node} has this hook already")
        what, state = ("change", WAITING) if options.approval else ("approve", OK)
        self._let(row, state, sha256)
        note(self.connection, actor.jid, what, {**row._asdict(), "sha256": sha256})
        return int(row.id)

    def _let(self, row: Row[Any], state: str, sha256: str | None) -> None:
        self.connection.execute(
            update(hook_table)
            .where(_hook.id == row.id)
            .values(sha256=sha256, state=state, error=None, broken_mark=None, free_at=clock())
        )


def _digest(values: dict[str, Any]) -> str:
    text = "\x00".join(values[name] for name in ("service", "node", "owner", "type", "arg"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _checked(new: NewHook, options: HookSettings) -> tuple[str, str | None]:
    """The argument as it is kept, and its digest."""
    if new.type == "python":
        if options.approval:
            raise HookRefused(
                "nobody can approve a module, whose code may be another one when it runs; make it "
                "a python_file"
            )
        if not _MODULE.fullmatch(new.arg):
            raise HookRefused(f"{new.arg[:100]!r} is no name of a module")
        return new.arg, None
    if new.type == "python_file":
        source = files.read(new.arg, options.directories)
        return source.path, source.sha256
    if new.type != "python_code":
        raise HookRefused(f"a hook is of one of the types {', '.join(TYPES)}")
    if not new.arg.strip() or len(new.arg) > MAX_CODE or "\x00" in new.arg:
        raise HookRefused(f"code has at most {MAX_CODE} characters, and one at least")
    try:
        compile(new.arg, "<hook>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise HookRefused(f"the code is not Python: {error}") from None
    return new.arg, files.digest(new.arg)


def _is_meant(row: Row[Any], arg: str) -> bool:
    if row.arg == arg:
        return True
    return row.type == "python_file" and "\x00" not in arg and row.arg == files.absolute(arg)
