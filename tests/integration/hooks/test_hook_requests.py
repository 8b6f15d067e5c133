"""What comes through the pipe, whatever it is, on each database; no hook is called here."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from eventworker.pubsub.hooks.requests import _VERBS, Requests
from tests.helpers.hooks import Hooks
from tests.helpers.pubsub import item

HOSTILE = [
    None,
    True,
    -1,
    10**30,
    1.5,
    float("inf"),
    float("nan"),
    "",
    "\ud800",
    "\x00",
    "x" * 5000,
    "x" * 300_000,
    "😀" * 900,
    "\u202e",
    " ",
    "@",
    "a/b@c/d",
    "<a/>",
    "<a xmlns='urn:a'>" * 2000,
    [],
    ["x"] * 2000,
    ["\x00", "\ud800", ""],
    [[]],
    [None],
    {},
    {"a": 1},
    {"access_model": ["nobody"]},
    {"max_items": ["-1"]},
    {"max_items": [str(10**30)]},
    {"title": ["\x00"]},
    {"title": ["x" * 100_000]},
    {"collection": ["news"]},
    {"": [""]},
]
READ_BY = {
    "publish": ("node", "id", "payload"),
    "notify": ("node",),
    "retract": ("node", "ids", "notify"),
    "get_items": ("node", "ids", "max_items"),
    "get_nodes": ("collection",),
    "create": ("node", "fields"),
    "delete": ("node",),
    "purge": ("node",),
    "subscribe": ("node", "jid"),
    "unsubscribe": ("node", "jid", "subid"),
    "get_subscriptions": ("node",),
}


@pytest.fixture
def hooks(engine: Engine, tmp_path: Path) -> Iterator[Hooks]:
    made = Hooks(engine, tmp_path)
    for name in ("news", "out"):
        made.desk.create(name, made.settings.itself)
    made.desk.publish("out", made.settings.itself, [item("1")])
    yield made
    made.close()


@pytest.mark.row("HK-14")
def test_whatever_is_asked_is_no_fault_of_the_service(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    assert set(READ_BY) == set(_VERBS)
    asked = [
        (verb, {"node": "out", "ids": ["1"], name: value})
        for verb, names in READ_BY.items()
        for name in names
        for value in HOSTILE
    ]
    with caplog.at_level(logging.WARNING):
        for verb, arguments in asked:
            requests = Requests(hooks.engine, hooks.settings, hooks.settings.service, 0, 4)
            answer = requests.answer(verb, arguments)
            error = answer.get("error") or {"condition": None}
            assert error["condition"] != "internal-server-error", (verb, arguments, answer)
    assert caplog.text == ""
