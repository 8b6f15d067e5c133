"""Capture of finished requests, by what an ASGI server would see."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

from eventworker.capture import ImageReader, PathRules, ResourcePath, current_facts
from eventworker.capture.asgi import EventMiddleware
from eventworker.capture.sinks import outbox_sink
from eventworker.capture.sqlalchemy import capture
from eventworker.event import Event
from tests.helpers.asgi import JSON, Scope, answering, ask, scope_of, serve
from tests.helpers.stories import RESOURCES, Base, Story, events_in


def events_of(app: Any, method: str, path: str, *headers: Any, **more: Any) -> list[Event]:
    """The events that one request makes."""
    events: list[Event] = []
    ask(EventMiddleware(app, events.append), method, path, *headers, **more)
    return events


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_request_that_changes_a_resource_is_an_event(method: str) -> None:
    (found,) = events_of(
        answering(200), method, "/v1/stories/12", (b"referer", b"http://here"), query_string=b"q=1"
    )
    assert (found.method, found.resource, found.resource_id) == (method, "story", 12)
    assert (found.path, found.query_string) == ("/v1/stories/12", "q=1")
    assert (found.url, found.status) == ("http://here", 200)


@pytest.mark.parametrize(
    ("status", "method", "path"),
    [(200, "GET", "/v1/stories/12"), (404, "PUT", "/v1/stories/12"), (200, "POST", "/login")],
)
def test_other_requests_are_no_events(status: int, method: str, path: str) -> None:
    assert events_of(answering(status), method, path) == []


def test_the_id_of_what_was_created_is_found_in_the_response() -> None:
    (found,) = events_of(answering(201, {"id": 7}), "POST", "/v1/stories")
    assert found.resource_id == 7
    (found,) = events_of(answering(201, {"id": 7, "padding": "x" * 2**21}), "POST", "/v1/stories")
    assert found.resource_id is None


def test_the_response_is_the_applications_own() -> None:
    app = answering(201, {"id": 3})
    for method in ("POST", "GET"):
        plain = ask(app, method, "/v1/stories")
        assert ask(EventMiddleware(app, lambda _event: None), method, "/v1/stories") == plain


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_other_scopes_are_passed_on_untouched(kind: str) -> None:
    async def app(*arguments: Any) -> None:
        passed.extend(arguments)
        passed.append(current_facts())

    passed: list[Any] = []
    given: list[Any] = [{"type": kind}, object(), object()]
    asyncio.run(EventMiddleware(app, None)(*given))  # type: ignore[arg-type]
    assert [one is other for one, other in zip(passed, given, strict=False)] == [True] * 3
    assert passed[3] is None


def test_each_piece_is_passed_on_before_the_next_one_is_made_and_the_event_comes_last() -> None:
    steps: list[str] = []

    async def app(_scope: Scope, _receive: Any, send: Any) -> None:
        headers = (pair for pair in JSON)  # an iterable that can be read only once
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for number in range(3):
            steps.append(f"made {number}")
            body = b'{"id": 7}' if number == 0 else b" "
            await send({"type": "http.response.body", "body": body, "more_body": number < 2})

    async def send(message: dict[str, Any]) -> None:
        steps.append("sent " + str(list(message.get("headers", [])) or message["body"]))

    middleware = EventMiddleware(app, lambda found: steps.append(f"event {found.resource_id}"))
    asyncio.run(middleware(scope_of("POST", "/v1/stories"), None, send))  # type: ignore[arg-type]
    assert steps == [
        f"sent {JSON}",
        *("made 0", "sent b'{\"id\": 7}'", "made 1", "sent b' '", "made 2", "sent b' '"),
        "event 7",
    ]


@pytest.mark.parametrize("sent_before", [0, 1])
def test_an_application_that_fails_makes_no_event_and_its_error_passes(
    sent_before: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(_scope: Scope, _receive: Any, send: Any) -> None:
        if sent_before:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise LookupError("of the application")

    with pytest.raises(LookupError, match="of the application"):
        events_of(app, "PUT", "/v1/stories/1")
    # Who has told a client of success may have made the change: the log knows the event.
    assert len(caplog.records) == sent_before
    assert ("failed after its response had begun" in caplog.text) == bool(sent_before)


def test_a_client_that_goes_away_takes_no_event_along() -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        try:
            await answering(200, {"id": 1})(scope, receive, send)
        except OSError:
            raise ClientDisconnect from None

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            raise OSError("gone")

    events: list[Event] = []
    middleware = EventMiddleware(app, events.append)
    with pytest.raises(ClientDisconnect):
        asyncio.run(middleware(scope_of("PUT", "/v1/stories/1"), None, send))  # type: ignore[arg-type]
    assert [found.resource_id for found in events] == [1]


@pytest.mark.parametrize("version", ["2.3", "2.4"])
def test_a_stream_that_nobody_reads_to_the_end_is_an_event(version: str) -> None:
    """Starlette hears of it by a message before ASGI 2.4, and by the server's OSError since."""
    events: list[Event] = []
    has_gone = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"piece"
            await asyncio.sleep(0)

    async def receive() -> dict[str, Any]:
        await has_gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            has_gone.set()
            if version == "2.4":
                raise OSError("gone")

    async def one_request() -> None:
        middleware = EventMiddleware(StreamingResponse(pieces()), events.append)
        scope = scope_of("PUT", "/v1/stories/1", asgi={"spec_version": version})
        with suppress(ClientDisconnect):
            await asyncio.wait_for(middleware(scope, receive, send), 10)

    asyncio.run(one_request())
    assert [found.status for found in events] == [200]


