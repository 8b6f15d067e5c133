"""``python -m benchmarks.subscription``: microseconds per event in the subscription plugin.

One follower and rules three tables deep, on SQLite, in one transaction: what is measured is the
work of the plugin itself, most of all that of building its INSERT. On a busy machine of two cores:
450 to 1000 us. Before the plugin kept its statements it was 4770 us there, and without the rules of
who may see what, which it did not have yet.
"""

from __future__ import annotations

import tempfile
import time

from oslo_config import cfg
from sqlalchemy import text
from sqlalchemy.orm import Session

from eventworker import config
from eventworker.db import build_engine, metadata
from eventworker.event import Event
from eventworker.workers.subscription import SubscriptionWorker, subscribe

EVENTS = 1000
RULES = {
    "belongs_to": [
        "story:story_project(story_id,project_id):project",
        "project:grouping(project_id,group_id):project_group",
    ],
    "part_of": ["task:story_id:story"],
    "private": ["story:stories(id,private)"],
    "visible_to": ["story:seers(story_id,user_id)"],
}
TABLES = (
    "CREATE TABLE story_project (story_id int, project_id int)",
    "CREATE TABLE grouping (project_id int, group_id int)",
    "CREATE TABLE stories (id int, private boolean)",
    "CREATE TABLE seers (story_id int, user_id int)",
    "INSERT INTO stories VALUES (7, false)",
)


def main() -> None:
    """Measure three times."""
    conf = cfg.ConfigOpts()
    config.plugin_group(conf, "subscription", SubscriptionWorker.options)
    conf(args=[], default_config_files=[], default_config_dirs=[])
    for name, lines in RULES.items():
        conf.set_override(name, lines, group="plugin:subscription")
    plugin = SubscriptionWorker(conf)
    with tempfile.TemporaryDirectory() as folder:
        engine = build_engine(f"sqlite:///{folder}/events.sqlite")
        metadata.create_all(engine)
        with Session(engine) as session, session.begin():
            for statement in TABLES:
                session.execute(text(statement))
            subscribe(session, 1, "story", 7)
        for _ in range(3):
            with Session(engine) as session, session.begin():
                started = time.perf_counter()
                for number in range(EVENTS):
                    image = {"story_id": 7, "title": "A task"}
                    event = Event(
                        method="POST", resource="task", resource_id=number, resource_after=image
                    )
                    plugin.handle(session=session, event=event)
                took = time.perf_counter() - started
            print(f"{took / EVENTS * 1e6:.0f} us per event")
        engine.dispose()


if __name__ == "__main__":
    main()
