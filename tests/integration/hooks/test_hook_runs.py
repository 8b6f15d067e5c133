"""What a hook is given, what it can ask, and what becomes of its runs."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from sqlalchemy.exc import DBAPIError

from eventworker.db import short_transaction
from eventworker.pubsub.facts import Affiliated
from eventworker.pubsub.hooks import ending, files, queue
from eventworker.pubsub.hooks.configuration import readable
from eventworker.pubsub.hooks.limits import MAX_ASKED, MAX_REQUESTS
from eventworker.pubsub.hooks.service import look_after
from eventworker.pubsub.rules import Affiliation
from tests.helpers.configuration import configuration
from tests.helpers.hooks import Hooks
from tests.helpers.pubsub import ANN, entry, form, item

SHOW = "print(item.node, item.id, item.payload, item.publisher, client.jid)"


def publish(hooks: Hooks, *names: str, node: str = "news") -> None:
    hooks.desk.publish(node, hooks.settings.itself, [item(name) for name in names])


@pytest.mark.row("HK-2")
def test_a_module_is_called(hooks: Hooks, folder: Path) -> None:
    (folder / "package").mkdir(mode=0o755)
    (folder / "package/neat.py").write_text(
        "from helper import show\ndef hook(host, client, item):\n    show(item)\n"
    )
    (folder / "helper.py").write_text("def show(item): print('shown', item.id)\n")
    hooks.give("news", "python", "package.neat")
    publish(hooks, "1")
    assert hooks.run_all() == 1
    assert hooks.outputs() == ["shown 1\n"]


@pytest.mark.row("HK-3")
def test_a_file_is_called_and_an_edit_of_it_is_picked_up(hooks: Hooks, folder: Path) -> None:
    path = folder / "neat.py"
    path.write_text("def hook(host, client, item): print('old', item.id)\n")
    number = hooks.give("news", "python_file", str(path))
    publish(hooks, "1")
    hooks.run_all()
    path.write_text("def hook(host, client, item): print('new', item.id)\n")
    publish(hooks, "2")
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
    publish(hooks, "1")
    hooks.run_all()
    assert hooks.hook(number).state == "broken"
    assert "has changed since it was approved" in hooks.hook(number).error
    assert hooks.give("news", "python_file", str(path)) == number
    hooks.run_all()
    assert hooks.outputs() == ["new\n"]


@pytest.mark.row("HK-4")
def test_code_has_three_variables(hooks: Hooks) -> None:
    hooks.give("news", "python_code", SHOW + "\nprint(host.config['DEFAULT'], 'hidden' in dir())")
    publish(hooks, "1")
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
    publish(hooks, "1")
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
    publish(hooks, "1")
    hooks.run_all()
    assert hooks.outputs() == ["True\nTrue\nTrue\n"]


@pytest.mark.row("HK-9")
def test_events_of_other_nodes_reach_no_hook(hooks: Hooks) -> None:
    for name in ("News", "news ", "new", "news/1"):
        hooks.desk.create(name, hooks.settings.itself)
        hooks.give(name, "python_code", SHOW)
    publish(hooks, "1")
    assert hooks.rows() == []
    publish(hooks, "1", node="News")
    assert len(hooks.rows()) == 1


@pytest.mark.row("HK-10")
def test_each_hook_is_called_once_for_each_item_in_order(hooks: Hooks) -> None:
    for name in ("first", "second"):
        hooks.give("news", "python_code", f"print('{name}', item.id)")
    publish(hooks, "a", "b")
    publish(hooks, "a")
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
    publish(hooks, "1", "2")
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
    publish(hooks, "1", "2")
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
    publish(hooks, "1", "2")
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
    publish(hooks, "1")
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
    publish(hooks, "1")
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
    publish(hooks, "1", "2")
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
    publish(hooks, "1")
    hooks.give("news", "python_code", "client.pubsub.publish('out', {'a': [1, None, 'ü']})")
    publish(hooks, "2")
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
    publish(hooks, "1", "2")
    seen: list[str] = []
    runner = hooks.runner()
    while runner.run_one():
        seen += [row.output for row in hooks.rows() if row.output]
    keys = {row.output for row in hooks.rows()}
    assert len(keys) == 4
    assert set(seen) == keys


ASK = """
def tried(verb, *arguments, **named):
    try:
        return repr(getattr(client.pubsub, verb)(*arguments, **named))
    except Exception as error:
        return f"{type(error).__name__} {error.condition} {error.detail}"
"""


@pytest.mark.row("HK-14")
def test_a_hook_may_what_its_owner_may_and_no_more(hooks: Hooks) -> None:
    itself = hooks.settings.itself
    hooks.desk.create("closed", itself, form(access_model="whitelist"))
    hooks.desk.create("anns", itself)
    hooks.desk.change_node_affiliations(
        "anns", itself, [Affiliated("anns", ANN.bare, Affiliation.PUBLISHER)]
    )
    code = (
        ASK
        + """
