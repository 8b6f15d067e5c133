"""StoryBoard's plugins under eventworker: the one its manual prints, and the base class."""

from __future__ import annotations

import sys
from configparser import ConfigParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from oslo_config import cfg
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session
from storyboard.common.exception import SessionRequired
from storyboard.db import models
from storyboard.db.api import base as db_api
from storyboard.plugin.base import PluginBase
from storyboard.plugin.event_worker import WorkerTaskBase

from eventworker import config
from eventworker import plugin as eventworker_plugin
from eventworker.engine.loader import Loaded, handle_arguments
from eventworker.event import Event
from eventworker.inbox.claims import FirstClaim, run_once

SAMPLES = [("sample-plugin", "my.namespace.plugin"), ("sample-pbr-plugin", "my_pbr.plugin")]


@pytest.fixture(params=SAMPLES, ids=[folder for folder, _ in SAMPLES])
def printed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of a sample distribution, imported without installing it."""
    folder, name = request.param
    monkeypatch.syspath_prepend(Path(__file__).parent / folder)
    __import__(name)
    package = name.partition(".")[0]
    module = sys.modules[name]
    for imported in [each for each in sys.modules if each.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, imported)
    return module


@pytest.fixture
def followed_story(engine: Engine) -> None:
    """Story 1, told of by timeline event 5 of user 1, and followed by users 2 and 3."""
    with Session(engine) as session, session.begin():
        for number in (1, 2, 3):
            session.add(models.User(id=number, email=f"{number}@example.org"))
        session.add(models.Story(id=1, title="Rain"))
        for user_id in (2, 3):
            session.add(models.Subscription(user_id=user_id, target_type="story", target_id=1))
        session.add(
            models.TimeLineEvent(
                id=5, story_id=1, author_id=1, event_type="user_comment", event_info='{"a": 1}'
            )
        )


def hand_over(engine: Engine, plugin: WorkerTaskBase, event: Event) -> bool:
    """Give the plugin an event as the daemon does: once, in one transaction with the inbox row."""
    loaded = Loaded("my-worker-plugin", plugin, handle_arguments(plugin))

    def call(session: Any) -> None:
        author = plugin.resolve_resource_by_name(session, "user", event.author_id)
        loaded.call(session, author, event)

    return run_once(engine, FirstClaim(event.id, 1), call)


def told(engine: Engine) -> list[tuple[Any, ...]]:
    row = models.SubscriptionEvents
    columns = (row.subscriber_id, row.author_id, row.event_type, row.event_info)
    with engine.connect() as connection:
        return [tuple(each) for each in connection.execute(select(*columns).order_by(row.id))]


@pytest.mark.parametrize("resource_id", [5, "5"])
@pytest.mark.usefixtures("followed_story")
def test_the_printed_plugin_tells_each_subscriber_once(
    printed: ModuleType, engine: Engine, conf: cfg.ConfigOpts, resource_id: Any
) -> None:
    plugin = printed.MyEventWorker(conf)
    event = Event(author_id=1, method="POST", resource="timeline_event", resource_id=resource_id)

    assert plugin.enabled() is True
    assert hand_over(engine, plugin, event) is True
    assert hand_over(engine, plugin, event) is False

    assert told(engine) == [
        (2, 1, "user_comment", '{"a": 1}'),
        (3, 1, "user_comment", '{"a": 1}'),
    ]


@pytest.mark.usefixtures("followed_story")
def test_the_printed_plugin_leaves_other_resources_alone(
    printed: ModuleType, engine: Engine, conf: cfg.ConfigOpts
) -> None:
    event = Event(author_id=1, method="PUT", resource="story", resource_id=1)

    assert hand_over(engine, printed.MyEventWorker(conf), event) is True

    assert told(engine) == []


@pytest.mark.parametrize(
    ("folder", "section", "name"),
    [
        ("sample-plugin", "options.entry_points", "my-worker-plugin"),
        ("sample-pbr-plugin", "entry_points", "my-pbr-plugin"),
    ],
)
def test_both_spellings_of_the_entry_point_name_the_daemons_group(
    folder: str, section: str, name: str
) -> None:
    setup = ConfigParser()
    setup.read(Path(__file__).parent / folder / "setup.cfg")

    assert setup[section][eventworker_plugin.ENTRY_POINT_GROUP].strip().startswith(f"{name} = my")


class Worker(WorkerTaskBase):
    def handle(self, session: Any) -> None:
        """Nothing."""


def test_a_storyboard_plugin_is_an_eventworker_plugin(conf: cfg.ConfigOpts) -> None:
    worker = Worker(conf)

    assert isinstance(worker, eventworker_plugin.WorkerTaskBase)
    assert isinstance(worker, PluginBase)
    assert worker.config is conf


@pytest.mark.parametrize(
    ("name", "kls"),
    [
        ("user", models.User),
        ("project", models.Project),
        ("project_group", models.ProjectGroup),
        ("story", models.Story),
        ("task", models.Task),
        ("tag", models.StoryTag),
        ("comment", models.Comment),
        ("event", models.TimeLineEvent),
        ("timeline_event", models.TimeLineEvent),
    ],
)
def test_a_resource_is_resolved_to_the_record_of_its_own_class(
    session: Session, conf: cfg.ConfigOpts, name: str, kls: type[models.Base]
) -> None:
    record = kls(id=7, event_type="user_comment") if kls is models.TimeLineEvent else kls(id=7)
    session.add(record)
    session.flush()

    assert Worker(conf).resolve_resource_by_name(session, name, "7") is record
    assert Worker(conf).resolve_resource_by_name(session, name, 8) is None


def test_an_unknown_resource_and_a_missing_author_are_none(
    session: Session, conf: cfg.ConfigOpts
) -> None:
    assert Worker(conf).resolve_resource_by_name(session, "weather", 7) is None
    assert Worker(conf).resolve_resource_by_name(session, "user", None) is None


def test_a_class_from_the_configuration_goes_before_storyboards(
    session: Session, conf: cfg.ConfigOpts
) -> None:
    team = models.Team(id=7)
    session.add(team)
    session.flush()
    conf.set_override("resource_classes", {"user": "storyboard.db.models:Team"}, group="plugins")

    assert Worker(conf).resolve_resource_by_name(session, "user", 7) is team


def test_the_setting_of_the_readme_makes_the_author_a_storyboard_user(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[1] / "README.rst").read_text()
    (line,) = [line for line in readme.splitlines() if "resource_classes =" in line]
    file = tmp_path / "eventworker.conf"
    file.write_text(f"[plugins]\n{line.strip()}\n")
    conf = cfg.ConfigOpts()
    config.register(conf)
    conf([f"--config-file={file}"], default_config_dirs=[])

    assert eventworker_plugin.resource_class(conf, "user") is models.User


def test_changed_properties_leave_out_what_changes_with_everything(conf: cfg.ConfigOpts) -> None:
    before = {"title": "Old", "private": False, "updated_at": "yesterday", "link": "x"}
    after = {"title": "New", "private": False, "updated_at": "today", "tags": []}

    assert Worker(conf).get_changed_properties(before, after) == (
        {"title": "Old", "link": "x"},
        {"title": "New", "tags": []},
    )


class Filtering(WorkerTaskBase):
    """An override of StoryBoard's signature, which writes something of its own and goes on."""

    def event(  # type: ignore[override]
        self, author_id: Any, method: str, url: Any, path: Any, query_string: Any, status: Any,
        resource: str, resource_id: Any, *rest: Any, **more: Any,
    ) -> None:  # fmt: skip
        if method == "DELETE":
            return
        db_api.entity_create(
            models.Story, {"title": "from event()"}, session=db_api.get_session(in_request=False)
        )
        super().event(
            author_id, method, url, path, query_string, status, resource, resource_id, *rest, **more
        )

    def handle(self, session: Session, author: Any, method: str, sub_resource: Any = None) -> None:
        title = f"from handle(): {method} {sub_resource} by {author and author.id}"
        db_api.entity_create(models.Story, {"title": title}, session=session)


