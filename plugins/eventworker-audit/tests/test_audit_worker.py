"""What the plugin writes down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from eventworker_audit.table import audit_table
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from eventworker.event import Event
from eventworker.testing import Harness, make_event

MakeHarness = Callable[..., Harness]


def a_change(**fields: Any) -> Event:
    given: dict[str, Any] = {
        "author_id": 7,
        "method": "PUT",
        "path": "/api/v1/stories/42",
        "resource": "story",
        "resource_id": 42,
        "resource_before": {"title": "Old", "private": False, "updated_at": "yesterday"},
        "resource_after": {"title": "New", "private": False, "updated_at": "today"},
        "time": datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
    }
    return make_event(**(given | fields))


def entries(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(audit_table)).mappings()]


def test_an_event_becomes_one_row_with_what_changed(make_harness: MakeHarness) -> None:
    harness, event = make_harness(), a_change()

    assert harness.deliver(event).done

    assert entries(harness.engine) == [
        {
            "id": 1,
            "event_id": event.id,
            "at": event.time,
            "author": "7",
            "method": "PUT",
            "path": "/api/v1/stories/42",
            "resource": "story",
            "resource_id": "42",
            "changed": {"before": {"title": "Old"}, "after": {"title": "New"}},
        }
    ]


def test_a_second_delivery_of_the_same_event_writes_nothing(make_harness: MakeHarness) -> None:
    harness = make_harness()

    harness.deliver_twice(a_change())

    assert len(entries(harness.engine)) == 1


def test_the_table_itself_does_not_hide_duplicates(make_harness: MakeHarness) -> None:
    harness, event = make_harness(), a_change()

    with Session(harness.engine) as session, session.begin():
        for _ in range(2):
            harness.plugin.handle(session, event, event.resource, None, None)

    assert [entry["event_id"] for entry in entries(harness.engine)] == [event.id, event.id]


def test_an_event_without_author_path_or_images_is_written_down_too(
    make_harness: MakeHarness,
) -> None:
    harness = make_harness()

    harness.deliver(
        a_change(
            author_id=None, path=None, resource_id=None, resource_before=None, resource_after=None
        )
    )

    (entry,) = entries(harness.engine)
    assert (entry["author"], entry["path"], entry["resource_id"]) == (None, None, None)
    assert entry["changed"] == {"before": {}, "after": {}}


def test_with_keep_images_the_whole_resource_is_kept(make_harness: MakeHarness) -> None:
    harness, event = make_harness(keep_images=True), a_change()

    harness.deliver(event)

    assert entries(harness.engine)[0]["changed"] == {
        "before": event.resource_before,
        "after": event.resource_after,
    }


def test_a_row_is_undone_with_the_call_that_wrote_it(make_harness: MakeHarness) -> None:
    harness, event = make_harness(), a_change()

    harness.crash(event)
    assert entries(harness.engine) == []

    assert harness.deliver(event, redelivered=True).done
    assert len(entries(harness.engine)) == 1