print(tried("publish", "anns", "<a xmlns='urn:a'/>", id="1"))
print(tried("get_items", "anns"))
print(tried("publish", "closed", "<a xmlns='urn:a'/>"))
print(tried("get_items", "closed"))
print(tried("delete", "anns"))
print(tried("create", "anns2"))
print(tried("subscribe", "anns"))
print(tried("subscribe", "anns", jid="ben@example.org"))
print(tried("unsubscribe", "anns"))
print(tried("publish", "absent"))
"""
    )
    hooks.give("news", "python_code", code, ANN)
    publish(hooks, "1")
    hooks.run_all()
    said = hooks.outputs()[0].splitlines()
    assert said[0] == "'1'"
    assert eval(said[1]) == [
        {"id": "1", "payload": "<a xmlns='urn:a'/>", "publisher": "ann@example.org"}
    ]
    assert said[2:] == [
        "PubSubError forbidden None",
        "PubSubError not-allowed closed-node",
        "PubSubError forbidden None",
        "PubSubError forbidden None",
        "{'node': 'anns', 'jid': 'ann@example.org', 'state': 'subscribed', 'subid': None}",
        "PubSubError bad-request invalid-jid",
        "None",
        "PubSubError item-not-found None",
    ]


def test_nonsense_asked_through_the_pipe_is_refused(hooks: Hooks) -> None:
    code = """
pipe = client.pubsub._pipe
for verb, arguments in [("__class__", {}), ("publish", {}), ("publish", {"node": 1}),
                        ("retract", {"node": "news", "ids": "1"}), (None, None), ([], {}),
                        ("create", {"node": "x", "fields": [1]}), ("publish", [1]),
                        ("get_items", {"node": "news", "max_items": "x"}),
                        ("get_items", {"node": "news", "max_items": float("inf")}),
                        ("get_items", {"node": "news", "max_items": float("nan")}),
                        ("publish", {"node": "x\\0", "id": "\\ud800", "payload": "<a/>"}),
                        ("publish", {"node": "news", "payload": "<not xml"})]:
    print(pipe.ask(verb, arguments)["error"]["condition"])
"""
    hooks.give("news", "python_code", code)
    publish(hooks, "1")
    hooks.run_all()
    assert set(hooks.outputs()[0].split()) == {"bad-request"}
    assert hooks.rows()[0].state == "done"


@pytest.mark.row("HK-14")
def test_who_may_no_longer_read_a_node_hears_no_more(hooks: Hooks) -> None:
    hooks.give("news", "python_code", SHOW, ANN)
    publish(hooks, "1")
    hooks.desk.configure("news", hooks.settings.itself, form(access_model="whitelist"))
    hooks.run_all()
    (row,) = hooks.rows()
    assert (row.state, row.output) == ("dead", "")
    assert "ann@example.org may not read the node news" in row.error


@pytest.mark.row("HK-14")
def test_the_hooks_of_who_is_no_admin_any_more_run_no_more(hooks: Hooks) -> None:
    hooks.give("news", "python_code", SHOW, ANN)
    hooks.give("news", "python_code", SHOW)
    publish(hooks, "1")
    hooks.with_options(admins=frozenset())
    hooks.run_all()
    anns, of_the_service = hooks.rows()
    assert (anns.state, anns.output) == ("dead", "")
    assert anns.error == "ann@example.org is not among [hooks] admins (any more)"
    assert of_the_service.state == "done"


def test_hooks_that_cause_one_another_come_to_an_end(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "client.pubsub.publish('news', item.payload)")
    publish(hooks, "1")
    hooks.run_all()
    depths = [row.depth for row in hooks.rows()]
    assert depths == [0, 1, 2, 3, 4]
    last = hooks.rows()[-1]
    assert last.state == "dead"
    assert "4 hooks in a row have caused one another" in last.error


def test_hooks_do_not_fill_the_queue_and_who_publishes_is_not_refused(hooks: Hooks) -> None:
    """A thousand publications of each run, four hooks in a row, would be a million million."""
    hooks.with_options(max_waiting=5)
    code = """
for n in range(20):
    try:
        client.pubsub.publish("news", item.payload)
    except Exception as error:
        print(n, error)
        break
