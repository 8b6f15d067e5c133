"""Forms (XEP-0004) as dataclasses: each attribute is a field, with its type, label and options.

Whoever fills a form in may leave fields out, which then stay as they are, and may send back what he
was shown, empty fields included. Unknown fields are refused only where the caller says so.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from eventworker.pubsub.facts import Fields
from eventworker.pubsub.jid import jid

T = TypeVar("T")

PREFIX = "pubsub#"
#: The shape of a language tag (RFC 5646, section 2.1).
_TAG = re.compile("[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8}){0,8}")
_BOOLEANS = {"1": True, "true": True, "0": False, "false": False}


@dataclass(frozen=True, slots=True)
class Kind:
    """How values of a field are read and written.

    :ivar form: the type of the field in a form, such as ``text-single``.
    :ivar read: makes the attribute of the texts; raises ValueError.
    :ivar write: makes the texts of the attribute.
    """

    form: str
    read: Callable[[Sequence[str]], Any]
    write: Callable[[Any], list[str]]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form, as somebody is shown it."""

    name: str
    kind: Kind
    label: str
    options: Collection[str]

    @property
    def key(self) -> str:
        """The attribute's name."""
        return self.name.removeprefix(PREFIX).replace("-", "_")


def field(
    kind: Kind, label: str, default: Any, options: Collection[str] = (), name: str | None = None
) -> Any:
    """An attribute of a form."""
    meta = {"kind": kind, "label": label, "options": tuple(options), "name": name}
    return dataclasses.field(default=default, metadata=meta)


def fields_of(form: Any) -> list[Field]:
    """The fields of a form or its class, in their order."""
    return [
        Field(
            PREFIX + (each.metadata["name"] or each.name),
            each.metadata["kind"],
            each.metadata["label"],
            each.metadata["options"],
        )
        for each in dataclasses.fields(form)
    ]


def filled_in(form: T, values: Fields, *, strict: bool = False) -> T:
    """The form with these values.

    :param strict: refuse fields that it does not have.
    :raises ValueError: for a value that a field cannot have; says which.
    """
    known = {each.name: each for each in fields_of(form)}
    changed: dict[str, Any] = {}
    for name, texts in values.items():
        if name == "FORM_TYPE":
            continue
        if name not in known:
            if strict:
                raise ValueError(f"there is no field {name}")
            continue
        one = known[name]
        texts = [text for text in texts if text != ""]
        if not texts and (one.options or one.kind in (BOOLEAN, NUMBER)):
            continue  # shown without a value, and sent back so
        if one.options and not set(texts) <= set(one.options):
            raise ValueError(f"{name}: {texts[0]!r} is none of {', '.join(one.options)}")
        try:
            changed[one.key] = one.kind.read(texts)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return dataclasses.replace(form, **changed)  # type: ignore[type-var]


def texts_of(form: Any) -> dict[str, list[str]]:
    """The values of a form, by the full names of its fields."""
    return {each.name: each.kind.write(getattr(form, each.key)) for each in fields_of(form)}


def _text(texts: Sequence[str]) -> str:
    return "\n".join(texts)


def _different(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _boolean(texts: Sequence[str]) -> bool:
    if len(texts) != 1 or texts[0] not in _BOOLEANS:
        raise ValueError("neither true nor false")
    return _BOOLEANS[texts[0]]


def _number(texts: Sequence[str]) -> int | None:
    if texts == ["max"]:
        return None
    if len(texts) != 1 or not re.fullmatch("[0-9]{1,9}", texts[0]):
        raise ValueError("no number from 0, and not max")
    return int(texts[0])


def _language(texts: Sequence[str]) -> str:
    tag = _text(texts)
    if tag and not _TAG.fullmatch(tag):
        raise ValueError(f"{tag[:40]!r} is no language tag, such as en or de-AT")
    return tag


def _jids(texts: Sequence[str]) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(map(jid, texts)))
    except Exception as error:
        raise ValueError(str(error)) from None


def _moment(texts: Sequence[str]) -> datetime | str | None:
    if not texts:
        return None
    if texts[0] == "presence":
        return "presence"
    moment = datetime.fromisoformat(texts[0])
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(str(error)) from None


def _written_moment(moment: datetime | str | None) -> list[str]:
    if isinstance(moment, datetime):
        return [moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")]
    return [moment] if moment else []


def _one(value: str) -> list[str]:
    return [value] if value else []


TEXT = Kind("text-single", _text, _one)
BOOLEAN = Kind("boolean", _boolean, lambda value: ["1" if value else "0"])
#: A number; ``max``, as much as the service allows, is None.
NUMBER = Kind("text-single", _number, lambda value: ["max" if value is None else str(value)])
CHOICE = Kind("list-single", _text, _one)
LANGUAGE = Kind("list-single", _language, _one)
CHOICES = Kind("list-multi", tuple, list)
TEXTS = Kind("text-multi", _different, list)
JIDS = Kind("jid-multi", _jids, list)
#: A point in time, or ``presence``, or None.
MOMENT = Kind("text-single", _moment, _written_moment)
