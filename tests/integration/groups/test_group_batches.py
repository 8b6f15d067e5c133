"""Plugins that take the events of a group all at once."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from eventworker import effects as effect_outbox
from eventworker.event import Event
from tests.helpers.databases import deliveries, rows
from tests.helpers.events import make_event
from tests.helpers.groups import Batcher, all_done_once, events, failing, on
from tests.helpers.plugins import Workshop, loaded


def test_a_plugin_may_take_several_events_at_once(engine: Engine, commits: list[int]) -> None:
    plugin = Batcher()
    shop = Workshop(engine, loaded(plugin), refresh=60.0)
    some = events(8)
    shop.dispatch(some[0])
    commits.clear()
    shop.dispatch_together(*some)
    assert len(commits) == 2
    assert (plugin.calls, plugin.batches) == (1, [some[1:]])
    assert all_done_once(engine, some)


def test_a_batch_that_fails_is_done_in_parts_and_the_bad_event_alone(engine: Engine) -> None:
    def refuse(_session: Any, batch: list[Event]) -> None:
        if any(each.resource_id == 5 for each in batch):
            raise ValueError("one of them")

    plugin = Batcher(refuse)
    plugin.body = on(5, failing(ValueError("this one")))
    shop = Workshop(engine, loaded(plugin))
    some = events(8)
    shop.dispatch_together(*some)
    assert all_done_once(engine, [each for each in some if each.resource_id != 5])
    (row,) = deliveries(engine)
    assert (row.event_id, row.attempts, row.error) == (some[5].id, 1, "ValueError: this one")


def test_an_effect_of_a_batch_names_its_event(engine: Engine) -> None:
    refusals: list[str] = []

    def add_effects(session: Any, batch: list[Event]) -> None:
        for each in batch:
            effect_outbox.add(session, {"of": each.resource_id}, event=each)
        for wrong in ({}, {"event": make_event()}):
            try:
                effect_outbox.add(session, {}, **wrong)
            except Exception as error:
                refusals.append(str(error))

    plugin = Batcher(add_effects)
    plugin.perform = lambda effect: None  # type: ignore[attr-defined]
    some = events(3)
    Workshop(engine, loaded(plugin)).dispatch_together(*some)
    added = rows(engine, effect_outbox.table.effect_table)
    assert {row.event_id for row in added} == {each.id for each in some}
    assert len(refusals) == 2
    assert "event=" in refusals[0]


def test_a_batch_plugin_that_is_not_transactional_has_each_event_alone(engine: Engine) -> None:
    plugin = Batcher()
    plugin.transactional = False  # type: ignore[attr-defined]
    shop = Workshop(engine, loaded(plugin))
    some = events(3)
    shop.dispatch_together(*some)
    assert (plugin.calls, plugin.batches) == (3, [])