def test_the_event_comes_after_what_is_done_in_the_background() -> None:
    """FastAPI ends its dependencies there, and many applications commit in one."""
    steps: list[str] = []
    app = FastAPI()

    async def transaction() -> AsyncIterator[None]:
        yield
        steps.append("commit")

    @app.put("/v1/stories/{key}", dependencies=[Depends(transaction)])
    def change(key: int, tasks: BackgroundTasks) -> dict[str, int]:
        tasks.add_task(steps.append, "background")
        steps.append(f"by {current_facts().author_id}")  # type: ignore[union-attr]
        return {"id": key}

    app.add_middleware(
        EventMiddleware,
        sink=lambda found: steps.append(f"event {found.resource_id}"),
        author=lambda _scope: 5,
    )
    ask(app, "PUT", "/v1/stories/3")
    assert steps[0] == "by 5"
    assert steps[-1] == "event 3"
    assert sorted(steps[1:-1]) == ["background", "commit"]


def test_a_plain_sink_never_holds_up_the_loop() -> None:
    released = threading.Event()
    kept: list[Event] = []

    def sink(event: Event) -> None:
        assert released.wait(10)
        kept.append(event)

    async def both() -> None:
        app = EventMiddleware(answering(200), sink)
        first = asyncio.create_task(serve(app, scope_of("PUT", "/v1/stories/1")))
        await serve(app, scope_of("GET", "/v1/stories/1"))
        assert not first.done()
        released.set()
        await asyncio.wait_for(first, 10)

    asyncio.run(both())
    assert len(kept) == 1


def test_sink_author_and_reader_may_be_coroutine_functions() -> None:
    events: list[Event] = []
    loops: set[int] = set()

    async def sink(event: Event) -> None:
        loops.add(id(asyncio.get_running_loop()))
        events.append(event)

    async def author(scope: Scope) -> str:
        return str(scope["path"])[-1]

    async def read(target: ResourcePath) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"id": target.resource_id, "password": "x"}

    images = ImageReader(read)
    ask(EventMiddleware(answering(200), sink, author=author, images=images), "PUT", "/v1/a/7")
    (found,) = events
    assert (found.author_id, found.resource_before, found.resource_after) == (
        "7",
        {"id": 7},
        {"id": 7},
    )
    assert len(loops) == 1


def test_a_failing_sink_author_or_reader_changes_nothing_but_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(_asked: Any) -> None:
        raise ConnectionError("is away")

    app = answering(200, {"id": 7})
    middleware = EventMiddleware(app, broken, author=broken, images=ImageReader(broken))
    assert ask(middleware, "PUT", "/v1/stories/7") == ask(app, "PUT", "/v1/stories/7")
    logged = caplog.records[-1].getMessage()
    assert "could not be recorded: is away" in logged
    assert json.loads(logged.partition("the event: ")[2])["resource_id"] == 7
    assert "counts as anonymous" in caplog.text
    assert caplog.text.count("has no image: is away") == 2


def test_an_author_found_by_the_application_counts() -> None:
    async def authenticating(scope: Scope, receive: Any, send: Any) -> None:
        scope["user"] = "ada"
        await answering(200)(scope, receive, send)

    events: list[Event] = []
    middleware = EventMiddleware(
        authenticating, events.append, author=lambda scope: scope.get("user")
    )
    ask(middleware, "PUT", "/v1/stories/1")
    assert events[0].author_id == "ada"


def test_a_cancelled_request_whose_change_was_made_still_has_its_event() -> None:
    started, released = threading.Event(), threading.Event()
    kept: list[Event] = []

    def sink(event: Event) -> None:
        started.set()
        assert released.wait(10)
        kept.append(event)

    async def cancelled() -> None:
        app = EventMiddleware(answering(200), sink)
        request = asyncio.create_task(serve(app, scope_of("PUT", "/v1/stories/1")))
        assert await asyncio.to_thread(started.wait, 10)
        request.cancel()
        await asyncio.sleep(0)
        assert not request.done()
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert len(kept) == 1

    asyncio.run(cancelled())


