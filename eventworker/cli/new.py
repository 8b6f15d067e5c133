"""``eventworker plugin new``: the start of a plugin of one's own."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from eventworker.cli import output
from eventworker.cli.arguments import Verbs, add_verb
from eventworker.cli.scaffold import NewPlugin


def add(group: Verbs) -> None:
    """The verb ``new`` of ``eventworker plugins``."""
    verb = add_verb(
        group,
        "new",
        _new,
        help="write a plugin to begin with: an installable distribution with tests",
        more="It writes one row per event into a table of its own and has options, a migration "
        "with a command for it, and tests that pass. No configuration is needed.",
        example="eventworker plugin new chat-sync --author 'A. Nonymous'",
    )
    verb.add_argument(
        "name",
        metavar="NAME",
        help="the plugin's name for ever, in the configuration and in the database: lower-case "
        "letters, digits, - and _",
    )
    verb.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="folder to make (default: the distribution's name, in the current folder)",
    )
    verb.add_argument(
        "--package",
        metavar="NAME",
        help="import package (default: eventworker_NAME); the distribution is called after it",
    )
    verb.add_argument(
        "--author", metavar="TEXT", help="author, for setup.cfg (default: NAME developers)"
    )


def _new(arguments: argparse.Namespace) -> int:
    plugin = NewPlugin.called(arguments.name, arguments.package, arguments.author)
    directory = arguments.directory or Path(plugin.distribution)
    files = plugin.write(directory)
    text = (
        f"{directory}: the plugin {plugin.name}, "
        f"{output.plural(len(files), 'file')}; {plugin.package}/worker.py is where to begin"
    )
    fields = {
        "plugin": plugin.name,
        "distribution": plugin.distribution,
        "package": plugin.package,
        "directory": directory,
        "files": files,
    }
    output.say(text, fields, arguments.output)
    if arguments.output == "table":
        print("next:", *_next_steps(plugin, directory), sep="\n  ")
    return 0


def _next_steps(plugin: NewPlugin, directory: Path) -> list[str]:
    # pip takes a bare word for the name of a distribution on an index.
    source = directory if directory.is_absolute() else f"./{directory}"
    return [
        f"pip install -e {shlex.quote(f'{source}[test]')}",
        f"pytest {shlex.quote(str(source))}",
        f"{plugin.distribution} upgrade --config-file FILE",
        "storyboard-worker-daemon --config-file FILE",
    ]
