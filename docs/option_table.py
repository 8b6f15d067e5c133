"""The directive ``option-table``: eventworker's options and those of its built-in plugins.

Without an argument all groups, else the one that it names::

    .. option-table:: plugin:NAME
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from oslo_config import cfg
from sphinx.application import Sphinx

from eventworker.cli.options import list_opts


class OptionTable(Directive):
    """One table per group: option, type and default, meaning."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        wanted = self.arguments[0] if self.arguments else None
        groups = [
            (_shown(name), opts) for name, opts in list_opts() if wanted in (None, _shown(name))
        ]
        if not groups:
            raise self.error(f"eventworker has no group [{wanted}]")
        return [node for name, opts in groups for node in _group(name, opts)]


def _shown(group: str) -> str:
    """The group's name; the placeholder of ``plugin:name`` in capitals."""
    return group.replace(":name", ":NAME")


def _group(name: str, opts: list[cfg.Opt]) -> Iterator[nodes.Node]:
    yield nodes.rubric("", f"[{name}]")
    body = nodes.tbody("", *(_row(opt) for opt in opts))
    head = nodes.thead("", _cells(*(nodes.Text(word) for word in ("Option", "Default", "Meaning"))))
    widths = [nodes.colspec(colwidth=width) for width in (28, 22, 50)]
    yield nodes.table("", nodes.tgroup("", *widths, head, body, cols=3), classes=["options"])


def _row(opt: cfg.Opt) -> nodes.row:
    meaning: list[nodes.Node] = [nodes.paragraph("", opt.help)]
    choices = dict(getattr(opt.type, "choices", None) or {})
    for value, what in choices.items():
        text = f": {what}" if what else ""
        meaning.append(nodes.paragraph("", "", nodes.literal("", value), nodes.Text(text)))
    if (bounds := _bounds(opt.type)) is not None:
        meaning.append(nodes.paragraph("", bounds))
    return _cells(nodes.literal("", opt.dest), _default(opt), *meaning)


def _bounds(kind: Any) -> str | None:
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if isinstance(kind, cfg.types.Port) or (low is None and high is None):
        return None
    if high is None:
        return f"At least {low}."
    return f"From {low} to {high}."


def _default(opt: cfg.Opt) -> nodes.Node:
    value = opt.default
    if value is None or value in ([], {}, ""):
        return nodes.Text("none")
    if isinstance(value, list):
        value = ", ".join(value)
    return nodes.literal("", str(value))


def _cells(option: nodes.Node, default: nodes.Node, *meaning: nodes.Node) -> nodes.row:
    def entry(*children: nodes.Node) -> nodes.entry:
        blocks = [
            child if isinstance(child, nodes.paragraph) else nodes.paragraph("", "", child)
            for child in children
        ]
        return nodes.entry("", *blocks)

    return nodes.row("", entry(option), entry(default), entry(*meaning))


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("option-table", OptionTable)
    return {"parallel_read_safe": True}
