"""Comparing what the tables of an application hold, whatever types its columns have."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BINARY,
    BigInteger,
    Boolean,
    ColumnElement,
    Enum,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Uuid,
    cast,
    false,
    func,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from eventworker.workers.subscription.concern import YES

#: Texts that say yes or no, and are no numbers.
WORDS = ("true", "t", "yes", "y", "on", "false", "f", "no", "n", "off")

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NUMBER = re.compile(r"-?[0-9]{1,18}")


def fitted(value: Any, kind: TypeEngine[Any]) -> Any:
    """An id as a value of a column's type; None if it cannot be one.

    Strict, since PostgreSQL ends the transaction over a number that is too large for its column.
    """
    if value is None:
        return None
    if isinstance(kind, Uuid):
        return UUID(str(value)) if _UUID.fullmatch(str(value)) else None
    if isinstance(kind, Integer | Numeric):
        return _fitted_number(str(value), kind)
    if isinstance(kind, Enum):
        return str(value) if str(value) in kind.enums else None
    if isinstance(kind, LargeBinary | BINARY) and _UUID.fullmatch(str(value)):
        return UUID(str(value)).bytes  # as our own tables have them on MariaDB
    if isinstance(kind, String):
        text = str(value)
        if kind.length == 32 and _UUID.fullmatch(text):
            return text.replace("-", "").lower()  # as SQLAlchemy stores them on SQLite
        return text if kind.length is None or len(text) <= kind.length else None
    return value


def _fitted_number(text: str, kind: TypeEngine[Any]) -> int | None:
    if not _NUMBER.fullmatch(text):
        return None
    bits = 15 if isinstance(kind, SmallInteger) else 31
    if isinstance(kind, BigInteger | Numeric):
        bits = 63
    return number if -(2**bits) <= (number := int(text)) < 2**bits else None


def comparable(
    left: ColumnElement[Any], right: ColumnElement[Any]
) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Two columns so that ``=`` can be written between them: both as text, if they are unlike."""
    return (left, right) if are_alike(left, right) else (as_text(left), as_text(right))


def are_alike(left: ColumnElement[Any], right: ColumnElement[Any]) -> bool:
    """Whether every database compares the two and takes the one for the other."""
    family = _family(left.type)
    # Two enumerations are two types to PostgreSQL, whatever their members.
    return family is _family(right.type) and family is not Enum


def as_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A column as text, itself if it is."""
    family = _family(column.type)
    if family is String:
        return column
    return _digits(column) if family in (Integer, Uuid) else cast(column, String(255))


class _digits(FunctionElement[str]):  # noqa: N801 - used like a SQL function
    """A number or a UUID as text, which has no collation of its own."""

    type = String(255)
    inherit_cache = True
    name = "eventworker_digits"


@compiles(_digits)
def _cast_digits(element: _digits, compiler: Any, **kw: Any) -> str:
    (column,) = element.clauses
    return str(compiler.process(cast(column, String(255)), **kw))


@compiles(_digits, "mariadb")
@compiles(_digits, "mysql")
def _join_digits(element: _digits, compiler: Any, **kw: Any) -> str:
    # The result of CAST has the connection's collation, and MariaDB refuses to compare it with a
    # column of another one; this takes on the column's, whose index can be used then.
    return f"CONCAT({compiler.process(element.clauses, **kw)}, '')"


def is_up(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a flag or a switch says yes, in SQL; NULL says no."""
    if isinstance(column.type, Boolean):
        return column.is_(true())
    if _family(column.type) is Integer:
        return func.coalesce(column, 0) != 0
    return func.lower(func.coalesce(as_text(column), "")).in_(YES)


def holds(column: ColumnElement[Any], value: str) -> ColumnElement[bool]:
    """Whether a column holds what a rule of the configuration asks for, in SQL."""
    if isinstance(column.type, Boolean):
        return is_up(column) if value.lower() in YES else ~is_up(column)
    if _family(column.type) is Integer:
        # MariaDB's booleans are numbers, and so are those of many an application.
        if value.lower() in WORDS:
            return is_up(column) if value.lower() in YES else ~is_up(column)
        number = fitted(value, column.type)
        return false() if number is None else column == number
    return as_text(column) == value


def can_hold(kind: TypeEngine[Any], value: str) -> bool:
    """Whether a column of this type may ever hold what a rule asks for."""
    if isinstance(kind, Boolean):
        return value.lower() in (*WORDS, "0", "1")
    if _family(kind) is Integer:
        return value.lower() in WORDS or fitted(value, kind) is not None
    return not isinstance(kind, Enum) or value in kind.enums


def _family(kind: TypeEngine[Any]) -> type:
    # PostgreSQL's enumerations are texts to SQLAlchemy, but not to PostgreSQL.
    families = (
        (Enum, Enum),
        (String, String),
        (Integer, Integer),
        (Numeric, Integer),
        (Uuid, Uuid),
    )
    return next((family for base, family in families if isinstance(kind, base)), object)
