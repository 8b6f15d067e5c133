"""The plugin's own tables, for applications that have none to offer, and the verbs on them.

Ids are text, so that users and resources may be numbers, texts or UUIDs.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Index,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
)
from sqlalchemy.orm import Session, scoped_session

from eventworker.db import EventId, UTCDateTime, clock, insert_ignore, metadata, serial

subscription_table = Table(
    "eventworker_subscription",
    metadata,
    serial(),
    Column("user_id", String(255), nullable=False),
    Column("target_type", String(120), nullable=False),
    Column("target_id", String(255), nullable=False),
    Column("created_at", UTCDateTime),
    # The target first: it is by target that followers are looked up.
    UniqueConstraint("target_type", "target_id", "user_id"),
    Index("ix_eventworker_subscription_user", "user_id"),
)

notification_table = Table(
    "eventworker_notification",
    metadata,
    serial(),
    Column("event_id", EventId, nullable=False),
    Column("subscriber_id", String(255), nullable=False),
    Column("author_id", String(255)),
    Column("event_type", String(255), nullable=False),
    Column("resource", String(120), nullable=False),
    Column("resource_id", String(255)),
    Column("info", Text),
    Column("created_at", UTCDateTime, nullable=False),
    UniqueConstraint("event_id", "subscriber_id"),
    Index("ix_eventworker_notification_subscriber", "subscriber_id", "id"),
)

Executor = Session | scoped_session[Any] | Connection


def subscribe(
    session: Executor, user_id: int | str, target_type: str, target_id: int | str
) -> None:
    """Let a user follow a resource; nothing happens if the user does already.

    :param target_type: singular name of the resource, such as ``story``.
    """
    bind = session if isinstance(session, Connection) else session.get_bind()
    session.execute(
        insert_ignore(bind.dialect.name, subscription_table).values(
            user_id=str(user_id),
            target_type=target_type,
            target_id=str(target_id),
            created_at=clock(),
        )
    )


def unsubscribe(
    session: Executor, user_id: int | str, target_type: str, target_id: int | str
) -> bool:
    """Let a user follow a resource no more; returns whether the user did."""
    table = subscription_table.c
    gone: Any = session.execute(
        delete(subscription_table).where(
            table.user_id == str(user_id),
            table.target_type == target_type,
            table.target_id == str(target_id),
        )
    )
    return bool(gone.rowcount)
