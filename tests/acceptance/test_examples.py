"""The small examples: each framework's notebook, from requests to effects counted once."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest

from eventworker.event import decode
from tests.acceptance.application import example
from tests.acceptance.site import Site
from tests.servers import wait_until

#: Python 3.11 and 3.12 warn of the module cgi, which WebOb imports; see test_capture_pecan.
WEBOB = {"PYTHONWARNINGS": "error,ignore:'cgi' is deprecated:DeprecationWarning"}


def send(connection: HTTPConnection, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    headers = {"X-User-Id": "ada", "Content-Type": "application/json"}
    connection.request(method, path, json.dumps(body or {}), headers)
    response = connection.getresponse()
    answer = response.read()
    return response.status, json.loads(answer) if answer and response.status < 300 else None


def use(connection: HTTPConnection) -> None:
    """A note's life, and requests that are refused."""
    status, made = send(connection, "POST", "/v1/notes", {"text": "first"})
    assert (status, made["text"]) == (201, "first")
    note = f"/v1/notes/{made['id']}"
    assert send(connection, "PUT", note, {"text": "second"})[0] == 200
    assert send(connection, "PATCH", note, {"text": "third"})[0] == 200
    assert send(connection, "POST", note + "/close")[1]["is_closed"] is True
    assert send(connection, "DELETE", note)[0] == 204
    assert send(connection, "DELETE", note)[0] == 404
    assert send(connection, "PUT", note, {"text": "x"})[0] == 404
    assert send(connection, "POST", "/v1/nothing", {"text": "x"})[0] in (404, 405)


def recorded(site: Site) -> list[Any]:
    rows = site.probe.rows("SELECT body FROM eventworker_outbox ORDER BY id")
    return [decode(body) for (body,) in rows]


@pytest.mark.parametrize(
    ("name", "env", "closing_method"),
    [
        # A transaction says what happened to the row, a finished request by which verb.
        ("fastapi_notes", {}, "PUT"),
        ("django_notes", {}, "PUT"),
        ("pecan_notes", WEBOB, "POST"),
    ],
)
def test_each_change_of_a_note_has_each_effect_once(
    name: str,
    env: dict[str, str],
    closing_method: str,
    make_site: Callable[..., Site],
    sqlite_database: str,
) -> None:
    site = make_site(sqlite_database)
    site.start(workers=1, ready=False)
    is_django = name == "django_notes"
    with (
        example(name, site.installation, site.folder, site.url, **env) as port,
        closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection,
    ):
        use(connection)
        if is_django:
            assert send(connection, "POST", "/v1/labels", {"text": "red"})[0] == 201
    expected = 6 if is_django else 5
    probe = site.probe
    wait_until(
        lambda: probe.effect_count() >= 2 * expected,
        20,
        lambda: f"{probe.effect_count()} of {2 * expected} effects",
    )
    site.stop_all()
    ids = probe.recorded()
    assert probe.effects() == Counter((i, plugin) for i in ids for plugin in ("alpha", "beta"))

    events = recorded(site)
    labels = [(e.method, e.resource_id, e.status) for e in events if e.resource == "label"]
    assert labels == ([("POST", 1, 201)] if is_django else [])
    notes = [event for event in events if event.resource == "note"]
    assert {event.resource_id for event in notes} == {1}
    assert {event.author_id for event in events} == {"ada"}
    assert [event.method for event in notes] == ["POST", "PUT", "PATCH", closing_method, "DELETE"]
    assert [event.path for event in notes][3] == "/v1/notes/1/close"
    texts = [
        tuple(image["text"] if image else None for image in (e.resource_before, e.resource_after))
        for e in notes
    ]
    assert texts == [
        (None, "first"),
        ("first", "second"),
        ("second", "third"),
        ("third", "third"),
        ("third", None),
    ]
    assert notes[3].resource_after is not None
    assert bool(notes[3].resource_after["is_closed"])
