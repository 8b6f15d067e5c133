"""What the running request adds to the events that are recorded while it runs."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from eventworker.capture import PathRules, current_facts, request_facts
from tests.helpers.stories import Comment, Story, captured_sessions, clear, count_of, events_in


@pytest.fixture
def engine(sqlite_engine: Engine) -> Engine:
    return sqlite_engine


@pytest.fixture
def sessions(engine: Engine) -> sessionmaker[Session]:
    return captured_sessions(engine)


@pytest.fixture
def story(sessions: sessionmaker[Session], engine: Engine) -> int:
    with sessions.begin() as session:
        made = Story(title="first")
        session.add(made)
    clear(engine)
    return made.id


def test_outside_of_a_request_there_are_no_facts() -> None:
    assert current_facts() is None
    with request_facts("PUT", "/v1/stories/1") as facts:
        assert current_facts() is facts
        with ThreadPoolExecutor() as pool:
            assert pool.submit(current_facts).result() is None
    assert current_facts() is None


def test_an_event_of_the_object_that_the_path_names_is_the_requests(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    asked = request_facts(
        "PATCH",
        f"/v1/stories/{story}",
        author_id=5,
        url="http://here/#!/story",
        query_string="a=b",
        source="web",
    )
    with asked, sessions.begin() as session:
        session.get_one(Story, story).title = "second"
    (found,) = events_in(engine)
    assert (found.method, found.path) == ("PATCH", f"/v1/stories/{story}")
    assert (found.url, found.query_string) == ("http://here/#!/story", "a=b")
    assert (found.author_id, found.source) == (5, "web")


def test_an_event_of_another_object_has_only_the_author(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    asked = request_facts("PATCH", "/v1/stories/999", author_id="ada", url="http://here/")
    with asked, sessions.begin() as session:
        session.get_one(Story, story).title = "second"
    (found,) = events_in(engine)
    assert (found.method, found.path, found.url) == ("PUT", None, None)
    assert found.author_id == "ada"


@pytest.mark.parametrize("path", ["/v1/stories", "/api/v1/stories/"])
def test_a_created_object_is_named_by_its_collection(
    sessions: sessionmaker[Session], engine: Engine, path: str
) -> None:
    with request_facts("POST", path), sessions.begin() as session:
        session.add(Story(title="a"))
    (found,) = events_in(engine)
    assert (found.method, found.path) == ("POST", path)


def test_a_created_sub_resource_is_named_by_its_collection_under_the_same_parent(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    for parent in (story, story + 1):
        asked = request_facts("POST", f"/v1/stories/{parent}/comments")
        with asked, sessions.begin() as session:
            session.add(Comment(story_id=story, text="a"))
    assert [found.path for found in events_in(engine)] == [f"/v1/stories/{story}/comments", None]


def test_the_method_says_what_happened_to_the_object_not_how_it_was_asked_for(
    sessions: sessionmaker[Session], engine: Engine, story: int
) -> None:
    with request_facts("POST", f"/v1/stories/{story}"), sessions.begin() as session:
        session.delete(session.get_one(Story, story))
    (found,) = events_in(engine)
    assert (found.method, found.path) == ("DELETE", f"/v1/stories/{story}")


def test_the_author_may_become_known_while_the_request_runs(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    with request_facts("POST", "/v1/stories"), sessions.begin() as session:
        session.add(Story(title="a"))
        session.flush()
        facts = current_facts()
        assert facts is not None
        facts.author_id = 7
    assert events_in(engine)[0].author_id == 7


def test_what_was_recorded_is_known_after_the_commit_and_not_after_a_rollback(
    sessions: sessionmaker[Session],
) -> None:
    with request_facts("POST", "/v1/stories") as facts, sessions() as session:
        session.add(Story(title="a"))
        session.flush()
        session.rollback()
        assert facts.recorded == set()
        session.add(Story(title="a"))
        with session.begin_nested():
            session.add(Story(title="b"))
        assert facts.recorded == set()
        session.commit()
        assert facts.recorded == {"story"}


def test_a_clients_monstrous_headers_break_no_commit(
    sessions: sessionmaker[Session], engine: Engine
) -> None:
    asked = request_facts(
        "POST", "/v1/stories", url="http://\ud800/" + "x" * 100_000, query_string="y" * 100_000
    )
    with asked, sessions.begin() as session:
        session.add(Story(title="a"))
    assert count_of(engine) == 1


def test_paths_are_read_by_the_given_rules(sessions: sessionmaker[Session], engine: Engine) -> None:
    rules = PathRules(prefixes=("/rest",), singular={"tales": "story"})
    with request_facts("POST", "/rest/tales", rules=rules), sessions.begin() as session:
        session.add(Story(title="a"))
    assert events_in(engine)[0].path == "/rest/tales"
