"""Capture by Pecan's hook, in applications of Pecan's own."""

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from eventworker.capture import ImageReader, current_facts
from eventworker.capture.wsgi import EventMiddleware
from eventworker.event import Event
from tests.helpers.stories import Story, captured_sessions, events_in
from tests.helpers.wsgi import ask

with warnings.catch_warnings():
    # WebOb, which Pecan rests on, imports cgi, and Python 3.11 and 3.12 warn of that; with 3.13 it
    # installs legacy-cgi. Nothing else may warn.
    warnings.filterwarnings("ignore", "'cgi' is deprecated", DeprecationWarning)
    import pecan
    import pecan.rest
    from pecan.hooks import PecanHook, TransactionHook
    from webob import Response

    from eventworker.capture.pecan import EventHook


class Stories(pecan.rest.RestController):
    """What each of them does, `behaviour` says."""

    behaviour: Any = staticmethod(lambda: None)

    @pecan.expose("json")
    def get_one(self, key: str) -> dict[str, Any]:
        type(self).behaviour()
        return {"id": key}

    @pecan.expose("json")
    def post(self) -> dict[str, Any]:
        type(self).behaviour()
        pecan.response.status = 201
        return {"id": 7}

    @pecan.expose("json")
    def put(self, key: str) -> dict[str, Any]:
        type(self).behaviour()
        return {"id": key}

    @pecan.expose()
    def delete(self, key: str) -> None:
        type(self).behaviour()
        pecan.response.status = 204


class Version:
    stories = Stories()


class Root:
    v1 = Version()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture(autouse=True)
