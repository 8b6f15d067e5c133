"""Capture of finished requests, by what a WSGI server would see."""

import json
import logging
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session, sessionmaker

from eventworker.capture import ImageReader, PathRules, current_facts
from eventworker.capture.wsgi import EventMiddleware, outbox_sink
from eventworker.event import MAX_BODY_BYTES, Event
from tests.helpers.stories import Draft, Story, captured_sessions, events_in
from tests.helpers.wsgi import JSON, answering, ask


def events_of(app: Any, method: str, path: str, **environ: str) -> list[Event]:
    """The events that one request makes."""
    events: list[Event] = []
    ask(EventMiddleware(app, events.append), method, path, **environ)
    return events


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_request_that_changes_a_resource_is_an_event(method: str) -> None:
    (found,) = events_of(
        answering("200 OK"),
        method,
        "/v1/stories/12",
        QUERY_STRING="q=1",
        HTTP_REFERER="http://here/#!/story/12",
    )
    assert (found.method, found.resource, found.resource_id) == (method, "story", 12)
    assert (found.path, found.query_string) == ("/v1/stories/12", "q=1")
    assert (found.url, found.status) == ("http://here/#!/story/12", 200)
    assert found.resource_before is None
    assert found.resource_after is None


@pytest.mark.parametrize(
    ("status", "method", "path"),
    [
        ("200 OK", "GET", "/v1/stories/12"),
        ("200 OK", "HEAD", "/v1/stories/12"),
        ("200 OK", "OPTIONS", "/v1/stories"),
        ("400 Bad Request", "PUT", "/v1/stories/12"),
        ("404 Not Found", "DELETE", "/v1/stories/12"),
        ("500 Internal Server Error", "POST", "/v1/stories"),
        ("200 OK", "POST", "/login"),
        ("200 OK", "POST", "/v1/"),
    ],
)
def test_other_requests_are_no_events(status: str, method: str, path: str) -> None:
    assert events_of(answering(status), method, path) == []


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        (JSON, {"id": 7}, 7),
        (JSON, {"id": "7"}, 7),
        (JSON, {"id": "a-b"}, "a-b"),
        ([("Content-Type", "application/vnd.api+json")], {"id": 7}, 7),
        ([*JSON, ("Location", "/v1/stories/8")], {"id": 7}, 7),
        ([*JSON, ("Location", "http://here/v1/stories/8?x=1")], {"name": "x"}, 8),
        ([("Content-Type", "text/html"), ("Location", "/v1/stories/a%20b")], b"<p>", "a b"),
        ([*JSON, ("Location", "/v1/tasks/8")], {}, None),
        ([*JSON, ("Location", "http://[broken")], {}, None),
        ([*JSON, ("Content-Encoding", "gzip")], b'{"id": 7}', None),
        ([("Content-Type", "text/plain")], b'{"id": 7}', None),
        (JSON, b'{"id": ', None),
        (JSON, b"\xff", None),
        (JSON, b"[" * 100_000, None),
        (JSON, [{"id": 7}], None),
        (JSON, {"id": True}, None),
        (JSON, {"id": {"x": 1}}, None),
        (JSON, {"id": "\ud800"}, None),
        (JSON, {"id": 7, "padding": "x" * 2_000_000}, None),
    ],
)
def test_the_id_of_what_was_created_is_found_in_the_response(
    headers: list[tuple[str, str]], body: Any, expected: object
) -> None:
    (found,) = events_of(answering("201 Created", headers, body), "POST", "/v1/stories")
    assert found.resource_id == expected


def test_the_id_of_a_created_sub_resource_is_its_own() -> None:
    (found,) = events_of(
        answering("201 Created", JSON, {"id": 3}), "POST", "/v1/stories/12/comments"
    )
    assert (found.resource, found.resource_id) == ("story", 12)
    assert (found.sub_resource, found.sub_resource_id) == ("comment", 3)
    location = [*JSON, ("Location", "/v1/stories/12/comments/4")]
    (found,) = events_of(answering("201 Created", location), "POST", "/v1/stories/12/comments")
    assert found.sub_resource_id == 4


def test_the_response_is_the_applications_own() -> None:
    app = answering("201 Created", JSON, {"id": 3})
    assert ask(EventMiddleware(app, None), "POST", "/v1/stories") == ask(app, "POST", "/v1/stories")
    assert ask(EventMiddleware(app, None), "GET", "/v1/stories") == ask(app, "GET", "/v1/stories")


