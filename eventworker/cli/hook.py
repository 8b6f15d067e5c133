"""``eventworker pubsub hook``: code that runs when something happens at a node."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import Any

from eventworker.cli import conf, output
from eventworker.cli.arguments import Verbs, add_group, add_verb
from eventworker.cli.database import engine_of
from eventworker.db import short_transaction
from eventworker.errors import EventworkerError
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.hooks.bubblewrap import Missing
from eventworker.pubsub.hooks.limits import Isolation
from eventworker.pubsub.hooks.listing import EVENTS
from eventworker.pubsub.hooks.options import hook_settings_of
from eventworker.pubsub.hooks.registry import MAX_CODE, TYPES, NewHook, Registry
from eventworker.pubsub.jid import jid
from eventworker.pubsub.options import settings_of

_COLUMNS = ("service", "node", "type", "arg", "persistent", "state", "runs", "waiting", "error")


def add(verbs: Verbs) -> None:
    """The group ``hook`` and its verbs."""
    group = add_group(verbs, "hook", "give hooks to nodes: code that runs for each new item")
    create = add_verb(
        group,
        "create",
        _create,
        help="give a node a hook",
        more="It runs in a sandbox and acts in the name of the account that gave it. Without "
        "--persistent or --lease it ends with the daemon. To create one of the type python_file "
        "again approves of its file as it is now.",
        example="eventworker pubsub hook create -n story/42 -t python_file -P hooks/mail.py",
    )
    _add_place(create, node=True)
    create.add_argument("-t", "--type", choices=TYPES, required=True, help="what ARG is")
    create.add_argument(
        "-P", "--persistent", action="store_true", help="keep it when the daemon ends"
    )
    create.add_argument(
        "--lease", type=_seconds, metavar="SECONDS", help="end it after so long, daemon or not"
    )
    create.add_argument(
        "--events",
        type=_events,
        default=("items",),
        metavar="LIST",
        help=f"what it hears of, of {','.join(EVENTS)} (default: items)",
    )
    create.add_argument(
        "arg", metavar="ARG", help="name of a module; path of a file; code, or - for standard input"
    )
    approve = add_verb(
        group,
        "approve",
        _approve,
        help="let a hook of somebody else's run that waits for that",
        more="With [hooks] approval each new hook waits, and each that was created again for a "
        "file that has changed. Its number, code and digest are in: hook list -O json.",
        example="eventworker pubsub hook approve 7 2c26b46b68ff... --as ben@example.org",
    )
    _add_account(approve)
    approve.add_argument("hook", type=int, metavar="NUMBER", help="the number of the hook")
    approve.add_argument("sha256", metavar="SHA256", help="the digest of the code that you mean")
    delete = add_verb(
        group,
        "delete",
        _delete,
        help="take hooks of a node away",
        more="Without a type and an argument all of them. What they had still to do is given up.",
        example="eventworker pubsub hook delete -n story/42 -t python_file -a hooks/mail.py",
    )
    _add_place(delete, node=True)
    delete.add_argument("-t", "--type", choices=("", *TYPES), default="", help="only of this type")
    delete.add_argument("-a", "--arg", default="", help="only with this argument")
    listed = add_verb(
        group,
        "list",
        _list,
        help="list hooks, with what came of their last runs",
        more="A hook is ok; or broken: it could not be loaded, and its items wait until its file "
        "changes; or waiting: it has to be approved.",
        example="eventworker pubsub hook list -O json",
    )
    _add_place(listed, node=False)
    add_verb(
        group,
        "check",
        _check,
        help="see whether this machine can keep hooks apart as it is configured to",
        example="eventworker pubsub hook check",
    )


def _add_place(parser: argparse.ArgumentParser, *, node: bool) -> None:
    parser.add_argument("-n", "--node", required=node, help="name of the node")
    parser.add_argument(
        "-s", "--service", help="address of the service (default: [pubsub] service)"
    )
    _add_account(parser)


def _add_account(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as",
        dest="account",
        metavar="JID",
        help="the account that asks, and that the hook acts for (default: the service itself)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 366 * 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, or above a year")
    return seconds


def _events(text: str) -> tuple[str, ...]:
    events = tuple(each.strip() for each in text.split(","))
    if unknown := [each for each in events if each not in EVENTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(EVENTS)}")
    return events


class _Asking:
    """One verb of the registry, inside one transaction."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._conf = conf.of(arguments)
        self._account = arguments.account
        self.options = hook_settings_of(self._conf)

    def ask(self, verb: str, *before: Any, **named: Any) -> Any:
        settings = settings_of(self._conf)
        account = self._account
        try:
            actor = settings.itself if account is None else settings.actor(jid(account))
            with engine_of(self._conf) as engine, short_transaction(engine) as connection:
                registry = Registry(connection, settings)
                return getattr(registry, verb)(actor, *before, self.options, **named)
        except PubSubError as error:
            raise EventworkerError(f"the service refuses: {error}") from None


def _create(arguments: argparse.Namespace) -> int:
    arg = arguments.arg
    if arg == "-" and arguments.type == "python_code":
        arg = sys.stdin.read(MAX_CODE + 1)
    new = NewHook(
        arguments.node,
        arguments.type,
        arg,
        arguments.service,
        arguments.persistent,
        arguments.lease,
        arguments.events,
    )
    asking = _Asking(arguments)
    number = asking.ask("give", new)
    waits = ", which waits for approval" if asking.options.approval else ""
    output.say(f"hook {number} on {arguments.node}{waits}", {"hook": number}, arguments.output)
    return 0


def _approve(arguments: argparse.Namespace) -> int:
    _Asking(arguments).ask("approve", arguments.hook, arguments.sha256)
    fields = {"hook": arguments.hook, "sha256": arguments.sha256}
    output.say(f"hook {arguments.hook} is approved", fields, arguments.output)
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    number = _Asking(arguments).ask(
        "take",
        arguments.node,
        type=arguments.type,
        arg=arguments.arg,
        service=arguments.service,
    )
    said = f"{output.plural(number, 'hook')} deleted"
    output.say(said, {"deleted": number}, arguments.output)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    found = _Asking(arguments).ask("list", node=arguments.node, service=arguments.service)
    output.show_list([asdict(each) for each in found], _COLUMNS, arguments.output)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    # Only here, since it brings all that runs hooks.
    from eventworker.pubsub.hooks.service import checked

    options = hook_settings_of(conf.of(arguments))
    try:
        checked(options)
    except (Missing, OSError) as error:
        raise EventworkerError(f"no hook can run here: {error}") from None
    kept = {
        Isolation.FULL: "namespaces, Landlock, seccomp and limits are in place",
        Isolation.PROCESS: "a process with limits, which can do whatever this user can",
    }[options.isolation]
    fields = {"isolation": str(options.isolation), "enabled": options.enabled}
    output.say(f"hooks can run: {kept}", fields, arguments.output)
    return 0