def behaviour(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Sets what the controllers do; nothing of a request may be left after the test."""
    yield lambda function: monkeypatch.setattr(Stories, "behaviour", staticmethod(function))
    assert current_facts() is None


def app_with(*hooks: Any) -> Any:
    return pecan.make_app(Root(), hooks=list(hooks))


def test_changes_are_events_with_status_and_author(events: list[Event]) -> None:
    app = app_with(EventHook(events.append, author=lambda request: request.headers.get("X-User")))
    ask(app, "PUT", "/v1/stories/3", HTTP_X_USER="ada", QUERY_STRING="q=1", HTTP_REFERER="http://x")
    ask(app, "DELETE", "/v1/stories/3")
    ask(app, "POST", "/v1/stories")
    ask(app, "GET", "/v1/stories/3")
    assert [(e.method, e.resource, e.resource_id, e.status, e.author_id) for e in events] == [
        ("PUT", "story", 3, 200, "ada"),
        ("DELETE", "story", 3, 204, None),
        ("POST", "story", 7, 201, None),
    ]
    assert (events[0].path, events[0].query_string) == ("/v1/stories/3", "q=1")
    assert events[0].url == "http://x"


def test_images_are_read_before_the_controller_and_after_it(
    events: list[Event], behaviour: Any
) -> None:
    state = {"title": "first", "secret": "x"}
    behaviour(lambda: state.update(title="second"))
    images = ImageReader(lambda _target: dict(state))
    ask(app_with(EventHook(events.append, images=images)), "PUT", "/v1/stories/3")
    assert events[0].resource_before == {"title": "first"}
    assert events[0].resource_after == {"title": "second"}


def test_refusals_and_unknown_paths_are_no_events(events: list[Event], behaviour: Any) -> None:
    app = app_with(EventHook(events.append))
    behaviour(lambda: pecan.abort(409))
    assert ask(app, "PUT", "/v1/stories/3")[0].startswith("409")
    assert ask(app, "PUT", "/v1/nothing/3")[0].startswith("404")
    assert events == []


def test_a_redirect_is_a_success(events: list[Event], behaviour: Any) -> None:
    behaviour(lambda: pecan.redirect("/v1/stories/8", code=303))
    ask(app_with(EventHook(events.append)), "POST", "/v1/stories")
    assert [(found.status, found.resource_id) for found in events] == [(303, 8)]


def test_a_controller_that_raises_makes_no_event_and_its_error_passes(
    events: list[Event], behaviour: Any
) -> None:
    def fail() -> None:
        raise LookupError("of the controller")

    behaviour(fail)
    with pytest.raises(LookupError, match="of the controller"):
        ask(app_with(EventHook(events.append)), "PUT", "/v1/stories/3")
    assert events == []


def test_an_error_that_another_hook_answers_counts_by_its_status(
    events: list[Event], behaviour: Any
) -> None:
    class Answering(PecanHook):  # type: ignore[misc]
        def on_error(self, _state: Any, error: Exception) -> Response:
            return Response(status=int(str(error)))

    def fail() -> None:
        raise LookupError(statuses.pop())

    statuses = ["500", "202"]
    behaviour(fail)
    app = app_with(EventHook(events.append), Answering())
    for _ in range(2):
        ask(app, "PUT", "/v1/stories/3")
    assert [found.status for found in events] == [202]


def test_the_event_is_made_after_pecans_transaction_hook_has_committed(
    behaviour: Any,
) -> None:
    steps: list[str] = []
    nothing = lambda: None  # noqa: E731
    transaction = TransactionHook(
        nothing, nothing, lambda: steps.append("commit"), nothing, nothing
    )
    behaviour(lambda: steps.append("controller"))
    app = app_with(transaction, EventHook(lambda _event: steps.append("event")))
    ask(app, "PUT", "/v1/stories/3")
    assert steps == ["controller", "commit", "event"]


def test_a_commit_that_fails_makes_no_event_and_leaves_nothing_for_the_next_request(
    events: list[Event], behaviour: Any
) -> None:
    class Failing(PecanHook):  # type: ignore[misc]
        def after(self, _state: Any) -> None:
            if self.fails:
                raise LookupError("of the commit")

        fails = True

    seen: list[Any] = []
    failing = Failing()
    app = app_with(EventHook(events.append), failing)
    with pytest.raises(LookupError, match="of the commit"):
        ask(app, "PUT", "/v1/stories/3")
    failing.fails = False
    behaviour(lambda: seen.append(current_facts()))
    assert ask(app, "PUT", "/v1/nothing/3")[0].startswith("404")
    assert current_facts() is None
    ask(app, "PUT", "/v1/stories/4")
    assert [facts.path for facts in seen] == ["/v1/stories/4"]
    assert [found.resource_id for found in events] == [4]


def test_an_authentication_that_comes_later_tells_the_author(events: list[Event]) -> None:
    class Authentication(PecanHook):  # type: ignore[misc]
        def before(self, state: Any) -> None:
            state.request.current_user_id = 5

    def author(request: Any) -> int | None:
        return getattr(request, "current_user_id", None)

    ask(app_with(Authentication(), EventHook(events.append, author=author)), "PUT", "/v1/stories/3")
    assert [found.author_id for found in events] == [5]


def test_a_session_inside_records_with_the_requests_facts(
    sqlite_engine: Engine, events: list[Event], behaviour: Any
) -> None:
    sessions = captured_sessions(sqlite_engine)

    def write() -> None:
        with sessions.begin() as session:
            assert isinstance(session, Session)
            session.add(Story(title="a"))

    behaviour(write)
    ask(app_with(EventHook(events.append, author=lambda _request: 5)), "POST", "/v1/stories")
    (found,) = events_in(sqlite_engine)
    assert (found.path, found.author_id) == ("/v1/stories", 5)
    assert events == []


def test_the_facts_of_a_middleware_around_it_are_current_again_afterwards(
    events: list[Event],
) -> None:
    seen: list[Any] = []
    pecans = app_with(EventHook(events.append))

    def between(environ: Any, start_response: Any) -> Any:
        first = current_facts()
        answer = pecans(environ, start_response)
        seen.append(current_facts() is first is not None)
        return answer

    ask(EventMiddleware(between, None), "PUT", "/v1/stories/3")
    assert seen == [True]
    assert len(events) == 1


def test_a_sink_that_fails_is_the_logs_business(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def sink(_event: Event) -> None:
        raise ConnectionError("is away")

    assert ask(app_with(EventHook(sink)), "PUT", "/v1/stories/3")[0] == "200 OK"
    logged = caplog.records[-1].getMessage()
    assert json.loads(logged.partition("the event: ")[2])["resource_id"] == 3
