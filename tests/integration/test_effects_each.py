"""A hundred thousand effects by one statement: nothing of them passes through the process."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, and_, func, insert, literal, select
from sqlalchemy.orm import aliased

from eventworker import effects
from eventworker.effects.table import effect_table, shared_table
from eventworker.errors import EncodeError, PluginError
from tests.helpers.databases import Author, count
from tests.helpers.effects import Mailer, add, make_due, waiting
from tests.helpers.events import make_event
from tests.helpers.plugins import Body, Plugin, Workshop, loaded, time_limits

NAMES = [f"näme {number}" for number in range(1, 101)]


@pytest.fixture(autouse=True)
def _limits() -> Iterator[None]:
    with time_limits():
        yield


@pytest.fixture
def authors(engine: Engine) -> Engine:
    with engine.begin() as connection:
        rows = [{"id": number, "name": name} for number, name in enumerate(NAMES, 1)]
        connection.execute(insert(Author), rows)
    return engine


def each_author(**more: Any) -> Body:
    def body(session: Any, _: Any) -> None:
        source = select(Author.id.label("to"), Author.name).order_by(Author.id)
        assert effects.add_each(session, source, **more) == len(NAMES)

    return body


def test_each_row_is_an_effect_with_what_all_of_them_share(authors: Engine) -> None:
    shared = {"subject": "ä \u0000", "to": "overridden"}
    mailer, event = Mailer(each_author(shared=shared)), make_event()
    shop = Workshop(authors, loaded(mailer))
    shop.dispatch(event)
    assert count(authors, shared_table) == 1
    while shop.performer.run_due():
        pass
    wanted = [{**shared, "to": number, "name": name} for number, name in enumerate(NAMES, 1)]
    assert sorted(mailer.payloads, key=lambda payload: payload["to"]) == wanted
    assert {each.n for each in mailer.performed} == set(range(1, len(NAMES) + 1))
    assert waiting(authors) == []


def test_the_numbers_go_on_where_the_last_one_was(authors: Engine) -> None:
    def body(session: Any, event: Any) -> None:
        effects.add(session, "first")
        each_author(shared={"a": 1})(session, event)
        each_author(shared={"a": 2})(session, event)
        effects.add(session, "last")

    mailer = Mailer(body)
    shop = Workshop(authors, loaded(mailer))
    shop.dispatch(make_event())
    while shop.performer.run_due():
        pass
    by_number = {each.n: each.payload for each in mailer.performed}
    last = 2 * len(NAMES) + 2
    assert set(by_number) == set(range(1, last + 1))
    assert (by_number[1], by_number[last]) == ("first", "last")
    assert [by_number[n]["a"] for n in range(2, last)] == [1] * len(NAMES) + [2] * len(NAMES)


def test_they_are_undone_with_the_call(authors: Engine) -> None:
    def body(session: Any, event: Any) -> None:
        each_author(shared={"a": 1})(session, event)
        raise ValueError("no")

    Workshop(authors, loaded(Mailer(body))).dispatch(make_event())
    assert (count(authors, effect_table), count(authors, shared_table)) == (0, 0)


def test_they_are_delayed_together(authors: Engine) -> None:
    shop = Workshop(authors, loaded(Mailer(each_author(delay=60.0))))
    shop.dispatch(make_event())
    assert shop.performer.run_due() == 0
    make_due(authors)
    assert shop.performer.run_due() > 0


def test_no_rows_are_no_effects(engine: Engine) -> None:
    def body(session: Any, _: Any) -> None:
        assert effects.add_each(session, select(Author.id), shared={"a": 1}) == 0

    Workshop(engine, loaded(Mailer(body))).dispatch(make_event())
    assert waiting(engine) == []


def test_the_same_is_refused_as_with_one(sqlite_engine: Engine) -> None:
    said: list[str] = []

    def body(session: Any, _: Any) -> None:
        with pytest.raises(EncodeError):
            effects.add_each(session, select(Author.id), shared={"a": b""})
        said.append("yes")

    Workshop(sqlite_engine, loaded(Mailer(body))).dispatch(make_event())
    with pytest.raises(PluginError):
        effects.add_each(None, select(Author.id))
    assert said == ["yes"]


def test_a_hundred_thousand_take_no_memory_and_hold_nobody_up(authors: Engine) -> None:
    peaks: list[int] = []
    a, b, c = (aliased(Author) for _ in range(3))

    def body(session: Any, _: Any) -> None:
        few = select(a.id.label("to"), literal(1).label("batch"))
        many = select(a.id.label("to"), b.id.label("batch")).join(b, a.id > -b.id)
        many = many.join(c, and_(a.id > -c.id, c.id <= 10))
        # The first time, everything is compiled.
        effects.add_each(session, few, shared={"subject": "few"})
        for source, number in ((few, 100), (many, 100_000)):
            tracemalloc.start()
            assert effects.add_each(session, source, shared={"subject": "hello"}) == number
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()

    crowd, single = Mailer(body, name="crowd"), Mailer(add("mine"), name="single")
    shop = Workshop(authors, loaded(crowd), loaded(single))
    shop.dispatch(make_event())
    assert count(authors, effect_table) == 100_201
    assert peaks[1] < 2 * peaks[0] + 100_000, f"bytes: {peaks}"
    with authors.connect() as connection:
        assert connection.scalar(select(func.max(effect_table.c.n))) == 100_200
    assert shop.performer.run_due() <= 32
    assert single.payloads == ["mine"]


def test_a_plugin_without_perform_is_told(authors: Engine) -> None:
    Workshop(authors, loaded(Plugin("quiet", each_author()))).dispatch(make_event())
    assert waiting(authors) == []
