"""Data forms (XEP-0004) to and from what the service takes and gives."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Fields
from eventworker.pubsub.forms import fields_of, texts_of
from eventworker_xmpp.markup import element
from eventworker_xmpp.names import DATA, name

FORM_TYPE = "FORM_TYPE"
_X, _FIELD, _VALUE = name(DATA, "x"), name(DATA, "field"), name(DATA, "value")
#: Values of a form at the most.
_MOST = 10000


def form_of(parent: Element) -> Element | None:
    """The form in an element.

    :raises PubSubError: when there are several.
    """
    found = parent.findall(_X)
    if len(found) > 1:
        raise PubSubError("bad-request", text="more than one form")
    return found[0] if found else None


def is_cancelled(form: Element) -> bool:
    """Whether it was sent back without having been filled in."""
    return form.get("type") == "cancel"


def filled(form: Element, form_type: str) -> Fields:
    """The values of a form that was filled in; a field without a value has none of them.

    :param form_type: what its ``FORM_TYPE`` must be if it has one.
    :raises PubSubError: ``bad-request``, for a form of another kind or one that has a field twice.
    """
    if form.get("type", "submit") not in ("submit", "form", "result"):
        raise PubSubError("bad-request", text=f"a form of the type {form.get('type')!r}")
    values: dict[str, list[str]] = {}
    for field in form.findall(_FIELD):
        key = field.get("var")
        if not key:
            continue
        if key in values:
            raise PubSubError("bad-request", text=f"the field {key} twice")
        values[key] = ["".join(value.itertext()) for value in field.findall(_VALUE)]
    if sum(map(len, values.values())) > _MOST:
        raise PubSubError("bad-request", text="more values than anybody could have meant")
    if values.pop(FORM_TYPE, [form_type]) != [form_type]:
        raise PubSubError("bad-request", text=f"no form of the type {form_type}")
    return values


def shown(
    values: Any,
    form_type: str,
    kind: str = "form",
    title: str | None = None,
    without: Collection[str] = (),
    offered: Mapping[str, Collection[str]] | None = None,
) -> Element:
    """A form as somebody is shown it: all fields with labels, choices and present values.

    :param values: a dataclass of :mod:`eventworker.pubsub.config`.
    :param kind: ``form`` to be filled in, ``result`` to be looked at.
    :param without: fields that are left out.
    :param offered: choices of fields of which not all can be had at present.
    """
    texts = texts_of(values)
    made = element(DATA, "x", {"type": kind})
    if title:
        made.append(element(DATA, "title", content=title))
    made.append(field(FORM_TYPE, [form_type], "hidden"))
    for each in fields_of(values):
        if each.name in without:
            continue
        kind, present = each.kind.form, texts[each.name]
        # Some clients refuse a list with a value that it does not offer.
        choices = each.options or (present if kind.startswith("list-") else ())
        can_be = (offered or {}).get(each.name, choices)
        options = [(one, one) for one in choices if one in can_be or one in present]
        made.append(field(each.name, present, kind, each.label, options))
    return made


def result(values: Fields, form_type: str, types: Mapping[str, str] | None = None) -> Element:
    """A form to be looked at, of bare values.

    :param types: of the fields, where they are told.
    """
    types = types or {}
    made = element(DATA, "x", {"type": "result"}, [field(FORM_TYPE, [form_type], "hidden")])
    made.extend(field(key, list(texts), types.get(key)) for key, texts in values.items())
    return made


def field(
    key: str,
    values: list[str],
    kind: str | None = None,
    label: str | None = None,
    options: list[tuple[str, str]] | None = None,
) -> Element:
    """One field.

    :param options: values to choose from, each with its label.
    """
    made = element(DATA, "field", {"var": key, "type": kind, "label": label})
    made.extend(element(DATA, "value", content=value) for value in values)
    for value, said in options or ():
        made.append(
            element(DATA, "option", {"label": said}, [element(DATA, "value", content=value)])
        )
    return made
