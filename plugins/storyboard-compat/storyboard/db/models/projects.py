"""Projects, their groups, branches and milestones."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Column, ForeignKey, String, Table, Unicode, UnicodeText, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from storyboard.db.models.base import Base
from storyboard.db.models.columns import LARGE, MIDDLE, UTCDateTime

if TYPE_CHECKING:
    from storyboard.db.models.stories import Task
    from storyboard.db.models.users import Team

project_group_mapping = Table(
    "project_group_mapping",
    Base.metadata,
    Column("project_id", ForeignKey("projects.id")),
    Column("project_group_id", ForeignKey("project_groups.id")),
)


class Project(Base):
    """A software project."""

    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("name", name="uniq_project_name"),)
    _public_fields = ("id", "name", "description", "repo_url", "autocreate_branches")

    name: Mapped[str | None] = mapped_column(String(MIDDLE))
    description: Mapped[str | None] = mapped_column(UnicodeText)
    team_id: Mapped[int | None] = mapped_column(ForeignKey("teams.id"))
    repo_url: Mapped[str | None] = mapped_column(String(LARGE))
    is_active: Mapped[bool | None] = mapped_column(default=True)
    autocreate_branches: Mapped[bool | None] = mapped_column(default=False)

    team: Mapped[Team | None] = relationship()
    tasks: Mapped[list[Task]] = relationship(back_populates="project")
    branches: Mapped[list[Branch]] = relationship(back_populates="project")
    project_groups: Mapped[list[ProjectGroup]] = relationship(
        secondary=project_group_mapping, back_populates="projects"
    )


class ProjectGroup(Base):
    """Projects that belong together."""

    __tablename__ = "project_groups"
    __table_args__ = (UniqueConstraint("name", name="uniq_group_name"),)
    _public_fields = ("id", "name", "title")

    name: Mapped[str | None] = mapped_column(String(MIDDLE))
    title: Mapped[str | None] = mapped_column(Unicode(LARGE))

    projects: Mapped[list[Project]] = relationship(
        secondary=project_group_mapping, back_populates="project_groups"
    )


class Branch(Base):
    """A branch of a project."""

    __tablename__ = "branches"
    __table_args__ = (UniqueConstraint("name", "project_id", name="branch_un_constr"),)
    _public_fields = ("id", "name", "project_id", "expired", "expiration_date", "autocreated")

    name: Mapped[str | None] = mapped_column(String(MIDDLE))
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    expired: Mapped[bool | None] = mapped_column(default=False)
    expiration_date: Mapped[datetime | None] = mapped_column(UTCDateTime)
    autocreated: Mapped[bool | None] = mapped_column(default=False)
    restricted: Mapped[bool | None] = mapped_column(default=False)

    project: Mapped[Project | None] = relationship(back_populates="branches")
    tasks: Mapped[list[Task]] = relationship(back_populates="branch")
    milestones: Mapped[list[Milestone]] = relationship(back_populates="branch")


class Milestone(Base):
    """A point on a branch."""

    __tablename__ = "milestones"
    __table_args__ = (UniqueConstraint("name", "branch_id", name="milestone_un_constr"),)
    _public_fields = ("id", "name", "branch_id", "expired", "expiration_date")

    name: Mapped[str | None] = mapped_column(String(MIDDLE))
    branch_id: Mapped[int | None] = mapped_column(ForeignKey("branches.id"))
    expired: Mapped[bool | None] = mapped_column(default=False)
    expiration_date: Mapped[datetime | None] = mapped_column(UTCDateTime)

    branch: Mapped[Branch | None] = relationship(back_populates="milestones")
    tasks: Mapped[list[Task]] = relationship(back_populates="milestone")
