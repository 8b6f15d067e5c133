"""The functions of ``storyboard.db.api.base``, within the session that they are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session
from storyboard.common.exception import NotFound, SessionRequired
from storyboard.db import models
from storyboard.db.api import base as db_api
from storyboard.db.api import subscriptions as sub_api

from eventworker.event import uuid7
from eventworker.inbox.claims import FirstClaim, run_once


@pytest.fixture
def users(session: Session) -> list[models.User]:
    users = [
        models.User(id=number, full_name=name, email=f"{name.lower()}@example.org")
        for number, name in enumerate(["Ada", "Grace", "Adele"], start=1)
    ]
    session.add_all(users)
    session.flush()
    return users


@pytest.mark.parametrize("entity_id", [2, "2"])
def test_a_record_is_found_by_its_id(
    session: Session, users: list[models.User], entity_id: Any
) -> None:
    assert db_api.entity_get(models.User, entity_id, session=session) is users[1]


@pytest.mark.parametrize("entity_id", [99, "99", "two", "", None, True, -2, 2.0, "1_0", 2**31])
def test_what_is_not_there_is_none(session: Session, entity_id: Any) -> None:
    assert db_api.entity_get(models.User, entity_id, session=session) is None


def test_the_public_view_is_a_copy_without_the_rest(
    session: Session, users: list[models.User]
) -> None:
    users[0].is_staff = True

    public = db_api.entity_get(models.User, 1, filter_non_public=True, session=session)

    assert public is not None
    assert (public.full_name, public.is_staff) == ("Ada", None)
    assert public not in session


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [1, 2, 3]),
        ({"full_name": "Ad"}, [1, 3]),
        ({"full_name": "A%"}, []),
        ({"full_name": None}, [1, 2, 3]),
        ({"id": "2"}, [2]),
        ({"id": [1, 3]}, [1, 3]),
        ({"is_active": True}, [1, 2, 3]),
        ({"is_active": False}, []),
        ({"limit": 1, "offset": 1}, [2]),
        ({"sort_field": "full_name", "sort_dir": "desc"}, [2, 3, 1]),
        ({"sort_field": None, "sort_dir": None}, [1, 2, 3]),
    ],
)
def test_records_are_filtered_and_sorted(
    session: Session, users: list[models.User], filters: dict[str, Any], found: list[int]
) -> None:
    entities = db_api.entity_get_all(models.User, session=session, **filters)

    assert [entity.id for entity in entities] == found


def test_an_enumerated_column_is_compared_as_a_whole(session: Session) -> None:
    session.add_all([models.Task(status="todo"), models.Task(status="merged")])

    assert db_api.entity_get_count(models.Task, session=session, status="todo") == 1
    assert db_api.entity_get_count(models.Task, session=session, status=["todo", "merged"]) == 2


@pytest.mark.parametrize("name", ["colour", "marker", "teams"])
def test_a_filter_that_is_no_column_is_refused(session: Session, name: str) -> None:
    with pytest.raises(TypeError, match=f"User has no column {name}"):
        db_api.entity_get_all(models.User, session=session, **{name: "x"})


def test_a_record_is_created_changed_and_deleted(session: Session) -> None:
    story = db_api.entity_create(models.Story, {"title": "First"}, session=session)
    assert story.id is not None

    changed = db_api.entity_update(models.Story, story.id, {"title": "Second"}, session=session)
    assert changed is story
    assert changed.title == "Second"

    db_api.entity_hard_delete(models.Story, story.id, session=session)
    assert db_api.entity_get(models.Story, story.id, session=session) is None


def test_changing_or_deleting_what_is_not_there_is_an_error(session: Session) -> None:
    with pytest.raises(NotFound, match="Story 7 not found"):
        db_api.entity_update(models.Story, 7, {"title": "x"}, session=session)
    with pytest.raises(NotFound, match="Story 7 not found"):
        db_api.entity_hard_delete(models.Story, 7, session=session)


@pytest.mark.parametrize(
    "call",
    [
        lambda: db_api.get_session(in_request=False),
        lambda: db_api.model_query(models.User),
        lambda: db_api.entity_get(models.User, 1),
        lambda: db_api.entity_get_all(models.User),
        lambda: db_api.entity_get_count(models.User),
        lambda: db_api.entity_create(models.User, {}),
        lambda: db_api.entity_update(models.User, 1, {}),
        lambda: db_api.entity_hard_delete(models.User, 1),
        lambda: sub_api.subscription_get(1),
        lambda: sub_api.subscription_create({}),
        lambda: sub_api.subscription_get_all_subscriber_ids("story", 1),
    ],
)
def test_without_a_session_nothing_is_done(call: Callable[[], object]) -> None:
    with pytest.raises(SessionRequired, match="session=session"):
        call()


def test_nothing_here_ends_the_transaction_of_the_event(engine: Engine) -> None:
    ends: list[str] = []

    def use_everything(session: Session) -> None:
        connection = session.connection()
        for name in ("commit", "rollback", "savepoint"):
            event.listen(connection, name, lambda *_args, name=name: ends.append(name))
        story = db_api.entity_create(models.Story, {"title": "First"}, session=session)
        db_api.entity_update(models.Story, story.id, {"title": "Second"}, session=session)
        db_api.entity_get_all(models.Story, session=session, title="Sec")
        other = db_api.entity_create(models.Story, {"title": "Gone"}, session=session)
        db_api.entity_hard_delete(models.Story, other.id, session=session)
        wish = sub_api.subscription_create(
            {"target_type": "story", "target_id": story.id}, session=session
        )
        sub_api.subscription_delete(wish.id, session=session)
        assert ends == []

    assert run_once(engine, FirstClaim(uuid7(), 1), use_everything)

    assert ends == ["commit"]
    with Session(engine) as session:
        assert [story.title for story in session.query(models.Story)] == ["Second"]