"""
    hooks.give("news", "python_code", code)
    publish(hooks, "1")
    assert hooks.runner().run_one()
    said = "5 policy-violation: more than 5 runs of the hooks of news wait\n"
    assert hooks.outputs()[0] == said
    publish(hooks, *map(str, range(10)))
    assert len(hooks.rows()) == 16


def test_secrets_are_not_in_what_a_hook_reads_of_the_configuration(conf: cfg.ConfigOpts) -> None:
    secret = configuration(
        database={"connection": "postgresql://u:canary-1234@h/d"},
        notifications={"rabbit_password": "canary-5678"},
    )
    told = readable(secret)
    assert "canary" not in str(told)
    assert told["pubsub"]["service"] == "pubsub.localhost"
    assert told["hooks"]["enabled"] is False
    assert readable(conf)["outbox"]


@pytest.mark.row("HK-14")
def test_whatever_a_hook_does_is_contained_and_reported(hooks: Hooks) -> None:
    """Through the runner; what each attempt could reach is in test_hook_isolation."""
    codes = {
        "import os; os._exit(3)": "exit code 3",
        "import ctypes; ctypes.string_at(0)": "SIGSEGV",
        "raise KeyboardInterrupt": "KeyboardInterrupt",
        "import sys; sys.exit()": "SystemExit",
        "x = [0] * 10 ** 9": "MemoryError",
        "raise type('E', (Exception,), {'__str__': lambda self: 1 / 0})": "E",
        "def f(): f()\nf()": "RecursionError",
    }
    numbers = {hooks.give("news", "python_code", code): code for code in codes}
    hooks.with_options(max_attempts=1)
    publish(hooks, "1")
    assert hooks.run_all() == len(codes)
    for row in hooks.rows():
        assert (row.state, codes[numbers[row.hook_id]] in row.error) == ("dead", True), row.error


@pytest.mark.row("HK-14")
def test_who_asks_without_end_is_ended(hooks: Hooks) -> None:
    """Each answer takes time of the process that all workers share, a refusal too."""
    hooks.with_options(max_attempts=1, limits=replace(hooks.options.limits, timeout=120))
    code = """
count = 0
while True:
    if "value" in client.pubsub._pipe.ask("get_nodes", {}):
        count += 1
        print(count, flush=True)
"""
    hooks.give("news", "python_code", code)
    publish(hooks, "1")
    hooks.run_all()
    (row,) = hooks.rows()
    assert (row.state, row.error) == ("dead", f"it asked more than {MAX_ASKED} times")
    assert row.output.split()[-1] == str(MAX_REQUESTS)


@pytest.mark.row("HK-14")
@pytest.mark.parametrize("how", ["load", "raised"])
def test_what_is_told_of_an_end_is_cut_in_the_log_too(
    hooks: Hooks, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    code = f"""
import json, os
said = json.dumps({{"ended": "{how}", "error": "x" * 500000, "traceback": "x" * 500000}})
for n in range(3, 64):
    try:
        os.write(n, said.encode() + b"\\n")
    except OSError:
        pass
"""
    hooks.give("news", "python_code", code)
    publish(hooks, "1")
    hooks.run_all()
    assert hooks.list()[0].error == "x" * 4000
    assert 4000 < len(caplog.text) < 10000


def test_a_run_that_cannot_be_written_down_is_free_at_once(hooks: Hooks) -> None:
    """Whatever the database's reason: nobody waits for the end of the lease."""
    hooks.give("news", "python_code", "print(item.id)")
    publish(hooks, "1")
    trigger = "BEFORE UPDATE ON eventworker_pubsub_hook_run WHEN NEW.state = 'done'"
    with hooks.engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER full {trigger} BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
    runner = hooks.runner()
    with pytest.raises(DBAPIError, match="the disk is full"):
        runner.run_one()
    with hooks.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER full")
    assert runner.run_one()
    (row,) = hooks.rows()
    assert (row.state, row.attempts) == ("done", 2)


@pytest.mark.row("HK-14")
def test_a_run_that_takes_too_long_is_ended(hooks: Hooks) -> None:
    hooks.with_options(limits=replace(hooks.options.limits, timeout=2), max_attempts=1)
    hooks.give("news", "python_code", "print('begun', flush=True)\nwhile True: pass")
    publish(hooks, "1")
    hooks.run_all()
    (row,) = hooks.rows()
    assert (row.state, row.error, row.output) == ("dead", "it took too long", "begun\n")


def test_warm_sandboxes_are_used_once(hooks: Hooks) -> None:
    hooks.with_options(warm=2)
    hooks.give("news", "python_code", "import sys\nprint(hasattr(sys, 'seen'))\nsys.seen = True")
    publish(hooks, "1", "2", "3", "4")
    hooks.run_all()
    assert hooks.outputs() == ["False\n"] * 4


def test_the_last_runs_are_kept(hooks: Hooks) -> None:
    number = hooks.give("news", "python_code", "print(item.id)")
    publish(hooks, *"abcd")
    hooks.run_all()
    publish(hooks, "e")
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
