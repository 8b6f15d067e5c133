"""The directive ``form-table``: the fields of a form of the publish-subscribe service.

The argument is ``node`` or ``subscription``::

    .. form-table:: node
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from eventworker.pubsub import NodeConfig, SubscribeOptions
from eventworker.pubsub.forms import BOOLEAN, NUMBER, PREFIX, Field, fields_of, texts_of

_FORMS = {"node": NodeConfig, "subscription": SubscribeOptions}
_VALUES = {
    "boolean": "true or false",
    "jid-multi": "addresses",
    "list-multi": "several",
    "text-multi": "several",
    "text-single": "text",
}


class FormTable(Directive):
    """A row for each field: name, values and default, meaning."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in _FORMS:
            raise self.error(f"there is no form {name}")
        form = _FORMS[name]()
        defaults = texts_of(form)
        rows = [_row(each, defaults[each.name]) for each in fields_of(form)]
        body = nodes.tbody("", *rows)
        head = nodes.thead("", _cells(*map(_text, ("Field", "Values", "Default", "Meaning"))))
        widths = [nodes.colspec(colwidth=width) for width in (26, 26, 16, 32)]
        return [nodes.table("", nodes.tgroup("", *widths, head, body, cols=4), classes=["options"])]


def _row(field: Field, default: list[str]) -> nodes.row:
    name = nodes.paragraph("", "", nodes.literal("", field.name.removeprefix(PREFIX)))
    return _cells(name, _values(field), _default(field, default), _text(field.label))


def _values(field: Field) -> nodes.paragraph:
    if field.options:
        shown = nodes.paragraph()
        for number, option in enumerate(field.options):
            shown += [nodes.Text(", ")] if number else []
            shown += nodes.literal("", option)
        return shown
    if field.kind is NUMBER:
        return nodes.paragraph("", "", nodes.Text("a number, or "), nodes.literal("", "max"))
    return _text(_VALUES.get(field.kind.form, "text"))


def _default(field: Field, default: list[str]) -> nodes.paragraph:
    if not default:
        return _text("none")
    words = {"1": "true", "0": "false"} if field.kind is BOOLEAN else {}
    shown = ", ".join(words.get(each, each) for each in default)
    return nodes.paragraph("", "", nodes.literal("", shown))


def _text(text: str) -> nodes.paragraph:
    return nodes.paragraph("", text)


def _cells(*paragraphs: nodes.paragraph) -> nodes.row:
    return nodes.row("", *(nodes.entry("", each) for each in paragraphs))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("form-table", FormTable)
    return {"parallel_read_safe": True}