def test_an_event_loop_that_ends_while_the_event_is_written_leaves_it_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def ended() -> None:
        writing = asyncio.Event()

        async def sink(_event: Event) -> None:
            writing.set()
            await asyncio.Event().wait()

        app = EventMiddleware(answering(200), sink)
        request = asyncio.create_task(serve(app, scope_of("PUT", "/v1/stories/1")))
        await writing.wait()
        assert not request.done()

    asyncio.run(ended())
    (record,) = caplog.records
    logged = json.loads(record.getMessage().partition("the event: ")[2])
    assert (logged["resource"], logged["resource_id"]) == ("story", 1)


def test_an_application_that_is_cancelled_makes_no_event(caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = []

    async def cancelled() -> None:
        waiting = asyncio.Event()

        async def app(_scope: Scope, _receive: Any, _send: Any) -> None:
            waiting.set()
            await asyncio.Event().wait()

        middleware = EventMiddleware(app, events.append)
        request = asyncio.create_task(serve(middleware, scope_of("PUT", "/v1/stories/1")))
        await waiting.wait()
        request.cancel()
        with suppress(asyncio.CancelledError):
            await request
        assert request.cancelled()

    asyncio.run(cancelled())
    assert (events, caplog.records) == ([], [])


def test_requests_at_the_same_time_have_facts_of_their_own() -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        before = current_facts()
        assert before is not None
        await asyncio.sleep(0)
        inner = await asyncio.gather(asyncio.to_thread(current_facts), asyncio.sleep(0))
        assert inner[0] is before is current_facts()
        assert before.path == scope["path"]
        await answering(200)(scope, receive, send)

    async def many() -> None:
        middleware = EventMiddleware(app, events.append)
        await asyncio.gather(
            *(serve(middleware, scope_of("PUT", f"/v1/stories/{n}")) for n in range(20))
        )
        assert current_facts() is None

    events: list[Event] = []
    asyncio.run(many())
    assert sorted(found.resource_id for found in events) == list(range(20))  # type: ignore[type-var]


@pytest.mark.parametrize("path", ["/v1/stories/1", "/api/v1/stories/1"])
def test_servers_differ_in_whether_the_path_has_the_mounts(path: str) -> None:
    (found,) = events_of(answering(200), "PUT", path, root_path="/api")
    assert found.path == "/api/v1/stories/1"


def test_a_mounted_application_is_seen_under_its_mount() -> None:
    events: list[Event] = []
    inner = Starlette(
        routes=[Route("/v1/stories/{key}", lambda _request: PlainTextResponse(), methods=["PUT"])]
    )
    outer = Starlette(
        routes=[
            Mount(
                "/shop",
                app=EventMiddleware(inner, events.append, rules=PathRules(prefixes=("/shop/v1",))),
            )
        ]
    )
    ask(outer, "PUT", "/shop/v1/stories/1")
    assert [found.path for found in events] == ["/shop/v1/stories/1"]


def test_the_trace_of_a_request_is_among_its_facts() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        seen.append(current_facts())
        await answering(200)(scope, receive, send)

    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    states = [(b"tracestate", b"a=1"), (b"tracestate", b"b=2")]
    ask(EventMiddleware(app, None), "PUT", "/v1/a/1", (b"traceparent", parent), *states)
    twice = [(b"traceparent", parent)] * 2
    ask(EventMiddleware(app, None), "PUT", "/v1/a/1", *twice)
    assert [(facts.traceparent, facts.tracestate) for facts in seen] == [
        (parent.decode(), "a=1,b=2"),
        (None, None),
    ]


def test_headers_and_paths_that_are_no_text_break_nothing() -> None:
    headers = [(b"referer", b"\xff"), (b"traceparent", b"\xff")]
    assert events_of(answering(200), "PUT", "/v1/users/\udcff", *headers) == []
    (found,) = events_of(answering(200), "PUT", "/v1/users/1", *headers, query_string=b"\xff")
    found.encode()


def test_an_async_session_inside_records_with_the_requests_facts(
    sqlite_engine: Engine,
) -> None:
    Base.metadata.create_all(sqlite_engine)

    class Captured(Session):
        """A class of its own, since the listener is for these sessions only."""

    capture(Captured, RESOURCES)

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{sqlite_engine.url.database}")
        sessions = async_sessionmaker(engine, sync_session_class=Captured)
        async with sessions() as session, session.begin():
            assert isinstance(session, AsyncSession)
            session.add(Story(title="a"))
        await engine.dispose()
        await answering(201, {"id": 1})(scope, receive, send)

    middleware = EventMiddleware(app, outbox_sink(sqlite_engine), author=lambda _scope: 5)
    ask(middleware, "POST", "/v1/stories")
    (found,) = events_in(sqlite_engine)
    assert (found.path, found.author_id, found.status) == ("/v1/stories", 5, None)
    assert found.resource_after is not None


def test_a_plain_sink_writes_the_outbox(sqlite_engine: Engine) -> None:
    ask(EventMiddleware(answering(200), outbox_sink(sqlite_engine)), "PUT", "/v1/stories/4")
    assert [found.resource_id for found in events_in(sqlite_engine)] == [4]
