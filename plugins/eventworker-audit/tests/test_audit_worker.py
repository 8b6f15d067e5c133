"""What the plugin writes down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from eventworker_audit import AuditWorker
from eventworker_audit.table import audit_table
from sqlalchemy import Engine, select

from eventworker.engine.loader import Loaded, handle_arguments
from eventworker.event import Event
from eventworker.inbox.claims import FirstClaim, run_once

MakePlugin = Callable[..., AuditWorker]
PLUGIN_NUMBER = 1


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
    return Event(**(given | fields))


def hand_over(engine: Engine, plugin: AuditWorker, event: Event) -> bool:
    """Give the plugin an event as the daemon does: once, in one transaction with the inbox row."""
    loaded = Loaded("audit", plugin, handle_arguments(plugin))
    return run_once(
        engine,
        FirstClaim(event.id, PLUGIN_NUMBER),
        lambda session: loaded.call(session, None, event),
    )


def entries(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(select(audit_table)).mappings()]


def test_an_event_becomes_one_row_with_what_changed(
    engine: Engine, make_plugin: MakePlugin
) -> None:
    event = a_change()

    hand_over(engine, make_plugin(), event)

    assert entries(engine) == [
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


def test_a_second_delivery_of_the_same_event_writes_nothing(
    engine: Engine, make_plugin: MakePlugin
) -> None:
    plugin, event = make_plugin(), a_change()

    assert hand_over(engine, plugin, event) is True
    assert hand_over(engine, plugin, event) is False

    assert len(entries(engine)) == 1


def test_the_table_itself_does_not_hide_duplicates(engine: Engine, make_plugin: MakePlugin) -> None:
    plugin, event = make_plugin(), a_change()

    for number in (1, 2):
        run_once(
            engine,
            FirstClaim(event.id, number),
            lambda session: plugin.handle(session, event, event.resource, None, None),
        )

    assert [entry["event_id"] for entry in entries(engine)] == [event.id, event.id]


def test_an_event_without_author_path_or_images_is_written_down_too(
    engine: Engine, make_plugin: MakePlugin
) -> None:
    event = a_change(
        author_id=None, path=None, resource_id=None, resource_before=None, resource_after=None
    )

    hand_over(engine, make_plugin(), event)

    (entry,) = entries(engine)
    assert (entry["author"], entry["path"], entry["resource_id"]) == (None, None, None)
    assert entry["changed"] == {"before": {}, "after": {}}


def test_with_keep_images_the_whole_resource_is_kept(
    engine: Engine, make_plugin: MakePlugin
) -> None:
    event = a_change()

    hand_over(engine, make_plugin(keep_images=True), event)

    assert entries(engine)[0]["changed"] == {
        "before": event.resource_before,
        "after": event.resource_after,
    }


@pytest.mark.parametrize(
    ("wanted", "written"), [([], 2), (["story"], 1), (["task", "story"], 2), (["board"], 0)]
)
def test_only_the_resources_asked_for_are_written_down(
    engine: Engine, make_plugin: MakePlugin, wanted: list[str], written: int
) -> None:
    plugin = make_plugin(resources=wanted)

    hand_over(engine, plugin, a_change(resource="story"))
    hand_over(engine, plugin, a_change(resource="task"))

    assert len(entries(engine)) == written


def test_a_row_is_undone_with_the_call_that_wrote_it(
    engine: Engine, make_plugin: MakePlugin
) -> None:
    plugin, event = make_plugin(), a_change()

    def write_and_fail(session: Any) -> None:
        plugin.handle(session, event, event.resource, None, None)
        raise RuntimeError("after the row was written")

    with pytest.raises(RuntimeError):
        run_once(engine, FirstClaim(event.id, PLUGIN_NUMBER), write_and_fail)
    assert entries(engine) == []

    hand_over(engine, plugin, event)
    assert len(entries(engine)) == 1
