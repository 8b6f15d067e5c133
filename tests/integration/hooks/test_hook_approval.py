"""Hooks that run only after somebody else has looked at them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from eventworker.db import short_transaction
from eventworker.pubsub.hooks import files, queue
from eventworker.pubsub.hooks.registry import HookRefused
from eventworker.pubsub.hooks.service import look_after
from eventworker.pubsub.hooks.table import audit_table
from tests.helpers.commands import Commands
from tests.helpers.hooks import Hooks
from tests.helpers.pubsub import ANN, BEN, OWNER

OLD = "def hook(host, client, item): print('old', item.id)\n"
NEW = "def hook(host, client, item): print('new', item.id)\n"

pytestmark = pytest.mark.row("HK-14")


@pytest.fixture
def hooks(sqlite_engine: Engine, folder: Path) -> Iterator[Hooks]:
    made = Hooks(sqlite_engine, folder)
    made.desk.create("news", made.settings.itself)
    made.with_options(approval=True, pin=True, admins=frozenset({ANN.bare, BEN.bare}))
    yield made
    made.close()


def approve(hooks: Hooks, number: int, code: str, actor: object = BEN) -> None:
    with hooks.registry() as registry:
        registry.approve(actor, number, files.digest(code), hooks.options)  # type: ignore[arg-type]


def audit(hooks: Hooks) -> list[tuple[str, str]]:
    with hooks.engine.connect() as connection:
        rows = connection.execute(select(audit_table).order_by(audit_table.c.id))
        return [(row.what, row.actor) for row in rows]


def test_a_hook_runs_after_another_admin_has_approved_it(hooks: Hooks) -> None:
    number = hooks.give("news", "python_code", "print(item.id)", ANN)
    hooks.publish("1")
    assert hooks.run_all() == 0
    look_after(hooks.engine, hooks.settings, hooks.options, "host")
    assert hooks.hook(number).state == "waiting"
    assert [each.hook for each in hooks.list(BEN)] == [number]
    approve(hooks, number, "print(item.id)")
    assert hooks.run_all() == 1
    assert hooks.outputs() == ["1\n"]
    assert hooks.list(BEN) == []
    assert audit(hooks) == [("create", ANN.jid), ("approve", BEN.jid)]


def test_nobody_approves_his_own_or_what_he_has_not_seen(hooks: Hooks) -> None:
    number = hooks.give("news", "python_code", "pass", ANN)
    own = hooks.give("news", "python_code", "pass")
    for wanted, code, actor, reason in (
        (number, "pass", ANN, "is ann@example.org's own"),
        (own, "pass", hooks.settings.itself, "is pubsub.localhost's own"),
        (number, "other", BEN, "is another one, with SHA-256"),
        (number + 9, "pass", BEN, "no hook .* waits for approval"),
        (number, "pass", OWNER, "not among .hooks. admins"),
    ):
        with pytest.raises(HookRefused, match=reason):
            approve(hooks, wanted, code, actor)
    assert {each.state for each in hooks.list()} == {"waiting"}
    approve(hooks, own, "pass", ANN)
    with pytest.raises(HookRefused, match="waits for approval"):
        approve(hooks, own, "pass", BEN)


def test_a_file_that_has_changed_waits_for_approval_and_so_do_its_items(
    hooks: Hooks, folder: Path
) -> None:
    path = folder / "neat.py"
    path.write_text(OLD)
    number = hooks.give("news", "python_file", str(path), ANN)
    approve(hooks, number, OLD)
    path.write_text(NEW)
    hooks.publish("1")
    hooks.run_all()
    assert "has changed since it was approved" in hooks.hook(number).error
    assert hooks.give("news", "python_file", str(path), ANN) == number
    hooks.publish("2")
    assert hooks.run_all() == 0
    with pytest.raises(HookRefused, match="is another one"):
        approve(hooks, number, OLD)
    approve(hooks, number, NEW)
    hooks.run_all()
    assert hooks.outputs() == ["new 1\n", "new 2\n"]
    assert [what for what, _ in audit(hooks)] == ["create", "approve", "change", "approve"]


def test_a_run_that_ends_meanwhile_makes_no_hook_run_that_waits(hooks: Hooks, folder: Path) -> None:
    path = folder / "neat.py"
    path.write_text(OLD)
    number = hooks.give("news", "python_file", str(path), ANN)
    approve(hooks, number, OLD)
    hooks.publish("1")
    with short_transaction(hooks.engine) as connection:
        run = queue.claim(connection, 60, "host/1/1")
    assert run is not None
    path.write_text(NEW)
    hooks.give("news", "python_file", str(path), ANN)
    with short_transaction(hooks.engine) as connection:
        queue.break_hook(connection, run, "host/1/1", "broken", None)
    look_after(hooks.engine, hooks.settings, hooks.options, "host")
    assert hooks.hook(number).state == "waiting"
    assert hooks.run_all() == 0


def test_a_module_cannot_be_approved(hooks: Hooks) -> None:
    with pytest.raises(HookRefused, match="nobody can approve a module"):
        hooks.give("news", "python", "neat")


def test_without_the_option_to_give_it_again_lets_it_run(hooks: Hooks) -> None:
    number = hooks.give("news", "python_code", "pass", ANN)
    with pytest.raises(HookRefused, match="has this hook already"):
        hooks.give("news", "python_code", "pass", ANN)
    hooks.with_options(approval=False)
    assert hooks.give("news", "python_code", "pass", ANN) == number
    assert hooks.hook(number).state == "ok"


def test_what_waits_too_long_for_approval_is_given_up(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "pass", ANN)
    hooks.publish("1")
    with short_transaction(hooks.engine) as connection:
        assert queue.give_up(connection, -1) == 1
    assert "not approved" in hooks.rows()[0].error


def test_the_command_approves(hooks: Hooks, folder: Path, tmp_path: Path) -> None:
    text = f"""
[database]
connection = {hooks.engine.url}
[hooks]
enabled = True
approval = True
admins = {ANN.bare}, {BEN.bare}
isolation = {hooks.options.isolation}
"""
    command = Commands(tmp_path / "eventworker.conf", text)
    words = ("pubsub", "hook")
    create = ("create", "-n", "news", "-t", "python_code", "-P", "--as", ANN.bare)
    made = command(*words, *create, "print(item.id)")
    assert made.out == "hook 1 on news, which waits for approval\n"
    (seen,) = command(*words, "list", "-O", "json", "--as", BEN.bare).json
    assert (seen["state"], seen["arg"]) == ("waiting", "print(item.id)")
    approve = (*words, "approve", str(seen["hook"]), seen["sha256"], "--as")
    assert "own; somebody else has to" in command(*approve, ANN.bare).err
    assert command(*approve, BEN.bare).out == "hook 1 is approved\n"
    assert command(*words, "list", "-O", "json").json[0]["state"] == "ok"
