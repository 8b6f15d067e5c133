"""The directive ``command-reference``: what ``--help`` says of a command and of each of its verbs.

The argument is the command::

    .. command-reference:: eventworker
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any
from unittest import mock

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from eventworker.cli import daemon, main

COMMANDS = {"eventworker": main.parser, "storyboard-worker-daemon": daemon.parser}


class CommandReference(Directive):
    """A section per verb, with its help as the terminal shows it."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in COMMANDS:
            raise self.error(f"eventworker has no command {name}")
        # argparse folds lines at the width of whoever builds the page.
        with mock.patch.dict("os.environ", {"COLUMNS": "96"}):
            return [_section(name, parser) for name, parser in _leaves(name, COMMANDS[name]())]


def _leaves(
    name: str, parser: argparse.ArgumentParser
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The parser itself and, in the order of its help, all below it."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            seen: set[int] = set()
            for word, below in action.choices.items():
                if id(below) not in seen:  # an alias is the same parser again
                    seen.add(id(below))
                    yield from _leaves(f"{name} {word}", below)


def _section(name: str, parser: argparse.ArgumentParser) -> nodes.section:
    shown = nodes.literal_block("", parser.format_help(), language="text")
    return nodes.section("", nodes.title("", name), shown, ids=[nodes.make_id(name)])


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True}
