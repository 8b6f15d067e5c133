"""What a hook is given, what it can ask, and what becomes of its runs."""

import logging
from pathlib import Path
from typing import Any

import pytest

from eventworker.db import short_transaction
from eventworker.pubsub.hooks import ending, files, queue
from eventworker.pubsub.hooks.service import look_after
from tests.helpers.hooks import Hooks
from tests.helpers.pubsub import entry, form, item

SHOW = "print(item.node, item.id, item.payload, item.publisher, client.jid)"


@pytest.mark.row("HK-2")
def test_a_module_is_called(hooks: Hooks, folder: Path) -> None:
    (folder / "package").mkdir(mode=0o755)
    (folder / "package/neat.py").write_text(
        "from helper import show\ndef hook(host, client, item):\n    show(item)\n"
    )
    (folder / "helper.py").write_text("def show(item): print('shown', item.id)\n")
    hooks.give("news", "python", "package.neat")
    hooks.publish("1")
    assert hooks.run_all() == 1
    assert hooks.outputs() == ["shown 1\n"]


@pytest.mark.row("HK-3")
def test_a_file_is_called_and_an_edit_of_it_is_picked_up(hooks: Hooks, folder: Path) -> None:
    path = folder / "neat.py"
    path.write_text("def hook(host, client, item): print('old', item.id)\n")
    number = hooks.give("news", "python_file", str(path))
    hooks.publish("1")
    hooks.run_all()
    path.write_text("def hook(host, client, item): print('new', item.id)\n")
    hooks.publish("2")
    hooks.run_all()
    assert hooks.outputs() == ["old 1\n", "new 2\n"]
    assert hooks.hook(number).sha256 == files.digest(path.read_text())


@pytest.mark.row("HK-3", "HK-14")
def test_a_pinned_file_that_has_changed_waits_for_approval(hooks: Hooks, folder: Path) -> None:
    path = folder / "neat.py"
    hooks.with_options(pin=True)
    path.write_text("def hook(host, client, item): print('old')\n")
    number = hooks.give("news", "python_file", str(path))
    path.write_text("def hook(host, client, item): print('new')\n")
    hooks.publish("1")
    hooks.run_all()
    assert hooks.hook(number).state == "broken"
    assert "has changed since it was approved" in hooks.hook(number).error
    assert hooks.give("news", "python_file", str(path)) == number
    hooks.run_all()
    assert hooks.outputs() == ["new\n"]


@pytest.mark.row("HK-4")
def test_code_has_three_variables(hooks: Hooks) -> None:
    hooks.give("news", "python_code", SHOW + "\nprint(host.config['DEFAULT'], 'hidden' in dir())")
    hooks.publish("1")
    hooks.run_all()
    said = f"news 1 {entry()} pubsub.localhost pubsub.localhost\n{{'debug': False}} False\n"
    assert hooks.outputs() == [said]


@pytest.mark.row("HK-5")
def test_a_coroutine_is_awaited(hooks: Hooks, folder: Path) -> None:
    source = """
import asyncio
async def hook(host, client, item):
    await asyncio.sleep(0)
    made = await client.pubsub.publish("out", item.payload, id=item.id)
    print(made, client.pubsub.publish("out", item.payload, id="plain"))
    print(await client.pubsub.retract("out", "plain"))
    print(client.pubsub.get_items("out") == await client.pubsub.get_items("out"))
"""
    hooks.desk.create("out", hooks.settings.itself)
    (folder / "neat.py").write_text(source)
    hooks.give("news", "python_file", str(folder / "neat.py"))
    hooks.give("news", "python_code", "import asyncio\nawait asyncio.sleep(0)\nprint('awaited')")
    hooks.publish("1")
    hooks.run_all()
    assert hooks.outputs() == ["1 plain\nNone\nTrue\n", "awaited\n"]


def test_a_hook_gets_a_hundred_items_at_a_time(hooks: Hooks) -> None:
    source = """
def ids(**which):
    return [int(each["id"]) for each in client.pubsub.get_items("many", **which)]
print(ids() == list(range(5, 105)))
print(ids(max_items=200) == list(range(104, 4, -1)))
print(ids(ids=[str(n) for n in range(105)]) == list(range(100)))
"""
    hooks.desk.create("many", hooks.settings.itself)
    for start in (0, 100):
        batch = [item(str(number)) for number in range(start, min(start + 100, 105))]
        hooks.desk.publish("many", hooks.settings.itself, batch)
    hooks.give("news", "python_code", source)
    hooks.publish("1")
    hooks.run_all()
    assert hooks.outputs() == ["True\nTrue\nTrue\n"]


