"""What a hook may ask for and cause, and that what it does is contained and told."""

from dataclasses import replace

import pytest
from oslo_config import cfg
from sqlalchemy.exc import DBAPIError

from eventworker.pubsub.facts import Affiliated
from eventworker.pubsub.hooks.configuration import readable
from eventworker.pubsub.hooks.limits import MAX_ASKED, MAX_REQUESTS
from eventworker.pubsub.rules import Affiliation
from tests.helpers.configuration import configuration
from tests.helpers.hooks import Hooks
from tests.helpers.pubsub import ANN, form

SHOW = "print(item.node, item.id, item.payload, item.publisher, client.jid)"


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
    hooks.publish("1")
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
    hooks.publish("1")
    hooks.run_all()
    assert set(hooks.outputs()[0].split()) == {"bad-request"}
    assert hooks.rows()[0].state == "done"


@pytest.mark.row("HK-14")
def test_who_may_no_longer_read_a_node_hears_no_more(hooks: Hooks) -> None:
    hooks.give("news", "python_code", SHOW, ANN)
    hooks.publish("1")
    hooks.desk.configure("news", hooks.settings.itself, form(access_model="whitelist"))
    hooks.run_all()
    (row,) = hooks.rows()
    assert (row.state, row.output) == ("dead", "")
    assert "ann@example.org may not read the node news" in row.error


@pytest.mark.row("HK-14")
def test_the_hooks_of_who_is_no_admin_any_more_run_no_more(hooks: Hooks) -> None:
    hooks.give("news", "python_code", SHOW, ANN)
    hooks.give("news", "python_code", SHOW)
    hooks.publish("1")
    hooks.with_options(admins=frozenset())
    hooks.run_all()
    anns, of_the_service = hooks.rows()
    assert (anns.state, anns.output) == ("dead", "")
    assert anns.error == "ann@example.org is not among [hooks] admins (any more)"
    assert of_the_service.state == "done"


def test_hooks_that_cause_one_another_come_to_an_end(hooks: Hooks) -> None:
    hooks.give("news", "python_code", "client.pubsub.publish('news', item.payload)")
    hooks.publish("1")
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
    hooks.publish("1")
    assert hooks.runner().run_one()
    said = "5 policy-violation: more than 5 runs of the hooks of news wait\n"
    assert hooks.outputs()[0] == said
    hooks.publish(*map(str, range(10)))
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
    hooks.publish("1")
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
    hooks.publish("1")
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
    hooks.publish("1")
    hooks.run_all()
    assert hooks.list()[0].error == "x" * 4000
    assert 4000 < len(caplog.text) < 10000


def test_a_run_that_cannot_be_written_down_is_free_at_once(hooks: Hooks) -> None:
    """Whatever the database's reason: nobody waits for the end of the lease."""
    hooks.give("news", "python_code", "print(item.id)")
    hooks.publish("1")
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
    hooks.publish("1")
    hooks.run_all()
    (row,) = hooks.rows()
    assert (row.state, row.error, row.output) == ("dead", "it took too long", "begun\n")
