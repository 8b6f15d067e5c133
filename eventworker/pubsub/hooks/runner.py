"""Runs what hooks have to do: claims a run, calls the hook in a sandbox, writes down how it ended.

Killed in between, the run is due again when its lease ends, or as soon as somebody on this machine
sees that its process is gone: a hook is called at least once, under one key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, update
from sqlalchemy.exc import DBAPIError

from eventworker.db import Failure, first_line, is_transient, short_transaction
from eventworker.errors import DatabaseUnavailable
from eventworker.pubsub.desk import Desk
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.hooks import files, queue
from eventworker.pubsub.hooks.audit import note
from eventworker.pubsub.hooks.limits import MAX_ASKED, START
from eventworker.pubsub.hooks.options import HookSettings
from eventworker.pubsub.hooks.pool import Pool
from eventworker.pubsub.hooks.queue import Run
from eventworker.pubsub.hooks.requests import Requests
from eventworker.pubsub.hooks.sandbox import Sandbox, SandboxEnded
from eventworker.pubsub.hooks.shares import Shares
from eventworker.pubsub.hooks.table import hook_table
from eventworker.pubsub.options import Settings
from eventworker.pubsub.rules import Action

log = logging.getLogger(__name__)

#: Seconds that a lease outlasts a run.
_MARGIN = 30.0
_LONGEST_DELAY = 3600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    :ivar how: ``done``; ``load``: there was no hook to call; ``failed``.
    """

    how: str
    error: str = ""
    traceback: str = ""
    output: str = ""


class _Broken(Exception):
    """The hook cannot be had.

    :ivar mark: what its file looks like.
    """

    def __init__(self, error: str, mark: str | None) -> None:
        super().__init__(error)
        self.mark = mark


