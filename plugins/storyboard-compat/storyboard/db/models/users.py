"""Users, their preferences, teams, and what they may do."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Column, ForeignKey, String, Table, Unicode, UniqueConstraint
from sqlalchemy.orm import Mapped, attribute_keyed_dict, mapped_column, relationship

from storyboard.db.models.base import Base
from storyboard.db.models.columns import LARGE, MIDDLE, SHORT, Choice, UTCDateTime

user_permissions = Table(
    "user_permissions",
    Base.metadata,
    Column("user_id", ForeignKey("users.id")),
    Column("permission_id", ForeignKey("permissions.id")),
)
team_permissions = Table(
    "team_permissions",
    Base.metadata,
    Column("team_id", ForeignKey("teams.id")),
    Column("permission_id", ForeignKey("permissions.id")),
)
team_membership = Table(
    "team_membership",
    Base.metadata,
    Column("user_id", ForeignKey("users.id")),
    Column("team_id", ForeignKey("teams.id")),
)


class User(Base):
    """Somebody with an account."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("email", name="uniq_user_email"),)
    _public_fields = (
        "id",
        "openid",
        "full_name",
        "email",
        "last_login",
        "enable_login",
        "is_superuser",
    )

    full_name: Mapped[str | None] = mapped_column(Unicode(LARGE))
    email: Mapped[str | None] = mapped_column(String(MIDDLE))
    openid: Mapped[str | None] = mapped_column(String(LARGE))
    is_staff: Mapped[bool | None] = mapped_column(default=False)
    is_active: Mapped[bool | None] = mapped_column(default=True)
    is_superuser: Mapped[bool | None] = mapped_column(default=False)
    last_login: Mapped[datetime | None] = mapped_column(UTCDateTime)
    enable_login: Mapped[bool | None] = mapped_column(default=True)

    teams: Mapped[list[Team]] = relationship(secondary=team_membership, back_populates="users")
    permissions: Mapped[list[Permission]] = relationship(
        secondary=user_permissions, back_populates="users"
    )
    preferences: Mapped[dict[str, UserPreference]] = relationship(
        collection_class=attribute_keyed_dict("key"), cascade="all, delete-orphan"
    )


class UserPreference(Base):
    """One setting of one user: text, and the type it stands for."""

    __tablename__ = "user_preferences"
    _public_fields = ("id", "key", "value", "type")

    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    key: Mapped[str | None] = mapped_column(Unicode(MIDDLE))
    value: Mapped[str | None] = mapped_column(Unicode(LARGE))
    type: Mapped[str | None] = mapped_column(
        Choice("user_preference_type", "string", "int", "bool", "float"), default="string"
    )

    @property
    def cast_value(self) -> str | int | bool | float | None:
        """The value in its type; the text itself where it cannot be read as that."""
        if self.value is None or self.type == "string":
            return self.value
        if self.type == "bool":
            return self.value == "True"
        try:
            return int(self.value) if self.type == "int" else float(self.value)
        except ValueError:
            return self.value

    @cast_value.setter
    def cast_value(self, value: str | int | bool | float) -> None:
        names = {bool: "bool", int: "int", float: "float"}
        self.type = names.get(type(value), "string")
        self.value = str(value)


class Team(Base):
    """Users that are given permissions together."""

    __tablename__ = "teams"
    __table_args__ = (UniqueConstraint("name", name="uniq_team_name"),)

    name: Mapped[str | None] = mapped_column(Unicode(MIDDLE))

    users: Mapped[list[User]] = relationship(secondary=team_membership, back_populates="teams")
    permissions: Mapped[list[Permission]] = relationship(
        secondary=team_permissions, back_populates="teams"
    )


class Permission(Base):
    """A right, such as seeing one private story."""

    __tablename__ = "permissions"
    __table_args__ = (UniqueConstraint("name", name="uniq_permission_name"),)

    name: Mapped[str | None] = mapped_column(Unicode(SHORT))
    codename: Mapped[str | None] = mapped_column(Unicode(LARGE))

    users: Mapped[list[User]] = relationship(
        secondary=user_permissions, back_populates="permissions"
    )
    teams: Mapped[list[Team]] = relationship(
        secondary=team_permissions, back_populates="permissions"
    )
