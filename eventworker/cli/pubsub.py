"""``eventworker pubsub``: the publish-subscribe service, asked from the command line."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from eventworker.cli import hook, output, pubsub_nodes
from eventworker.cli.arguments import UsageError, Verbs, add_group, positive
from eventworker.cli.pubsub_client import (
    add_asking,
    add_node,
    assignment,
    client_of,
    values_of,
)
from eventworker.errors import EventworkerError
from eventworker.pubsub import State, SubscribeOptions
from eventworker.pubsub.contents import Payload


def add(verbs: Verbs) -> None:
    """The verbs of ``eventworker pubsub``."""
    group = add_group(
        verbs, "pubsub", "publish to nodes, subscribe to them and look after them (XEP-0060)"
    )
    # Both places are where people look for hooks.
    for verbs_of_hooks in (group, pubsub_nodes.add(group)):
        hook.add(verbs_of_hooks)
    _add_subscribing(group)
    published = add_asking(
        group,
        "publish",
        _publish,
        help="publish an item to a node",
        more="The payload is one XML element, or a JSON object or array, which goes into the "
        "container of XEP-0335. An item of the same id is replaced.",
        example="""eventworker pubsub publish news '{"title": "first"}' --id 1""",
    )
    add_node(published)
    source = published.add_mutually_exclusive_group()
    source.add_argument(
        "payload", nargs="?", metavar="PAYLOAD", help="the payload; - reads standard input"
    )
    source.add_argument("--file", metavar="FILE", help="the file that the payload is in")
    source.add_argument(
        "--notify",
        action="store_true",
        help="no item at all: only tell the subscribers that something has happened",
    )
    published.add_argument("--id", metavar="ID", help="the item's id (default: a new one)")
    retracted = add_asking(
        group,
        "retract",
        _retract,
        help="remove items from a node",
        example="eventworker pubsub retract news 1 2 --notify",
    )
    add_node(retracted)
    retracted.add_argument("ids", nargs="+", metavar="ID", help="1")
    retracted.add_argument(
        "--notify",
        action="store_true",
        help="tell the subscribers, also where the node's configuration would not",
    )
    items = add_asking(
        group,
        "items",
        _items,
        help="show the items of a node, oldest first",
        example="eventworker pubsub items news --max 10 -O json",
    )
    add_node(items)
    items.add_argument("ids", nargs="*", metavar="ID", help="only these")
    items.add_argument(
        "--max", type=positive, metavar="N", help="only so many, the newest, newest first"
    )


def _add_subscribing(group: Verbs) -> None:
    subscribed = add_asking(
        group,
        "subscribe",
        _subscribe,
        help="subscribe an address to a node",
        more="Where an owner has to approve, the subscription is pending.",
        example="eventworker pubsub subscribe news bob@example.org",
    )
    unsubscribed = add_asking(
        group,
        "unsubscribe",
        _unsubscribe,
        help="end a subscription",
        example="eventworker pubsub unsubscribe news bob@example.org",
    )
    for each in (subscribed, unsubscribed):
        add_node(each)
        each.add_argument(
            "jid", nargs="?", metavar="JID", help="the subscriber (default: that of --as)"
        )
    subscribed.add_argument(
        "--set",
        dest="fields",
        action="append",
        default=[],
        type=assignment(SubscribeOptions),
        metavar="FIELD=VALUE",
        help="an option of the subscription; may be given several times",
    )
    unsubscribed.add_argument("--subid", metavar="ID", help="which one, if there are several")


def _subscriber(arguments: argparse.Namespace) -> str:
    who = arguments.jid or arguments.asker
    if who is None:
        raise UsageError("name the subscriber, by JID or by --as")
    return str(who)


def _subscribe(arguments: argparse.Namespace) -> int:
    who = _subscriber(arguments)
    config = values_of(arguments.fields) or None
    with client_of(arguments) as client:
        made = client.subscribe(None, arguments.node, subscription_jid=who, config=config)
    is_told = {
        State.SUBSCRIBED: "is subscribed to",
        State.PENDING: "waits for an owner's word on",
    }.get(made.state, f"is {made.state} at")
    output.say(f"{made.jid} {is_told} {made.node}", asdict(made), arguments.output)
    return 0


def _unsubscribe(arguments: argparse.Namespace) -> int:
    who = _subscriber(arguments)
    with client_of(arguments) as client:
        client.unsubscribe(None, arguments.node, subscription_jid=who, subid=arguments.subid)
    fields = {"node": arguments.node, "jid": who}
    output.say(f"{who} is not subscribed to {arguments.node} any more", fields, arguments.output)
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    if arguments.notify and arguments.id is not None:
        raise UsageError("--notify publishes no item, so it has no --id")
    payload = None if arguments.notify else _payload(arguments)
    with client_of(arguments) as client:
        if arguments.notify:
            client.notify(None, arguments.node)
            made = None
        else:
            made = client.publish(None, arguments.node, payload, id_=arguments.id)
    said = f"item {made} is published to {arguments.node}"
    output.say(
        said if made is not None else f"the subscribers of {arguments.node} are told",
        {"node": arguments.node, "id": made},
        arguments.output,
    )
    return 0


def _payload(arguments: argparse.Namespace) -> Payload | None:
    text = arguments.payload
    try:
        if arguments.file is not None and arguments.file != "-":
            text = Path(arguments.file).read_bytes().decode()
        elif "-" in (arguments.file, text):
            text = sys.stdin.buffer.read().decode()
    except OSError as error:
        raise EventworkerError(f"{arguments.file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise EventworkerError("the payload is not UTF-8") from None
    if text is None or text.lstrip().startswith("<"):
        return text  # type: ignore[no-any-return]
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):  # the latter for lists in lists without end
        value = None
    if not isinstance(value, dict | list):
        raise EventworkerError("the payload is neither an XML element nor a JSON object or array")
    return value


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not in JSON")


def _retract(arguments: argparse.Namespace) -> int:
    with client_of(arguments) as client:
        for each in arguments.ids:
            client.retract(None, arguments.node, each, notify=arguments.notify)
    count = len(arguments.ids)
    output.say(
        f"{output.plural(count, 'item')} of {arguments.node} {'is' if count == 1 else 'are'} "
        "retracted",
        {"node": arguments.node, "ids": arguments.ids},
        arguments.output,
    )
    return 0


def _items(arguments: argparse.Namespace) -> int:
    if arguments.ids and arguments.max:
        raise UsageError("choose either by id or by --max, not by both")
    with client_of(arguments) as client:
        if arguments.ids:
            found = client.get_items_by_id(None, arguments.node, arguments.ids)
        else:
            found = client.get_items(None, arguments.node, max_items=arguments.max)
    rows = [asdict(each) for each in found]
    output.show_list(rows, ("id", "publisher", "published_at", "payload"), arguments.output)
    return 0