class Early(WorkerTaskBase):
    """An override that was written before there was a ``url``, and fails after its work."""

    def event(self, author_id: Any, method: str, path: Any) -> None:  # type: ignore[override]
        session = db_api.get_session()
        db_api.entity_create(models.Story, {"title": f"{author_id} {method}"}, session=session)
        raise ValueError(path)

    def handle(self, **kwargs: Any) -> None:
        raise AssertionError("its event() does not call it")


def titles(engine: Engine) -> list[str | None]:
    with Session(engine) as session:
        return list(session.scalars(select(models.Story.title).order_by(models.Story.id)))


@pytest.mark.usefixtures("followed_story")
def test_an_overridden_event_goes_before_handle_in_the_same_transaction(
    engine: Engine, conf: cfg.ConfigOpts
) -> None:
    plugin = Filtering(conf)
    event = Event(author_id=1, method="PUT", resource="story", resource_id=1, sub_resource="tag")

    assert hand_over(engine, plugin, event) is True
    assert hand_over(engine, plugin, event) is False
    assert hand_over(engine, plugin, Event(method="DELETE", resource="story")) is True

    assert titles(engine) == ["Rain", "from event()", "from handle(): PUT tag by 1"]


def test_an_overridden_event_that_fails_leaves_nothing(
    engine: Engine, conf: cfg.ConfigOpts
) -> None:
    with pytest.raises(ValueError, match="/v1/stories"):
        hand_over(engine, Early(conf), Event(method="PUT", resource="story", path="/v1/stories"))

    assert titles(engine) == []
    with pytest.raises(SessionRequired):
        db_api.get_session()
