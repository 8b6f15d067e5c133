"""A session records what its transaction changed, in that transaction."""

from sqlalchemy import Engine, text, update
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from eventworker.capture.sqlalchemy import capture
from tests.helpers.stories import (
    Base,
    Draft,
    Story,
    captured_sessions,
    count_of,
    events_in,
    only,
)


def test_a_created_object_is_an_event_with_its_row_as_it_is_now(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions.begin() as session:
        made = Story(title="Příběh")
        session.add(made)
    found = only(events_in(engine))
    assert (found.method, found.resource, found.resource_id) == ("POST", "story", made.id)
    assert found.resource_before is None
    assert found.resource_after == {
        "id": made.id,
        "title": "Příběh",
        "description": None,
        "votes": 0,
        "state": "new",
    }
    assert found.source == "tracker"
    assert found.author_id is None


def test_a_created_object_costs_no_select(
    sessions: sessionmaker[Session], selects: list[str]
) -> None:
    with sessions.begin() as session:
        session.add_all([Story(title=str(number)) for number in range(10)])
    assert selects == []


def test_a_changed_object_is_an_event_with_both_images(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        session.get_one(Story, story).title = "second"
    found = only(events_in(engine))
    assert (found.method, found.resource_id) == ("PUT", story)
    assert found.resource_before is not None
    assert found.resource_after == {**found.resource_before, "title": "second"}
    assert found.resource_before["title"] == "first"
    assert found.resource_before["description"] == "text"


def test_a_deleted_object_is_an_event_with_its_last_image(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        loaded.title = "never written"
        session.delete(loaded)
    found = only(events_in(engine))
    assert (found.method, found.resource_id, found.resource_after) == ("DELETE", story, None)
    assert found.resource_before is not None
    assert found.resource_before["title"] == "first"


def test_attributes_that_were_not_loaded_are_in_the_image_before(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        session.expire(loaded)
        loaded.title = "second"
    found = only(events_in(engine))
    assert found.resource_before is not None
    assert found.resource_before["title"] == "first"
    assert found.resource_before["description"] == "text"


def test_objects_that_expire_with_each_commit_have_their_images_all_the_same(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions(expire_on_commit=True) as session:
        made = Story(title="first")
        session.add(made)
        session.commit()
        made.title = "second"
        session.commit()
        session.delete(made)
        session.commit()
    titles = [
        [image and image["title"] for image in (found.resource_before, found.resource_after)]
        for found in events_in(engine)
    ]
    assert titles == [[None, "first"], ["first", "second"], ["second", None]]


def test_a_value_that_the_database_computes_is_in_the_image_after(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        session.get_one(Story, story).votes = Story.votes + 5
    found = only(events_in(engine))
    assert found.resource_before is not None
    assert found.resource_after == {**found.resource_before, "votes": 5}
    assert found.resource_before["votes"] == 0


def test_several_flushes_make_one_event_from_the_first_before_to_the_last_after(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        for title in ("second", "third", "fourth"):
            loaded.title = title
            session.flush()
    found = only(events_in(engine))
    assert found.resource_before is not None
    assert found.resource_after is not None
    assert (found.resource_before["title"], found.resource_after["title"]) == ("first", "fourth")


def test_created_and_then_changed_is_created(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions.begin() as session:
        made = Story(title="a")
        session.add(made)
        session.flush()
        made.title = "b"
    found = only(events_in(engine))
    assert (found.method, found.resource_before) == ("POST", None)
    assert found.resource_after is not None
    assert found.resource_after["title"] == "b"


def test_created_and_deleted_in_one_transaction_is_nothing(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with sessions.begin() as session:
        made = Story(title="a")
        session.add(made)
        session.flush()
        session.delete(made)
    assert events_in(engine) == []


def test_changed_and_then_deleted_is_deleted_with_the_first_image(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        loaded.title = "second"
        session.flush()
        session.delete(loaded)
    found = only(events_in(engine))
    assert found.method == "DELETE"
    assert found.resource_before is not None
    assert found.resource_before["title"] == "first"


def test_changed_and_changed_back_is_nothing(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        for title in ("second", "first"):
            loaded.title = title
            session.flush()
    assert events_in(engine) == []


def test_a_replaced_row_is_deleted_and_created(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        session.delete(session.get_one(Story, story))
        session.add(Story(id=story, title="other"))
    assert [found.method for found in events_in(engine)] in (["DELETE", "POST"], ["POST", "DELETE"])


def test_what_is_only_read_or_set_to_the_same_is_nothing(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        loaded = session.get_one(Story, story)
        loaded.title = "first"
        session.add(Draft(text="not captured"))
    assert events_in(engine) == []


def test_statements_that_pass_objects_by_are_not_seen(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with sessions.begin() as session:
        session.execute(update(Story).values(title="all"))
        session.execute(text("DELETE FROM task"))
    assert events_in(engine) == []


def test_a_scoped_session_and_a_single_session_can_be_captured(engine: Engine) -> None:
    Base.metadata.create_all(engine)
    scoped = scoped_session(sessionmaker(engine))
    capture(scoped, {Story: "story"})
    scoped.add(Story(title="a"))
    scoped.commit()
    scoped.remove()
    with Session(engine) as session, Session(engine) as other:
        capture(session, {Story: "story"})
        session.add(Story(title="b"))
        session.commit()
        other.add(Story(title="c"))
        other.commit()
    assert count_of(engine) == 2


def test_two_captures_of_one_factory_are_independent(engine: Engine) -> None:
    sessions = captured_sessions(engine)
    capture(sessions, {Draft: "draft"})
    with sessions.begin() as session:
        session.add_all([Story(title="a"), Draft(text="b")])
    assert sorted(found.resource for found in events_in(engine)) == ["draft", "story"]


def test_a_session_is_left_with_nothing_of_ours_after_its_transaction(
    sessions: sessionmaker[Session], story: int
) -> None:
    with sessions() as session:
        session.get_one(Story, story).title = "second"
        session.commit()
        session.add(Story(title="other"))
        session.flush()
        session.rollback()
        assert session.info == {}
