"""``eventworker pubsub node``: the nodes themselves, and who is what to them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from eventworker.cli import output
from eventworker.cli.arguments import Verbs, add_group
from eventworker.cli.logs import escaped
from eventworker.cli.pubsub_client import (
    add_asking,
    add_node,
    assignment,
    client_of,
    shown,
    values_of,
)
from eventworker.pubsub import Affiliation, NodeConfig, PartlyRefused, State
from eventworker.pubsub.forms import texts_of


def add(verbs: Verbs) -> Verbs:
    """The group ``node``; gives it back, for those who add to it."""
    group = add_group(verbs, "node", "create, configure and delete nodes, and say who may do what")
    created = add_asking(
        group,
        "create",
        _create,
        help="create a node",
        more="Without a name the service makes one and says it. What is not set is as [pubsub] "
        "node_defaults says.",
        example="eventworker pubsub node create news --set title=News --set max_items=100",
    )
    add_node(created, nargs="?", help="its name, such as story/42")
    created.add_argument(
        "--set",
        dest="fields",
        action="append",
        default=[],
        type=assignment(NodeConfig),
        metavar="FIELD=VALUE",
        help="a field of its configuration; may be given several times",
    )
    deleted = add_asking(
        group,
        "delete",
        _delete,
        help="delete a node with its items and subscriptions",
        example="eventworker pubsub node delete news --redirect 'xmpp:pubsub.example.org?;node=a'",
    )
    add_node(deleted)
    deleted.add_argument("--redirect", metavar="URI", help="where it is now, for those who ask")
    listed = add_asking(
        group,
        "list",
        _list,
        help="list the nodes that can be seen",
        example="eventworker pubsub node list -O json",
    )
    add_node(listed, nargs="?", help="only the nodes in this collection")
    info = add_asking(
        group,
        "info",
        _info,
        help="show what anybody may know of a node",
        example="eventworker pubsub node info news",
    )
    add_node(info)
    _add_settings(group)
    purged = add_asking(
        group,
        "purge",
        _purge,
        help="remove all items of a node",
        example="eventworker pubsub node purge news",
    )
    add_node(purged)
    return group


def _add_settings(group: Verbs) -> None:
    """Those that show, and set what follows."""
    config = add_asking(
        group,
        "config",
        _config,
        help="show the configuration of a node, or change it",
        more="A field that takes several values is named once for each; FIELD= leaves it empty. "
        "Fields that are not named stay as they are.",
        example="eventworker pubsub node config news access_model=whitelist max_items=10",
    )
    add_node(config)
    config.add_argument(
        "fields", nargs="*", type=assignment(NodeConfig), metavar="FIELD=VALUE", help="to change"
    )
    affiliations = add_asking(
        group,
        "affiliations",
        _affiliations,
        help="list who is what to a node, or change it",
        more=f"An affiliation is {_or(Affiliation)}.",
        example="eventworker pubsub node affiliations news ada@example.org=publisher",
    )
    add_node(affiliations)
    affiliations.add_argument(
        "changes", nargs="*", type=_pair, metavar="JID=AFFILIATION", help="to change"
    )
    subscriptions = add_asking(
        group,
        "subscriptions",
        _subscriptions,
        help="list the subscriptions to a node, or change them",
        more=f"A state is {_or(State)}; none ends the subscription.",
        example="eventworker pubsub node subscriptions news bob@example.org=subscribed",
    )
    add_node(subscriptions)
    subscriptions.add_argument(
        "changes", nargs="*", type=_pair, metavar="JID=STATE", help="to change"
    )
    subscriptions.add_argument(
        "--subid", metavar="ID", help="which of several subscriptions of an address is changed"
    )


def _or(words: type[Affiliation] | type[State]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}"


def _pair(text: str) -> tuple[str, str]:
    # An address may have a = in its resource, and no word has one.
    jid, sign, word = text.rpartition("=")
    if not sign or not jid or not word:
        raise argparse.ArgumentTypeError(f"{text!r} is not JID=WORD")
    return jid, word


def _create(arguments: argparse.Namespace) -> int:
    with client_of(arguments) as client:
        made = client.create(None, arguments.node, config=values_of(arguments.fields))
    output.say(f"node {made} is created", {"node": made}, arguments.output)
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    with client_of(arguments) as client:
        client.delete(None, arguments.node, redirect_uri=arguments.redirect)
    return _done(arguments, "deleted")


def _purge(arguments: argparse.Namespace) -> int:
    with client_of(arguments) as client:
        client.purge(None, arguments.node)
    return _done(arguments, "purged")


def _done(arguments: argparse.Namespace, done: str) -> int:
    output.say(f"node {arguments.node} is {done}", {"node": arguments.node}, arguments.output)
    return 0


def _list(arguments: argparse.Namespace) -> int:
    with client_of(arguments) as client:
        found = client.get_nodes(None, arguments.node)
    rows = [asdict(each) for each in found]
    output.show_list(rows, ("node", "kind", "title"), arguments.output)
    return 0


def _info(arguments: argparse.Namespace) -> int:
    with client_of(arguments) as client:
        found = client.get_node_info(None, arguments.node)
    fields = {"node": found.node, "kind": found.kind, **shown(found.metadata)}
    output.show_one(fields, arguments.output)
    return 0


def _config(arguments: argparse.Namespace) -> int:
    with client_of(arguments) as client:
        if arguments.fields:
            client.set_node_config(None, values_of(arguments.fields), arguments.node)
        found = client.get_node_config(None, arguments.node)
    output.show_one(shown(texts_of(found)), arguments.output)
    return 0


def _affiliations(arguments: argparse.Namespace) -> int:
    with client_of(arguments) as client:
        refused = _changed(
            lambda: client.change_node_affiliations(None, arguments.node, arguments.changes)
        )
        found = client.get_node_affiliations(None, arguments.node)
    rows = [asdict(each) for each in found]
    return _show(rows, ("jid", "affiliation"), refused, arguments)


def _subscriptions(arguments: argparse.Namespace) -> int:
    changes = [(jid, state, arguments.subid) for jid, state in arguments.changes]
    with client_of(arguments) as client:
        refused = _changed(lambda: client.change_node_subscriptions(None, arguments.node, changes))
        found = client.get_node_subscriptions(None, arguments.node)
    rows = [asdict(each) for each in found]
    return _show(rows, ("jid", "state", "subid", "expires_at"), refused, arguments)


def _changed(change: Callable[[], None]) -> Sequence[Any]:
    """Those that were refused; the others are to be kept."""
    try:
        change()
    except PartlyRefused as error:
        return error.refused
    return ()


def _show(
    rows: Sequence[dict[str, Any]],
    columns: Sequence[str],
    refused: Sequence[Any],
    arguments: argparse.Namespace,
) -> int:
    output.show_list(rows, columns, arguments.output)
    for each in refused:
        word = getattr(each, columns[1])
        print(f"eventworker: {escaped(each.jid)}: not-acceptable: still {word}", file=sys.stderr)
    return 1 if refused else 0
