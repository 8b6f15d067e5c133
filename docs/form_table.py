"""The directive ``form-table``: the fields of a form of the publish-subscribe service.

The argument is ``node`` or ``subscription``::

    .. form-table:: node

What the service does with each field stands in ``form-fields.csv``.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from eventworker.pubsub import NodeConfig, SubscribeOptions
from eventworker.pubsub.forms import BOOLEAN, NUMBER, PREFIX, Field, fields_of, texts_of

_EFFECTS = Path(__file__).parent / "form-fields.csv"
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
        self.state.document.settings.env.note_dependency(str(_EFFECTS))
        form, does = _FORMS[name](), effects()
        defaults = texts_of(form)
        rows = [
            _row(each, defaults[each.name], self._words(does[each.key])) for each in fields_of(form)
        ]
        body = nodes.tbody("", *rows)
        head = nodes.thead("", _cells(*map(_text, ("Field", "Values", "Default", "What it does"))))
        widths = [nodes.colspec(colwidth=width) for width in (22, 18, 12, 48)]
        return [nodes.table("", nodes.tgroup("", *widths, head, body, cols=4), classes=["options"])]

    def _words(self, text: str) -> list[nodes.Node]:
        words, messages = self.state.inline_text(text, self.lineno)
        return [*words, *messages]


def effects() -> dict[str, str]:
    """What the service does with each field, by its short name."""
    with _EFFECTS.open(newline="") as file:
        return dict(list(csv.reader(file))[1:])


def _row(field: Field, default: list[str], does: list[nodes.Node]) -> nodes.row:
    name = nodes.paragraph("", "", nodes.literal("", field.name.removeprefix(PREFIX)))
    label = f"{field.label}. " if field.label else ""
    meaning = nodes.paragraph("", "", nodes.Text(label), *does)
    return _cells(name, _values(field), _default(field, default), meaning)


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
