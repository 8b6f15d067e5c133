"""Images for capture after the fact: what a reader found before the application and after it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from eventworker.capture import ImageReader, ResourcePath
from eventworker.capture.wsgi import EventMiddleware
from eventworker.event import Event
from tests.helpers.wsgi import JSON, answering, ask

Rows = dict[ResourcePath, dict[str, Any]]
STORY = ResourcePath("story", 1)


class Site:
    """Stories in a dictionary, an application that changes them, and what was captured."""

    def __init__(self, **options: Any) -> None:
        self.rows: Rows = {STORY: {"id": 1, "title": "first", "version": 1}}
        self.events: list[Event] = []
        self.asked: list[ResourcePath] = []
        self.during: Callable[[], object] = lambda: None
        self.status = "200 OK"
        images = ImageReader(self.read, **options)
        self.app = EventMiddleware(self.change, self.events.append, images=images)

    def read(self, target: ResourcePath) -> dict[str, Any] | None:
        self.asked.append(target)
        found = self.rows.get(target)
        return None if found is None else dict(found)

    def change(self, environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        self.during()
        if environ["REQUEST_METHOD"] == "DELETE":
            del self.rows[STORY]
        elif environ["PATH_INFO"].endswith("stories"):
            self.rows[STORY._replace(resource_id=2)] = {"id": 2, "title": "new"}
        else:
            version = self.rows[STORY]["version"] + 1
            self.rows[STORY] = {"id": 1, "title": "second", "version": version}
        return iter(answering(self.status, JSON, {"id": 2})(environ, start_response))

    def event(self, method: str, path: str = "/v1/stories/1") -> Event:
        ask(self.app, method, path)
        return self.events[-1]


def test_a_change_has_both_images() -> None:
    found = Site().event("PUT")
    assert found.resource_before == {"id": 1, "title": "first", "version": 1}
    assert found.resource_after == {"id": 1, "title": "second", "version": 2}


def test_what_was_deleted_has_only_the_first_and_is_looked_at_once() -> None:
    site = Site()
    found = site.event("DELETE")
    assert found.resource_before == {"id": 1, "title": "first", "version": 1}
    assert found.resource_after is None
    assert site.asked == [STORY]


def test_what_was_created_has_only_the_second_found_by_the_responses_id() -> None:
    site = Site()
    found = site.event("POST", "/v1/stories")
    assert (found.resource_id, found.resource_before) == (2, None)
    assert found.resource_after == {"id": 2, "title": "new"}
    assert site.asked == [ResourcePath("story", 2)]


def test_the_id_zero_is_an_id() -> None:
    site = Site()
    zero = STORY._replace(resource_id=0)
    site.rows[zero] = {"id": 0}
    assert site.event("PUT", "/v1/stories/0").resource_after == {"id": 0}


def test_a_request_that_is_refused_is_looked_at_only_before() -> None:
    site = Site()
    site.status = "409 Conflict"
    ask(site.app, "PUT", "/v1/stories/1")
    assert (site.events, site.asked) == ([], [STORY])
    ask(site.app, "GET", "/v1/stories/1")
    assert site.asked == [STORY]


def test_secrets_are_left_out_at_every_depth() -> None:
    site = Site()
    site.rows[STORY] |= {
        "password_hash": "x",
        "owner": {"name": "ada", "Api_Token": "x", "keys": [{"secret": "x", "id": 1}]},
        "photo": b"x",
    }
    before = site.event("PUT").resource_before
    assert before is not None
    assert before["owner"] == {"name": "ada", "keys": [{"id": 1}]}
    assert "password_hash" not in before
    assert "photo" not in before
    assert Site(secrets=("title",)).event("PUT").resource_before == {"id": 1, "version": 1}


@pytest.mark.parametrize(
    "answer", [ValueError("no such table"), 5, {"a": object.__new__}, [["a", 1]], "text"]
)
def test_a_reader_that_fails_costs_the_image_and_a_line(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def read(_target: ResourcePath) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    events: list[Event] = []
    app = EventMiddleware(answering("200 OK"), events.append, images=ImageReader(read))
    assert ask(app, "PUT", "/v1/stories/1")[0] == "200 OK"
    if not isinstance(answer, dict):
        assert (events[0].resource_before, events[0].resource_after) == (None, None)
        assert "story/1 has no image" in caplog.text
    events[0].encode()


def test_two_requests_at_one_resource_at_a_time_are_noticed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = Site()

    def another() -> None:
        site.during = lambda: None
        ask(site.app, "PUT", "/v1/stories/1")

    site.during = another
    site.event("PUT")
    assert caplog.text.count("story/1 may show another request's change") == 2
    caplog.clear()
    site.event("PUT")
    assert caplog.records == []


def test_a_version_tells_of_a_change_by_another_process(caplog: pytest.LogCaptureFixture) -> None:
    site = Site(version="version")
    site.event("PUT")
    assert caplog.records == []

    def another_process() -> None:
        site.rows[STORY]["version"] += 1

    site.during = another_process
    found = site.event("PUT")
    assert "may show another request's change" in caplog.text
    assert found.resource_before is not None


def test_a_request_that_is_never_closed_is_not_met_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    site = Site()
    environ = {"REQUEST_METHOD": "PUT", "PATH_INFO": "/v1/stories/1"}
    dropped = site.app(environ, lambda *_arguments: lambda _chunk: None)
    del dropped
    site.event("PUT")
    assert caplog.records == []