def test_each_chunk_is_passed_on_before_the_next_one_is_made_and_the_event_comes_last() -> None:
    steps: list[str] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            for number in range(3):
                steps.append(f"made {number}")
                yield b'{"id": 7}' if number == 0 else b" "

        def close(self) -> None:
            steps.append("closed")

    def app(_environ: Any, start_response: Any) -> Body:
        start_response("200 OK", JSON)
        return Body()

    middleware = EventMiddleware(app, lambda found: steps.append(f"event {found.resource_id}"))
    environ: dict[str, Any] = {"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/stories"}
    chunks: Any = middleware(environ, lambda *_arguments: lambda _chunk: None)
    for number, _chunk in enumerate(chunks):
        steps.append(f"sent {number}")
    chunks.close()
    chunks.close()
    assert steps == [
        *(f"{what} {number}" for number in range(3) for what in ("made", "sent")),
        "closed",
        "event 7",
    ]


@given(
    st.binary(max_size=40),
    st.lists(st.integers(0, 60), max_size=5),
    st.sampled_from(["POST", "PUT", "GET"]),
)
def test_however_a_body_is_cut_the_client_gets_it_as_it_is(
    body: bytes, cuts: list[int], method: str
) -> None:
    whole = b'{"id": 7}' + b" " * len(body)
    edges = [0, *sorted(cuts), len(whole)]

    def app(_environ: Any, start_response: Any) -> Iterator[bytes]:
        write = start_response("201 Created", JSON)
        write(body)
        return (whole[begin:end] for begin, end in pairwise(edges))

    assert ask(EventMiddleware(app, lambda _event: None), method, "/v1/stories")[2] == body + whole
    if not body:
        assert [found.resource_id for found in events_of(app, "POST", "/v1/stories")] == [7]