class HookRunner:
    """Runs hooks, one at a time; belongs to one thread.

    :param config: what hooks may read of the configuration.
    :param owner: name under which runs are claimed; each runner has its own.
    :param shares: of all the runners of this process; None for one by itself.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        options: HookSettings,
        config: Mapping[str, Any],
        pool: Pool,
        owner: str,
        shares: Shares | None = None,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._options = options
        self._config = config
        self._pool = pool
        self._owner = owner
        self._shares = shares or Shares(settings.service, 1, options.runs_per_minute)
        self._interrupted = False

    def run_one(self) -> bool:
        """Claim a run and make it; whether there was one.

        Whatever is raised, what was claimed is free again with the next call.

        :raises DatabaseUnavailable: when the database is away.
        :raises Missing: when no sandbox can be made; the run was given back.
        """
        if self._interrupted:
            with short_transaction(self._engine) as connection:
                queue.release_of(connection, self._owner)
            self._interrupted = False
        self._pool.fill()
        run = self._claim()
        if run is None:
            return False
        try:
            self._make(run)
        except Exception:
            self._interrupted = True
            raise
        finally:
            self._shares.end(run.owner)
        return True

    def _claim(self) -> Run | None:
        lease = self._options.limits.timeout + START + _MARGIN
        if self._engine.dialect.name == "sqlite" and not self._is_due():
            return None
        with self._shares.claiming() as exhausted:
            with short_transaction(self._engine) as connection:
                run = queue.claim(connection, lease, self._owner, exhausted)
            if run is not None:
                self._shares.begin(run.owner)
        return run

    def _is_due(self) -> bool:
        # SQLite has one write lock for the whole application.
        try:
            with self._engine.connect() as connection:
                return queue.is_due(connection)
        except DBAPIError as error:
            if is_transient(error):
                raise DatabaseUnavailable(first_line(error)) from error
            raise

    def _make(self, run: Run) -> None:
        if run.attempts > self._options.max_attempts:
            # Each of its claims was counted, and none of them came back to say how it ended.
            died = f"the runner died {run.attempts - 1} times while this hook ran"
            return self._write(lambda c: queue.fail(c, run, self._owner, Failure(died), ""))
        if (reason := self._objection(run)) is not None:
            return self._write(lambda c: queue.fail(c, run, self._owner, Failure(reason), ""))
        try:
            source = self._source(run)
        except _Broken as broken:
            return self._break(run, str(broken), broken.mark)
        try:
            sandbox = self._pool.take()
        except BaseException:
            self._write(lambda c: queue.give_back(c, run, self._owner))
            raise
        with sandbox:
            outcome = self._call(run, source, sandbox)
        self._end(run, outcome)
        return None

    def _objection(self, run: Run) -> str | None:
        """Why the owner may not hear of this; access may have changed since it was written."""
        actor = self._requests(run).actor
        if not self._options.may_manage(actor, self._settings.service):
            return f"{run.owner} is not among [hooks] admins (any more)"
        if actor.is_admin:
            return None
        with short_transaction(self._engine) as connection:
            desk = Desk(connection, self._settings)
            try:
                desk.require(desk.node(run.node), actor, Action.RETRIEVE)
            except PubSubError as error:
                if run.event == "delete" and error.condition in ("item-not-found", "gone"):
                    return None
                return f"{run.owner} may not read the node {run.node} (any more): {error}"
        return None

    def _requests(self, run: Run) -> Requests:
        depth, most = run.depth, self._options.max_depth
        full = self._options.max_waiting
        return Requests(self._engine, self._settings, run.owner, depth, most, full)

    def _source(self, run: Run) -> str | None:
        """What is in the hook's file.

        :raises _Broken: when it may not be used.
        """
        if run.type != "python_file":
            return None
        try:
            source = files.read(run.arg, self._options.directories)
        except files.FileRefused as error:
            raise _Broken(str(error), files.mark(run.arg)) from None
        if source.sha256 == run.sha256:
            return source.text
        if self._options.pin:
            raise _Broken(
                f"{run.arg} has changed since it was approved; create the hook again to approve it",
                source.mark,
            )
        self._write(lambda connection: self._note_change(connection, run, source.sha256))
        return source.text

    def _note_change(self, connection: Connection, run: Run, sha256: str) -> None:
        changed = update(hook_table).where(hook_table.c.id == run.hook_id)
        connection.execute(changed.values(sha256=sha256))
        row = {name: getattr(run, name) for name in ("node", "owner", "type", "arg")}
        row |= {"id": run.hook_id, "service": self._settings.service, "sha256": sha256}
        note(connection, self._settings.service, "change", row)

    def _call(self, run: Run, source: str | None, sandbox: Sandbox) -> Outcome:
        requests = self._requests(run)
        try:
            sandbox.begin(self._job(run, source), self._options.limits.timeout)
            while "ended" not in (said := sandbox.receive()):
                if requests.count >= MAX_ASKED:
                    raise SandboxEnded(f"it asked more than {MAX_ASKED} times")
                sandbox.send(requests.answer(said.get("ask"), said.get("arguments")))
        except SandboxEnded as ended:
            return Outcome("failed", ended.reason, output=sandbox.printed())
        output = sandbox.printed()
        if said["ended"] == "done":
            return Outcome("done", output=output)
        how = "load" if said["ended"] == "load" else "failed"
        told = Failure(
            str(said.get("error") or "it did not say how it ended"),
            str(said.get("traceback") or ""),
        )
        return Outcome(how, told.error, told.traceback, output)

    def _job(self, run: Run, source: str | None) -> dict[str, Any]:
        item = {
            "event": run.event,
            "id": run.item_id,
            "node": run.node,
            "payload": run.payload,
            "publisher": run.publisher,
            "key": run.key,
        }
        return {
            "type": run.type,
            "arg": run.arg,
            "source": source,
            "owner": run.owner,
            "config": self._config,
            "item": item,
        }

    def _end(self, run: Run, outcome: Outcome) -> None:
        fields = {"hook": run.hook_id, "node": run.node, "item": run.item_id, "key": run.key}
        if outcome.how == "done":
            log.debug("called", extra=fields)
            self._write(lambda c: queue.done(c, run, self._owner, outcome.output))
        elif outcome.how == "load":
            self._break(run, outcome.error, files.mark(run.arg) if _has_file(run) else None)
        else:
            failure = Failure(outcome.error, outcome.traceback, self._delay(run))
            if failure.delay is None:
                log.error("given up: %s", failure.error, extra=fields)
            else:
                log.warning(
                    "failed, again in %.1f s: %s", failure.delay, failure.error, extra=fields
                )
            self._write(lambda c: queue.fail(c, run, self._owner, failure, outcome.output))

    def _delay(self, run: Run) -> float | None:
        if run.attempts >= self._options.max_attempts:
            return None
        return min(self._options.retry_delay * 4.0 ** (run.attempts - 1), _LONGEST_DELAY)

    def _break(self, run: Run, error: str, mark: str | None) -> None:
        log.error("hook %d on %s is broken until that is mended: %s", run.hook_id, run.node, error)
        self._write(lambda c: queue.break_hook(c, run, self._owner, error, mark))

    def _write(self, end: Callable[[Connection], None]) -> None:
        with short_transaction(self._engine) as connection:
            end(connection)


def _has_file(run: Run) -> bool:
    return run.type == "python_file"
