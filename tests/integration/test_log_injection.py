"""What an event says cannot forge a line of the log, steer a terminal, or put its body there."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine

from eventworker.cli import logs, output
from eventworker.engine.dispatch import Dispatcher
from eventworker.errors import Reject, Retry
from eventworker.event import Event
from eventworker.inbox.quarantine import quarantine_table
from eventworker.transport import Delivery
from tests.helpers.commands import restored_logging
from tests.helpers.configuration import configuration
from tests.helpers.databases import deliveries, rows
from tests.helpers.events import make_event
from tests.helpers.plugins import Plugin, Workshop, loaded, time_limits

#: What begins a new line for some reader, steers a terminal, or turns the direction of writing.
CORPUS = {
    "line feed": "\n2026-11-25 07:00:00 CRITICAL eventworker forged",
    "carriage return": "\rforged",
    "next line": "\x85forged",
    "line separator": "\u2028forged",
    "paragraph separator": "\u2029forged",
    "vertical tab": "\x0bforged",
    "form feed": "\x0cforged",
    "red": "\x1b[31mred\x1b[0m",
    "title": "\x1b]0;title\x07",
    "clear": "\x1b[2J\x1b[H",
    "C1 CSI": "\x9b31m",
    "backspace": "abc\x08\x08\x08xyz",
    "delete": "\x7f",
    "right to left": "\u202egnp.exe",
    "isolate": "\u2066\u2067\u2068\u2069",
    "marks": "\u200e\u200f\u061c",
    "field": '" event="another',
    "brackets": "] [plugin=other]",
    "long": "x" * 100_000,
}
STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR) [\w.]+ |    ")
#: A field in the log is cut before this, and a message with its escapes before that.
LONGEST = 100_000
BODY = "c4nary-of-the-body"


@pytest.fixture(autouse=True)
def _limits_and_logging() -> Iterator[None]:
    with time_limits(), restored_logging(("", "pika", "sqlalchemy", "stevedore")):
        yield


@pytest.fixture(params=[False, True], ids=["text", "json"])
def stream(request: pytest.FixtureRequest) -> io.StringIO:
    made = io.StringIO()
    logs.setup(configuration(DEFAULT={"debug": True, "use_json": request.param}), made)
    return made


def hostile(text: str) -> Event:
    """In every place that lets any text in; names hold no C0, so they have what is left."""
    name = re.sub("[\x00-\x1f\x7f]", "", text)[:100] or "story"
    return msgspec.structs.replace(
        make_event(author_id=name),
        method=name,
        resource=name[:60],
        resource_id=name,
        url=text[:8000],
        path=text[:8000],
        query_string=text[:8000],
        resource_after={text[:8000]: BODY},
    )


def entries(stream: io.StringIO) -> list[str]:
    lines = stream.getvalue().removesuffix("\n").split("\n")
    for line in lines:
        assert not STEERING.search(line), line
        assert len(line) < LONGEST
        if line.startswith("{"):
            assert isinstance(json.loads(line), dict)
        else:
            assert LINE.match(line), line
    return lines


def dispatch(shop: Workshop, event: Event | bytes, **properties: Any) -> None:
    """With everything that a stranger may put beside the body."""
    body = event if isinstance(event, bytes) else event.encode()
    delivery = Delivery(
        body,
        None if isinstance(event, bytes) else event.id,
        False,
        shop.transport.subscribe(1),
        1,
        properties=properties,
        **{name: properties[name] for name in ("source", "content_type") if name in properties},
    )
    dispatcher: Dispatcher = shop.dispatcher
    dispatcher.dispatch(delivery)


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_a_hostile_event_is_one_line_for_each_of_its_outcomes(
    sqlite_engine: Engine, stream: io.StringIO, text: str
) -> None:
    errors = [RuntimeError(text), Retry(1.0, text), Reject(text), KeyError(text), None]

    def body(_session: Any, _event: Event) -> None:
        error = errors.pop()
        if error is not None:
            raise error

    shop = Workshop(sqlite_engine, loaded(Plugin("a", body), max_attempts=2))
    for _ in range(len(errors)):
        dispatch(shop, hostile(text), source=text[:255], routing_key=text)
    shown = entries(stream)
    assert len([line for line in shown if "dead letter" in line]) == 1
    assert len([line for line in shown if "failed, again" in line]) == 3


@pytest.mark.parametrize("text", CORPUS.values(), ids=CORPUS)
def test_hostile_bytes_are_one_line_of_the_log_and_of_a_table(
    sqlite_engine: Engine,
    stream: io.StringIO,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop = Workshop(sqlite_engine, loaded(Plugin("a")))
    wrong = json.dumps({"method": text, "resource": text, text: [text]})
    for body in (text.encode(), wrong.encode(), f'{{"{text}": 1}}'.encode()):
        dispatch(shop, body, source=text[:255], routing_key=text, message_id=text)
    dispatch(shop, hostile(text), content_type=text)
    entries(stream)
    kept = rows(sqlite_engine, quarantine_table)
    assert kept
    table = [{"reason": row.reason, "properties": row.properties, text[:20]: 1} for row in kept]
    output.show_list(table, ("reason", "properties"), "table")
    output.show_one({"text": text, "lines": f"{text}\n{text}"}, "table")
    output.say(text, {}, "table")
    for line in capsys.readouterr().out.splitlines():
        assert not STEERING.search(line), line


def test_a_body_is_in_no_line_above_debug(sqlite_engine: Engine, stream: io.StringIO) -> None:
    logs.setup(configuration(DEFAULT={"use_json": stream.getvalue().startswith("{")}), stream)
    failures: list[BaseException | None] = [RuntimeError("no"), Reject("never"), None]

    def body(_session: Any, _event: Event) -> None:
        if (failure := failures.pop()) is not None:
            raise failure

    shop = Workshop(sqlite_engine, loaded(Plugin("a", body)))
    for _ in range(len(failures)):
        dispatch(shop, make_event(resource_after={"title": BODY}))
    for wrong in (
        f'{{"method": "POST", "x": "{BODY}"}}',
        f'["{BODY}"]',
        BODY,
        f'{{"{BODY}": NaN}}',
    ):
        dispatch(shop, wrong.encode())
    assert BODY not in stream.getvalue()
    assert "dead letter" in stream.getvalue()
    assert len(deliveries(sqlite_engine)) == 2