def test_an_application_may_start_late_and_write() -> None:
    def late(_environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("201 Created", JSON)
        yield b'{"id": 7}'

    def writing(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("201 Created", JSON)(b'{"id": ')
        return [b"8}"]

    for app, expected in ((late, 7), (writing, 8)):
        (found,) = events_of(app, "POST", "/v1/stories")
        assert found.resource_id == expected


def test_a_response_that_turned_into_an_error_is_no_event() -> None:
    def app(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", JSON)
        try:
            raise KeyError
        except KeyError as error:
            start_response("500 Oops", JSON, (KeyError, error, error.__traceback__))
        return []

    assert events_of(app, "PUT", "/v1/stories/1") == []


def fails_at_once(_environ: Any, _start_response: Any) -> list[bytes]:
    raise LookupError("at once")


def fails_when_started(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", JSON)
    raise LookupError("when started")


def fails_before_its_first_chunk(_environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", JSON)
    raise LookupError("before its first chunk")
    yield b""


class FailsWhenClosed:
    def __init__(self, _environ: Any, start_response: Any) -> None:
        start_response("200 OK", JSON)

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"{}"])

    def close(self) -> None:
        raise LookupError("when closed")


def fails_between_chunks(_environ: Any, start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", JSON)
    yield b"{"
    raise LookupError("between chunks")


@pytest.mark.parametrize("app", [fails_at_once, fails_when_started, fails_before_its_first_chunk])
def test_an_application_that_fails_before_anything_is_sent_makes_no_event(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Event] = []
    with pytest.raises(LookupError):
        ask(EventMiddleware(app, events.append), "PUT", "/v1/stories/1")
    assert events == []
    assert caplog.records == []
    assert current_facts() is None


@pytest.mark.parametrize("app", [fails_between_chunks, FailsWhenClosed])
def test_one_that_fails_after_it_told_of_success_leaves_the_event_in_the_log(
    app: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody here can say whether its change was committed; a person who reads the log can."""
    events: list[Event] = []
    with pytest.raises(LookupError):
        ask(EventMiddleware(app, events.append), "PUT", "/v1/stories/1")
    assert events == []
    (record,) = caplog.records
    assert "failed after its response had begun" in record.getMessage()
    assert json.loads(record.getMessage().partition("the event: ")[2])["resource_id"] == 1
    assert current_facts() is None


def test_a_client_that_goes_away_takes_no_event_along() -> None:
    """The server closes the response without having asked for all of it."""
    events: list[Event] = []
    environ: dict[str, Any] = {"REQUEST_METHOD": "PUT", "PATH_INFO": "/v1/stories/1"}
    middleware = EventMiddleware(answering("200 OK", JSON, {"id": 1}), events.append)
    chunks: Any = middleware(environ, lambda *_arguments: lambda _chunk: None)
    chunks.close()
    assert [found.resource_id for found in events] == [1]


def test_a_failing_sink_changes_nothing_but_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def sink(_event: Event) -> None:
        raise ConnectionError("the disk is full")

    app = answering("201 Created", JSON, {"id": 7})
    with caplog.at_level(logging.ERROR):
        answer = ask(EventMiddleware(app, sink), "POST", "/v1/stories")
    assert answer == ask(app, "POST", "/v1/stories")
    (record,) = caplog.records
    assert "the disk is full" in record.getMessage()
    logged = json.loads(record.getMessage().partition("the event: ")[2])
    assert (logged["resource"], logged["resource_id"]) == ("story", 7)


@pytest.mark.parametrize("where", ["sink", "reader"])
def test_a_server_that_ends_amid_the_last_steps_leaves_the_event_in_the_log(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    looks = iter([{"a": 1}])

    def end(_of: Any) -> Any:
        """As gunicorn ends a worker that it has waited for: SystemExit, wherever that is."""
        raise SystemExit(1)

    def read(_target: Any) -> Any:
        return next(looks, None) or end(None)

    events: list[Event] = []
    app = EventMiddleware(
        answering("200 OK"),
        end if where == "sink" else events.append,
        images=ImageReader(read) if where == "reader" else None,
    )
    with pytest.raises(SystemExit):
        ask(app, "PUT", "/v1/stories/7")
    (record,) = caplog.records
    logged = json.loads(record.getMessage().partition("the event: ")[2])
    assert (logged["resource"], logged["resource_id"], events) == ("story", 7, [])


def test_an_event_that_no_encoding_can_say_breaks_no_request_and_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = "\ud800 is half of a character"
    app = answering("200 OK")
    images = ImageReader(lambda _target: {"title": broken})
    answer = ask(
        EventMiddleware(app, Event.encode, author=lambda _: broken, images=images), "PUT", "/v1/a/1"
    )
    assert answer == ask(app, "PUT", "/v1/a/1")
    logged = json.loads(caplog.records[-1].getMessage().partition("the event: ")[2])
    assert (logged["author_id"], logged["resource_after"]) == (broken, {"title": broken})


def test_the_author_is_asked_before_and_if_unknown_after_the_application() -> None:
    def authenticating(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["REMOTE_USER"] = "ada"
        return list(answering("200 OK")(environ, start_response))

    events: list[Event] = []
    middleware = EventMiddleware(
        authenticating, events.append, author=lambda environ: environ.get("REMOTE_USER")
    )
    ask(middleware, "PUT", "/v1/stories/1")
    ask(middleware, "PUT", "/v1/stories/1", REMOTE_USER="bob")
    assert [found.author_id for found in events] == ["ada", "bob"]


def test_an_author_that_is_neither_number_nor_text_is_told_as_text() -> None:
    events: list[Event] = []
    author = UUID(int=5)
    app = EventMiddleware(answering("200 OK"), events.append, author=lambda _environ: author)
    ask(app, "PUT", "/v1/a/1")
    assert events[0].author_id == str(author)


def test_an_author_that_cannot_be_told_is_anonymous(caplog: pytest.LogCaptureFixture) -> None:
    class Lazy:
        """A user that is looked up when somebody asks for it, as Django's is."""

        def __str__(self) -> str:
            raise ConnectionError("no database")

    def broken(_environ: Any) -> int:
        raise KeyError("no cookie")

    for author in (broken, lambda _environ: Lazy()):
        events: list[Event] = []
        with caplog.at_level(logging.ERROR):
            app = EventMiddleware(answering("200 OK"), events.append, author=author)
            ask(app, "PUT", "/v1/a/1")
        assert events[0].author_id is None
    assert "counts as anonymous" in caplog.text


def test_paths_are_read_as_utf_8_and_with_the_name_the_application_is_mounted_under() -> None:
    path = "/v1/users/Žofie".encode().decode("latin-1")
    (found,) = events_of(answering("200 OK"), "PUT", path, SCRIPT_NAME="/api")
    assert (found.path, found.resource_id) == ("/api/v1/users/Žofie", "Žofie")
    assert len(events_of(answering("200 OK"), "PUT", "/v1/users/\xff")) == 1


def test_rules_and_source_are_configurable() -> None:
    events: list[Event] = []
    rules = PathRules(prefixes=("/rest",))
    middleware = EventMiddleware(answering("200 OK"), events.append, rules=rules, source="shop")
    ask(middleware, "PUT", "/rest/orders/1")
    ask(middleware, "PUT", "/v1/orders/1")
    assert [(found.resource, found.source) for found in events] == [("order", "shop")]


@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")  # the checker knows HTTP's own
def test_other_verbs_count_if_they_are_named() -> None:
    events: list[Event] = []
    middleware = EventMiddleware(
        answering("200 OK", JSON, {"id": 9}), events.append, methods={"MERGE", "POST"}
    )
    for method in ("MERGE", "POST", "PUT"):
        ask(middleware, method, "/v1/stories/1")
    ask(middleware, "MERGE", "/v1/stories")
    assert [(found.method, found.resource_id) for found in events] == [
        ("MERGE", 1),
        ("POST", 1),
        ("MERGE", None),
    ]


def test_an_action_is_an_event_about_its_resource_under_the_requests_method() -> None:
    events: list[Event] = []
    rules = PathRules(actions=frozenset({"close"}))
    app = answering("200 OK", JSON, {"id": 9})
    ask(EventMiddleware(app, events.append, rules=rules), "POST", "/v1/stories/1/close")
    (found,) = events
    assert (found.method, found.resource, found.resource_id) == ("POST", "story", 1)
    assert (found.sub_resource, found.path) == (None, "/v1/stories/1/close")


def test_an_event_too_large_with_its_images_is_recorded_without_them(
    sqlite_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    images = ImageReader(lambda _target: {"text": "x" * MAX_BODY_BYTES})
    middleware = EventMiddleware(answering("200 OK"), outbox_sink(sqlite_engine), images=images)
    ask(middleware, "PUT", "/v1/stories/1")
    (found,) = events_in(sqlite_engine)
    assert (found.resource_id, found.resource_before, found.resource_after) == (1, None, None)
    assert "without its images" in caplog.text


def test_the_trace_of_a_request_is_among_its_facts() -> None:
    seen: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        seen.append(current_facts())
        return answering("200 OK")(environ, start_response)

    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    middleware = EventMiddleware(app, None)
    ask(middleware, "PUT", "/v1/a/1", HTTP_TRACEPARENT=parent, HTTP_TRACESTATE="a=1, b=2")
    ask(middleware, "PUT", "/v1/a/1", HTTP_TRACEPARENT="nonsense", HTTP_TRACESTATE="a=1")
    assert [(facts.traceparent, facts.tracestate) for facts in seen] == [
        (parent, "a=1,b=2"),
        (None, None),
    ]


def writing_app(sessions: sessionmaker[Session], made: Callable[[], object]) -> Any:
    """An application whose body, a generator, writes to the database."""

    def app(_environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("201 Created", JSON)
        with sessions.begin() as session:
            session.add(made())
        yield b'{"id": 1}'

    return app


def test_what_a_transaction_recorded_is_not_recorded_twice(sqlite_engine: Engine) -> None:
    sessions = captured_sessions(sqlite_engine)
    app = writing_app(sessions, lambda: Story(title="a"))
    middleware = EventMiddleware(app, outbox_sink(sqlite_engine), author=lambda _environ: 5)
    ask(middleware, "POST", "/v1/stories")
    (found,) = events_in(sqlite_engine)
    assert found.resource_after is not None
    assert (found.path, found.author_id) == ("/v1/stories", 5)


def test_a_resource_that_no_transaction_recorded_is_recorded_afterwards(
    sqlite_engine: Engine,
) -> None:
    sessions = captured_sessions(sqlite_engine)
    app = writing_app(sessions, lambda: Draft(text="a"))
    ask(EventMiddleware(app, outbox_sink(sqlite_engine)), "POST", "/v1/drafts")
    # Another resource that changes along, such as a user's last visit, does not stand in for it.
    app = writing_app(sessions, lambda: Story(title="a"))
    ask(EventMiddleware(app, outbox_sink(sqlite_engine)), "POST", "/v1/drafts")
    found = [(event.resource, event.status) for event in events_in(sqlite_engine)]
    assert sorted(found, key=str) == [("draft", 201), ("draft", 201), ("story", None)]


def test_without_a_sink_only_the_transaction_records(sqlite_engine: Engine) -> None:
    sessions = captured_sessions(sqlite_engine)
    ask(
        EventMiddleware(writing_app(sessions, lambda: Story(title="a")), None),
        "POST",
        "/v1/stories",
    )
    ask(EventMiddleware(writing_app(sessions, lambda: Draft(text="a")), None), "POST", "/v1/drafts")
    assert [event.resource for event in events_in(sqlite_engine)] == ["story"]


def test_a_database_without_tables_breaks_no_request(
    sqlite_engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite_engine.begin() as connection:
        connection.execute(text("DROP TABLE eventworker_outbox"))
    middleware = EventMiddleware(answering("200 OK"), outbox_sink(sqlite_engine))
    with caplog.at_level(logging.ERROR):
        assert ask(middleware, "PUT", "/v1/stories/1")[0] == "200 OK"
    assert "no such table" in caplog.text
