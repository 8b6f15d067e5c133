"""Errors that ``storyboard.db.api`` raises. The database's own come as SQLAlchemy's."""

from __future__ import annotations


class StoryboardException(Exception):
    """Root of the errors raised here."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class NotFound(StoryboardException):
    """There is no such record."""


class SessionRequired(StoryboardException):
    """A function of ``storyboard.db.api`` was called without ``session=``."""