@pytest.mark.row("HK-9")
def test_events_of_other_nodes_reach_no_hook(hooks: Hooks) -> None:
    for name in ("News", "news ", "new", "news/1"):
        hooks.desk.create(name, hooks.settings.itself)
        hooks.give(name, "python_code", SHOW)
    hooks.publish("1")
    assert hooks.rows() == []
    hooks.publish("1", node="News")
    assert len(hooks.rows()) == 1


@pytest.mark.row("HK-10")
def test_each_hook_is_called_once_for_each_item_in_order(hooks: Hooks) -> None:
    for name in ("first", "second"):
        hooks.give("news", "python_code", f"print('{name}', item.id)")
    hooks.publish("a", "b")
    hooks.publish("a")
    assert hooks.run_all() == 6
    for place, name in enumerate(("first", "second")):
        said = [row.output for row in hooks.rows() if row.hook_id == hooks.rows()[place].hook_id]
        assert said == [f"{name} a\n", f"{name} b\n", f"{name} a\n"]
    assert hooks.run_all() == 0


@pytest.mark.row("HK-11")
def test_a_hook_that_raises_is_told_of_and_others_go_on(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    bad = hooks.give("news", "python_code", "print('before')\n1 / 0")
    good = hooks.give("news", "python_code", "print(item.id)")
    hooks.publish("1", "2")
    with caplog.at_level(logging.WARNING):
        assert hooks.run_all() == 6
    assert (hooks.hook(bad).failures, hooks.hook(good).failures) == (4, 0)
    listed = {each.arg: each for each in hooks.list()}
    assert listed["print('before')\n1 / 0"].error == "ZeroDivisionError: division by zero"
    assert listed["print('before')\n1 / 0"].output == "before\n"
    dead = [row for row in hooks.rows() if row.hook_id == bad]
    assert [(row.state, row.attempts) for row in dead] == [("dead", 2), ("dead", 2)]
    assert '<hook>", line 2' in dead[0].traceback
    assert "division by zero" in caplog.text


def test_a_failure_is_tried_again_later(hooks: Hooks) -> None:
    hooks.with_options(retry_delay=3600)
    hooks.give("news", "python_code", "if item.id == '1': raise OSError('away')\nprint(item.id)")
    hooks.publish("1", "2")
    assert hooks.run_all() == 2
    assert [(row.state, row.output) for row in hooks.rows()] == [("retry", ""), ("done", "2\n")]


@pytest.mark.row("HK-12")
@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def hook(:\n", "SyntaxError"),
        ("import absent_module\n", "No module named 'absent_module'"),
        ("x = 1\n", "has no function hook"),
        ("hook = 1\n", "cannot be called"),
        ("def hook(): pass\n", "does not take (host, client, item)"),
        ("raise SystemExit('no')\n", "SystemExit: no"),
    ],
)
def test_a_hook_that_cannot_be_loaded_waits_until_its_file_changes(
    hooks: Hooks, folder: Path, source: str, error: str
) -> None:
    path = folder / "neat.py"
    path.write_text(source)
    number = hooks.give("news", "python_file", str(path))
    hooks.publish("1", "2")
    assert hooks.run_all() == 1
    assert hooks.hook(number).state == "broken"
    assert error in hooks.list()[0].error
    look_after(hooks.engine, hooks.settings, hooks.options, "host")
    assert hooks.run_all() == 0
    path.write_text("def hook(host, client, item): print('mended', item.id)\n")
    look_after(hooks.engine, hooks.settings, hooks.options, "host")
    assert hooks.run_all() == 2
    assert hooks.outputs() == ["mended 1\n", "mended 2\n"]
    assert (hooks.hook(number).state, hooks.list()[0].error) == ("ok", None)


@pytest.mark.row("HK-12", "HK-14")
def test_a_file_that_is_gone_or_unsafe_breaks_its_hook(hooks: Hooks, folder: Path) -> None:
    path = folder / "neat.py"
    path.write_text("def hook(host, client, item): print('here')\n")
    number = hooks.give("news", "python_file", str(path))
    path.rename(folder / "away.py")
    hooks.publish("1")
    hooks.run_all()
    assert "cannot be read" in hooks.hook(number).error
    (folder / "away.py").rename(path)
    path.chmod(0o666)
    look_after(hooks.engine, hooks.settings, hooks.options, "host")
    hooks.run_all()
    assert "may write to" in hooks.hook(number).error
    path.chmod(0o644)
    look_after(hooks.engine, hooks.settings, hooks.options, "host")
    hooks.run_all()
    assert hooks.outputs() == ["here\n"]


