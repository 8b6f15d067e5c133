"""StoryBoard's own handler of subscriptions: what is told, and what is forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
from oslo_config import cfg
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session
from storyboard.common import event_types
from storyboard.db import models
from storyboard.plugin.subscription.base import Subscription

from eventworker import config
from eventworker.engine.loader import Loaded, handle_arguments
from eventworker.event import Event
from eventworker.inbox.claims import FirstClaim, run_once
from eventworker.plugin import Retry

AUTHOR, FOLLOWER, OTHER = 1, 2, 3


def fill(session: Session) -> None:
    """Two followers of one thing of each kind, with the number 7; what is told of is entry 5."""
    for number in (AUTHOR, FOLLOWER, OTHER):
        session.add(models.User(id=number, email=f"{number}@example.org"))
    session.add_all([models.Story(id=7, title="Rain"), models.Task(id=7, story_id=7)])
    session.add_all([models.Project(id=7, name="Roof"), models.ProjectGroup(id=7, name="House")])
    session.add_all([models.Worklist(id=7), models.Comment(id=8, content="Löch \N{UMBRELLA}")])
    session.flush()
    for kind in ("story", "task", "project", "project_group", "worklist"):
        for user_id in (FOLLOWER, OTHER):
            session.add(models.Subscription(user_id=user_id, target_type=kind, target_id=7))
    session.add(
        models.TimeLineEvent(id=5, story_id=7, event_type="story_created", event_info='{"a": 1}')
    )
    session.flush()


@pytest.fixture
def session(module_engine: Engine) -> Iterator[Session]:
    with Session(module_engine) as session:
        fill(session)
        yield session


@pytest.fixture
def plugin(conf: cfg.ConfigOpts) -> Subscription:
    return Subscription(conf)


def an_event(**fields: Any) -> Event:
    given = {"author_id": AUTHOR, "method": "POST", "resource": "timeline_event", "resource_id": 5}
    return Event(**(given | fields))


def told(session: Session) -> list[tuple[Any, ...]]:
    row = models.SubscriptionEvents
    columns = (row.subscriber_id, row.author_id, row.event_type, row.event_info)
    return [tuple(each) for each in session.execute(select(*columns).order_by(row.subscriber_id))]


def followed(session: Session) -> set[str | None]:
    return set(session.scalars(select(models.Subscription.target_type)))


def test_it_is_off_unless_its_own_group_says_otherwise(conf: cfg.ConfigOpts) -> None:
    config.plugin_group(conf, Subscription.name, Subscription.options)
    assert Subscription(conf).enabled() is False

    conf.set_override("enabled", True, group="plugin:storyboard-subscription")
    assert Subscription(conf).enabled() is True


def test_a_subscriber_is_told_who_did_what(session: Session, plugin: Subscription) -> None:
    plugin.handle(session, an_event())

    assert told(session) == [
        (FOLLOWER, AUTHOR, "story_created", '{"a": 1}'),
        (OTHER, AUTHOR, "story_created", '{"a": 1}'),
    ]
    (made, _) = session.scalars(select(models.SubscriptionEvents.created_at)).all()
    assert made is not None
    assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)


def test_the_author_is_told_like_anyone_who_follows(session: Session, plugin: Subscription) -> None:
    plugin.handle(session, an_event(author_id=FOLLOWER))

    assert [row[:2] for row in told(session)] == [(FOLLOWER, FOLLOWER), (OTHER, FOLLOWER)]


@pytest.mark.parametrize("author_id", [None, 99, "nobody", 2**40])
def test_an_author_who_is_not_there_is_null(
    session: Session, plugin: Subscription, author_id: Any
) -> None:
    plugin.handle(session, an_event(author_id=author_id))

    assert [row[:2] for row in told(session)] == [(FOLLOWER, None), (OTHER, None)]


def test_a_subscription_of_nobody_is_passed_over(session: Session, plugin: Subscription) -> None:
    session.add(models.Subscription(user_id=None, target_type="story", target_id=7))

    plugin.handle(session, an_event())

    assert [row[0] for row in told(session)] == [FOLLOWER, OTHER]


def test_a_comment_is_told_with_its_text_and_story(session: Session, plugin: Subscription) -> None:
    session.get_one(models.TimeLineEvent, 5).update(
        {"event_type": event_types.USER_COMMENT, "comment_id": 8, "event_info": None}
    )

    plugin.handle(session, an_event())

    (*_, info) = told(session)[0]
    assert json.loads(info) == {
        "comment_id": 8,
        "comment_content": "Löch \N{UMBRELLA}",
        "story_id": 7,
        "story_title": "Rain",
    }


def test_a_comment_that_is_gone_is_told_without_details(
    session: Session, plugin: Subscription
) -> None:
    session.get_one(models.TimeLineEvent, 5).update({"event_type": event_types.USER_COMMENT})

    plugin.handle(session, an_event())

    assert told(session)[0] == (FOLLOWER, AUTHOR, "user_comment", "null")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"method": "PUT", "sub_resource": "project", "sub_resource_id": "3"},
            ("project added to project_group", {"project_group_id": "7", "project_id": "3"}),
        ),
        (
            {"method": "DELETE", "sub_resource": "project", "sub_resource_id": "3"},
            ("project removed from project_group", {"project_group_id": "7", "project_id": "3"}),
        ),
        ({"method": "DELETE"}, ("project_group deleted", {"project_group_id": "7"})),
        ({"method": "PUT"}, None),
        ({"method": "POST"}, None),
        ({"method": "DELETE", "sub_resource": "picture", "sub_resource_id": "3"}, None),
        ({"method": "DELETE", "sub_resource_id": "3"}, None),
    ],
)
def test_a_groups_followers_are_told_of_its_projects_and_its_end(
    session: Session,
    plugin: Subscription,
    fields: dict[str, Any],
    expected: tuple[str, dict[str, Any]] | None,
) -> None:
    plugin.handle(session, an_event(resource="project_group", resource_id="7", **fields))

    found = [(kind, json.loads(info)) for _, _, kind, info in told(session)]
    assert found == ([] if expected is None else [expected, expected])


@pytest.mark.parametrize("resource", ["story", "task", "project", "project_group", "worklist"])
def test_what_is_deleted_loses_its_subscriptions_and_nothing_else_does(
    session: Session, plugin: Subscription, resource: str
) -> None:
    session.add(models.Subscription(user_id=OTHER, target_type=resource, target_id=8))
    before = followed(session)

    plugin.handle(session, an_event(method="DELETE", resource=resource, resource_id="7"))

    left = session.scalars(select(models.Subscription.target_id).filter_by(target_type=resource))
    assert left.all() == [8]
    assert followed(session) == before


@pytest.mark.parametrize(
    "fields",
    [
        {"method": "DELETE", "resource": "story", "sub_resource": "tag", "sub_resource_id": 1},
        {"method": "DELETE", "resource": "story", "sub_resource_id": 1},
        {"method": "DELETE", "resource": "board"},
        {"method": "DELETE", "resource": "stories"},
        {"method": "PUT", "resource": "story"},
        {"method": "DELETE", "resource": "story", "resource_id": None},
        {"method": "DELETE", "resource": "story", "resource_id": "7; DROP TABLE stories"},
        {"method": "DELETE", "resource": "story", "resource_id": 2**40},
        {"method": "DELETE", "resource": "timeline_event"},
        {"resource_id": None},
        {"resource_id": "five"},
        {"resource": "story"},
    ],
)
def test_nothing_happens_for_events_that_are_about_something_else(
    session: Session, plugin: Subscription, fields: dict[str, Any]
) -> None:
    plugin.handle(session, an_event(**({"resource_id": "7"} | fields)))

    assert told(session) == []
    assert len(session.scalars(select(models.Subscription.id)).all()) == 10


@pytest.mark.parametrize(
    "image",
    [None, {}, {"id": "x"}, {"story_id": []}, {"story_id": 99, "event_type": 3, "event_info": {}}],
)
def test_images_are_not_believed(session: Session, plugin: Subscription, image: Any) -> None:
    plugin.handle(session, an_event(resource_before=image, resource_after=image))

    assert [row[2:] for row in told(session)] == [("story_created", '{"a": 1}')] * 2


def test_an_entry_that_is_not_committed_yet_is_waited_for(
    session: Session, plugin: Subscription
) -> None:
    with pytest.raises(Retry, match="timeline event 99 is not in the database yet"):
        plugin.handle(session, an_event(resource_id=99))


def test_an_entry_that_never_came_is_given_up(session: Session, plugin: Subscription) -> None:
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)

    plugin.handle(session, an_event(resource_id=99, time=an_hour_ago))

    assert told(session) == []


def test_who_is_told_is_decided_in_the_database(session: Session, plugin: Subscription) -> None:
    """However many there are: their ids never pass through the plugin."""
    session.expire_all()
    statements: list[str] = []
    connection = session.connection()
    event.listen(
        connection,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: statements.append(statement),
    )

    plugin.handle(session, an_event())

    assert [statement.split()[0] for statement in statements] == ["SELECT", "INSERT"]
    assert "users" not in statements[0]


class Quiet(Subscription):
    """A subclass that leaves the author out, under a name of its own."""

    name: ClassVar[str] = "quiet"

    def tell(
        self, session: Session, event: Event, places: Any, event_type: str, *more: Any
    ) -> None:
        not_the_author = models.User.id != event.author_id
        super().tell(session, event, places, event_type, *more, not_the_author)


def test_a_step_can_be_replaced(session: Session, conf: cfg.ConfigOpts) -> None:
    Quiet(conf).handle(session, an_event(author_id=FOLLOWER))

    assert [row[0] for row in told(session)] == [OTHER]


def hand_over(engine: Engine, plugin: Subscription, event: Event) -> bool:
    """Give the plugin an event as the daemon does: once, in one transaction with the inbox row."""
    loaded = Loaded(plugin.name, plugin, handle_arguments(plugin))
    assert loaded.transactional
    assert loaded.admits(event)
    return run_once(
        engine, FirstClaim(event.id, 1), lambda session: loaded.call(session, None, event)
    )


class Interrupted(Exception):
    """The process ends before its COMMIT."""


def test_an_event_that_comes_again_is_told_once(fresh_engine: Engine, plugin: Subscription) -> None:
    with Session(fresh_engine) as session, session.begin():
        fill(session)
    event = an_event()

    def die(session: Any) -> None:
        plugin.handle(session, event)
        raise Interrupted

    with pytest.raises(Interrupted):
        run_once(fresh_engine, FirstClaim(event.id, 1), die)
    assert hand_over(fresh_engine, plugin, event) is True
    assert hand_over(fresh_engine, plugin, event) is False

    with Session(fresh_engine) as session:
        assert [row[0] for row in told(session)] == [FOLLOWER, OTHER]


def test_another_event_about_the_same_entry_is_another_event(
    fresh_engine: Engine, plugin: Subscription
) -> None:
    """StoryBoard's table has no place for an event's id, so only the inbox can tell them apart."""
    with Session(fresh_engine) as session, session.begin():
        fill(session)

    assert all(hand_over(fresh_engine, plugin, an_event()) for _ in range(2))

    with Session(fresh_engine) as session:
        assert [row[0] for row in told(session)] == [FOLLOWER, FOLLOWER, OTHER, OTHER]
