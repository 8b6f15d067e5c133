"""The subscription plugin at work on tables made in the test."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oslo_config import cfg
from sqlalchemy import Engine, func, insert, select
from sqlalchemy.orm import Session

from eventworker import config
from eventworker.event import Event
from eventworker.workers.subscription import SubscriptionWorker, subscribe
from eventworker.workers.subscription.tables import notification_table, subscription_table
from tests.helpers.configuration import configuration


def worker(**options: Any) -> SubscriptionWorker:
    """The plugin as the daemon makes it, with these options of its group."""
    conf = configuration()
    config.plugin_group(conf, "subscription", SubscriptionWorker.options)
    for name, value in {"enabled": True, **options}.items():
        conf.set_override(name, value, group="plugin:subscription")
    return SubscriptionWorker(conf)


def worker_of(path: Path, more: Sequence[str] = ()) -> SubscriptionWorker:
    """The plugin as the daemon makes it, with the options of a file and these lines after it."""
    conf = cfg.ConfigOpts()
    config.register(conf)
    files = [path]
    if more:
        files.append(path.with_name("more.conf"))
        files[1].write_text("\n".join(("[plugin:subscription]", *more)))
    conf(args=[], default_config_files=[str(each) for each in files], default_config_dirs=[])
    config.plugin_group(conf, "subscription", SubscriptionWorker.options)
    plugin = SubscriptionWorker(conf)
    assert plugin.enabled()
    return plugin


def follow(engine: Engine, *follows: tuple[int | str, str, int | str]) -> None:
    """Users who follow something: (user, kind, id)."""
    with Session(engine) as session, session.begin():
        for each in follows:
            subscribe(session, *each)


def follow_all(engine: Engine, kind: str, own_id: str, users: int) -> None:
    """So many users follow one thing."""
    now = datetime.now(UTC)
    with engine.begin() as connection:
        connection.execute(
            insert(subscription_table),
            [
                {
                    "user_id": str(user),
                    "target_type": kind,
                    "target_id": own_id,
                    "created_at": now,
                }
                for user in range(users)
            ],
        )


def handle(plugin: SubscriptionWorker, engine: Engine, *events: Event) -> None:
    """The plugin handles each event in a transaction of its own."""
    for event in events:
        with Session(engine) as session, session.begin():
            plugin.handle(session=session, event=event)


def told(engine: Engine) -> list[tuple[str, str]]:
    """Who was told what: (user, event_type), in order."""
    rows = notification_table.c
    with engine.connect() as connection:
        found = connection.execute(select(rows.subscriber_id, rows.event_type))
        return sorted((user, what) for user, what in found)


def notices(engine: Engine) -> list[dict[str, Any]]:
    """The notifications in full; what is in ``info`` decoded."""
    with engine.connect() as connection:
        rows = connection.execute(
            select(notification_table).order_by(notification_table.c.subscriber_id)
        )
        return [{**row, "info": json.loads(row["info"])} for row in rows.mappings()]


def followers(engine: Engine) -> int:
    """How many subscriptions there are."""
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(subscription_table)) or 0
