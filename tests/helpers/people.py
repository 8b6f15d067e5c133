"""Mapped classes that `[plugins] resource_classes` can name."""

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)


class Membership(Base):
    __tablename__ = "membership"
    person: Mapped[int] = mapped_column(primary_key=True)
    team: Mapped[int] = mapped_column(primary_key=True)
