"""What a plugin can try with its transaction. The effect of the call is there already."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

_TWICE = "INSERT INTO probe_effect SELECT * FROM probe_effect WHERE pid = :pid AND at = :at"
_LAST = (
    "SELECT event_id, plugin, pid, at FROM probe_effect WHERE pid = :pid ORDER BY at DESC LIMIT 1"
)
_INSERT = (
    "INSERT INTO probe_effect (event_id, plugin, pid, at) VALUES (:event_id, :plugin, :pid, :at)"
)


def _effect(session: Session) -> dict[str, Any]:
    """The effect of this call: the last one of this process."""
    return dict(session.execute(text(_LAST), {"pid": os.getpid()}).mappings().one())


def _do_it_twice(session: Session) -> None:
    effect = _effect(session)
    session.execute(text(_TWICE), {"pid": effect["pid"], "at": effect["at"]})


def commits(session: Session, _folder: Path) -> None:
    session.commit()


def commits_and_fails(session: Session, folder: Path) -> None:
    """What is committed is not final: without a whole call it is not there."""
    session.commit()
    if not (folder / "repaired").exists():
        raise RuntimeError("failed after a commit")


def rolls_back(session: Session, _folder: Path) -> None:
    session.commit()
    _do_it_twice(session)
    session.rollback()


def starts_over(session: Session, _folder: Path) -> None:
    """A rollback to the start takes the claim along; it has to be made anew."""
    effect = _effect(session)
    session.rollback()
    session.execute(text(_INSERT), effect)


def closes(session: Session, _folder: Path) -> None:
    session.commit()
    _do_it_twice(session)
    session.close()


def nests(session: Session, _folder: Path) -> None:
    nested = session.begin_nested()
    _do_it_twice(session)
    nested.rollback()
    with session.begin_nested():
        session.execute(text("UPDATE probe_effect SET pid = pid WHERE pid = :pid"), {"pid": 0})


def raw_commit(session: Session, folder: Path) -> None:
    _unless_repaired(session, folder, "COMMIT")


def raw_rollback(session: Session, folder: Path) -> None:
    _unless_repaired(session, folder, "/* hidden */ ROLLBACK")


def makes_a_table(session: Session, folder: Path) -> None:
    _unless_repaired(session, folder, "CREATE TABLE surprise (n INTEGER)")


def connection_commit(session: Session, folder: Path) -> None:
    if not (folder / "repaired").exists():
        session.connection().commit()


def driver_rollback(session: Session, folder: Path) -> None:
    if not (folder / "repaired").exists():
        session.connection().connection.driver_connection.rollback()  # type: ignore[union-attr]


def driver_commit(session: Session, folder: Path) -> None:
    if not (folder / "repaired").exists():
        session.connection().connection.driver_connection.commit()  # type: ignore[union-attr]


def _unless_repaired(session: Session, folder: Path, statement: str) -> None:
    if not (folder / "repaired").exists():
        session.execute(text(statement))


#: Allowed, and harmless.
TAMED = (commits, rolls_back, starts_over, closes, nests)
#: Refused, or found out, and nothing of it stays.
REFUSED = (
    commits_and_fails,
    raw_commit,
    raw_rollback,
    makes_a_table,
    connection_commit,
    driver_rollback,
)
