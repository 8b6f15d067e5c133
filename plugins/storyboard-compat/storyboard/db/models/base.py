"""What every record of StoryBoard has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import inspect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from storyboard.db.models.columns import UTCDateTime


def _now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """A record, which can also be read and written like a dict of its columns."""

    #: The columns that ``filter_non_public=True`` leaves.
    _public_fields: ClassVar[tuple[str, ...]] = ("id",)

    id: Mapped[int] = mapped_column(primary_key=True, sort_order=-1)
    created_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=_now, sort_order=-1)
    updated_at: Mapped[datetime | None] = mapped_column(UTCDateTime, onupdate=_now, sort_order=-1)

    def as_dict(self) -> dict[str, Any]:
        """The columns and their values."""
        return {name: getattr(self, name) for name in self.keys()}

    def keys(self) -> list[str]:
        """Names of the columns."""
        return list(inspect(type(self)).column_attrs.keys())

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return iter(self.as_dict().items())

    def __contains__(self, name: object) -> bool:
        return name in inspect(type(self)).attrs.keys()  # noqa: SIM118 - it takes str only

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def get(self, name: str, default: Any = None) -> Any:
        """The value of an attribute, or ``default`` if there is no such attribute."""
        return getattr(self, name, default)

    def update(self, values: Mapping[str, Any]) -> None:
        """Set several attributes.

        :raises TypeError: for a name that is no column or relation; nothing is set then.
        """
        if unknown := [name for name in values if name not in self]:
            raise TypeError(f"{type(self).__name__} has no attribute {', '.join(unknown)}")
        for name, value in values.items():
            setattr(self, name, value)
