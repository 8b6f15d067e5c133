"""What the verbs of ``eventworker pubsub`` share: who asks, and how a configuration is written."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from eventworker.cli import conf
from eventworker.cli.arguments import Run, Verbs, add_verb
from eventworker.cli.database import engine_of
from eventworker.db import short_transaction
from eventworker.pubsub import Settings, SyncPubSubClient, settings_of
from eventworker.pubsub.forms import PREFIX, fields_of


def add_asking(
    verbs: Verbs, name: str, run: Run, *, help: str, example: str, more: str = ""
) -> argparse.ArgumentParser:
    """A verb with the option ``--as``."""
    parser = add_verb(verbs, name, run, help=help, example=example, more=more)
    parser.add_argument(
        "--as",
        dest="asker",
        metavar="JID",
        help="who asks (default: the service itself, which may do everything)",
    )
    return parser


def add_node(parser: argparse.ArgumentParser, **more: Any) -> None:
    """The argument ``NODE``."""
    parser.add_argument("node", metavar="NODE", **{"help": "story/42", **more})


@contextmanager
def client_of(arguments: argparse.Namespace) -> Iterator[SyncPubSubClient]:
    """Who asks, in one transaction."""
    loaded = conf.of(arguments)
    settings: Settings = settings_of(loaded)
    with engine_of(loaded) as engine, short_transaction(engine) as connection:
        yield SyncPubSubClient(connection, arguments.asker or settings.service, settings=settings)


def assignment(form: type[Any]) -> Any:
    """The type of an argument ``FIELD=VALUE``, with a field of the form."""
    known = {each.name.removeprefix(PREFIX): each for each in fields_of(form)}

    def read(text: str) -> tuple[str, str]:
        name, sign, value = text.removeprefix(PREFIX).partition("=")
        if not sign:
            raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; do you mean {near[0]}?" if near else ""
            raise argparse.ArgumentTypeError(f"there is no field {name}{hint}")
        options = known[name].options
        if value and options and value not in options:
            raise argparse.ArgumentTypeError(f"{name}: {value!r} is none of {', '.join(options)}")
        return name, value

    return read


def values_of(assignments: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Field to values: of one that is named several times all of them, of an empty one none."""
    values: dict[str, list[str]] = {}
    for name, value in assignments:
        values.setdefault(name, []).extend([value] if value else [])
    return values


def shown(fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Values of a form, for people: names without prefix, a single value by itself."""
    return {
        name.removeprefix(PREFIX): texts[0] if len(texts) == 1 else list(texts) or None
        for name, texts in fields.items()
    }