def test_items_that_wait_too_long_for_a_broken_hook_are_given_up(hooks: Hooks) -> None:
    hooks.give("news", "python", "absent_module")
    hooks.publish("1")
    hooks.run_all()
    with short_transaction(hooks.engine) as connection:
        assert queue.give_up(connection, 3600) == 0
        assert queue.give_up(connection, -1) == 1
    (row,) = hooks.rows()
    assert (row.state, row.error) == (
        "dead",
        "its hook has been broken, or not approved, for too long",
    )


@pytest.mark.row("HK-14")
def test_retractions_and_the_end_of_a_node_are_heard_if_asked_for(hooks: Hooks) -> None:
    show = "print(item.event, item.id, item.payload)"
    hooks.give("news", "python_code", show, events=("retract", "delete"))
    hooks.give("news", "python_code", show + "\n")
    itself = hooks.settings.itself
    hooks.publish("1", "2")
    hooks.desk.retract("news", itself, ["2", "1"])
    hooks.desk.delete("news", itself)
    hooks.run_all()
    said = [row.output for row in hooks.rows() if row.event != "items"]
    assert said == ["retract 2 None\n", "retract 1 None\n", "delete None None\n"]
    assert len(hooks.rows()) == 5


def test_a_notification_without_an_item_is_heard_too(hooks: Hooks) -> None:
    itself = hooks.settings.itself
    hooks.desk.create("bell", itself, form(persist_items=0, deliver_payloads=0))
    hooks.give("bell", "python_code", "print(item.id, item.payload, item.xml, item.json)")
    hooks.desk.publish("bell", itself, [])
    hooks.run_all()
    assert hooks.outputs() == ["None None None None\n"]


def test_a_payload_is_read_as_xml_or_as_json(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "print(item.xml.tag, item.json)")
    itself = hooks.settings.itself
    hooks.desk.create("out", itself)
    hooks.give("out", "python_code", "print(item.json)")
    hooks.publish("1")
    hooks.give("news", "python_code", "client.pubsub.publish('out', {'a': [1, None, 'ü']})")
    hooks.publish("2")
    hooks.run_all()
    assert sorted(hooks.outputs()) == [
        "",
        "{'a': [1, None, 'ü']}\n",
        "{urn:example:entry}entry None\n",
        "{urn:example:entry}entry None\n",
    ]


def test_a_key_is_the_same_at_each_attempt_and_no_other_runs(hooks: Hooks) -> None:
    for name in ("a", "b"):
        hooks.give("news", "python_code", f"{name} = 1\nprint(item.key)\nraise OSError")
    hooks.publish("1", "2")
    seen: list[str] = []
    runner = hooks.runner()
    while runner.run_one():
        seen += [row.output for row in hooks.rows() if row.output]
    keys = {row.output for row in hooks.rows()}
    assert len(keys) == 4
    assert set(seen) == keys


def test_warm_sandboxes_are_used_once(hooks: Hooks) -> None:
    hooks.with_options(warm=2)
    hooks.give("news", "python_code", "import sys\nprint(hasattr(sys, 'seen'))\nsys.seen = True")
    hooks.publish("1", "2", "3", "4")
    hooks.run_all()
    assert hooks.outputs() == ["False\n"] * 4


def test_the_last_runs_are_kept(hooks: Hooks) -> None:
    number = hooks.give("news", "python_code", "print(item.id)")
    hooks.publish(*"abcd")
    hooks.run_all()
    hooks.publish("e")
    with short_transaction(hooks.engine) as connection:
        ending.prune(connection, 2)
    assert [row.item_id for row in hooks.rows()] == ["c", "d", "e"]
    assert hooks.hook(number).runs == 4
    assert [row.payload for row in hooks.rows()][:2] == [None, None]


def test_without_hooks_turned_on_nothing_is_written(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "pass")
    from eventworker.pubsub.options import Settings
    from tests.helpers.pubsub import Desk

    Desk(hooks.engine, Settings()).publish("news", hooks.settings.itself, [item("1")])
    assert hooks.rows() == []


def test_what_is_undone_reaches_no_hook(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "pass")

    def undone() -> Any:
        with hooks.desk.service() as service:
            service.publish("news", hooks.settings.itself, [item("1")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone()
    assert hooks.rows() == []
