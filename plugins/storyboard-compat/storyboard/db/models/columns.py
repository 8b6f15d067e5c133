"""Column types that StoryBoard's tables need and SQLAlchemy has not, and its usual lengths."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, Enum, UnicodeText
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

SHORT, MIDDLE, LARGE = 50, 100, 255

MediumText = UnicodeText().with_variant(MEDIUMTEXT(), "mysql", "mariadb")


class UTCDateTime(TypeDecorator[datetime]):
    """A moment, stored as StoryBoard stores it: UTC in a column without a time zone.

    Unlike :class:`eventworker.db.UTCDateTime`, whose columns have one on PostgreSQL. A naive value
    is taken to be in UTC; what is read is aware.
    """

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is None:
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Choice(TypeDecorator[str]):
    """An ENUM that is strict when it writes and takes what it finds when it reads.

    A StoryBoard newer than this list has values that are not in it; an event whose row cannot even
    be read would end as a dead letter.
    """

    impl = Enum
    cache_ok = True

    def __init__(self, name: str, *values: str) -> None:
        super().__init__(*values, name=name, validate_strings=True)

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        return None
