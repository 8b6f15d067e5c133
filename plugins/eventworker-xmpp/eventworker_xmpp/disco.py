"""Service discovery (XEP-0030) of the service, its nodes and its commands (XEP-0060, section 5)."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree.ElementTree import Element

from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.facts import NodeInfo
from eventworker.pubsub.forms import PREFIX, fields_of
from eventworker_xmpp import forms
from eventworker_xmpp.markup import element
from eventworker_xmpp.names import (
    COMMANDS,
    DATA,
    DISCO_INFO,
    DISCO_ITEMS,
    GET_PENDING,
    META_DATA,
    PING,
    PUBSUB,
    RSM,
    SHIM,
    VERSION,
)
from eventworker_xmpp.paging import answer, bounded, fitting, page_of
from eventworker_xmpp.request import Request

#: What the component does beside what the service tells of itself.
FEATURES = (DISCO_INFO, DISCO_ITEMS, PUBSUB, COMMANDS, DATA, PING, RSM, SHIM, VERSION)
#: Types of the fields of a node's meta-data (section 16.4.3).
_TYPES = {
    **{each.name: each.kind.form for each in fields_of(NodeConfig)},
    f"{PREFIX}creation_date": "text-single",
    f"{PREFIX}creator": "jid-single",
    f"{PREFIX}num_subscribers": "text-single",
    f"{PREFIX}owner": "jid-multi",
    f"{PREFIX}publisher": "jid-multi",
}
_COMMAND_NAME = "Pending subscriptions"
#: Characters of a title in a list: one that fills a whole answer would hide all nodes behind it.
_LONGEST_NAME = 200


def info(request: Request) -> list[Element]:
    """disco#info: of the service, a node or a command."""
    node = request.maybe_node
    if node is None:
        said = _service(request.service.features())
    elif node in (GET_PENDING, COMMANDS):
        said = _command(node)
    else:
        said = _node(request.service.node_info(node, request.actor))
    return [element(DISCO_INFO, "query", {"node": node}, said)]


def items(request: Request) -> list[Element]:
    """disco#items: nodes of the service or of a collection, items of a node, or commands."""
    node = request.maybe_node
    about = {"node": node}
    if node == COMMANDS:
        entry = {"jid": _address(request), "node": GET_PENDING, "name": _COMMAND_NAME}
        return [element(DISCO_ITEMS, "query", about, [element(DISCO_ITEMS, "item", entry)])]
    if node == GET_PENDING:
        return [element(DISCO_ITEMS, "query", about)]
    asked = page_of(request.payload)
    is_list_of_nodes = node is None or _kind(request, node) == "collection"
    names: list[str] = []
    made: list[Element] = []
    if is_list_of_nodes:
        nodes = request.service.nodes(request.actor, node, bounded(asked))
        first, total = nodes.first, nodes.total
        for each in nodes.entries:
            names.append(each.node)
            about_it = {
                "jid": _address(request),
                "node": each.node,
                "name": each.title[:_LONGEST_NAME] or None,
            }
            made.append(element(DISCO_ITEMS, "item", about_it))
    else:
        assert node is not None
        found = request.service.item_names(node, request.actor, bounded(asked))
        first, total = found.first, found.total
        for each_name in found.entries:
            names.append(each_name)
            made.append(element(DISCO_ITEMS, "item", {"jid": _address(request), "name": each_name}))
    made = fitting(made, request.room)
    fits = len(made)
    query = element(DISCO_ITEMS, "query", about, made)
    if asked is not None or fits < total:
        query.append(answer(first, total, names[:fits]))
    return [query]


def _kind(request: Request, node: str) -> str:
    return request.service.node_info(node, request.actor).kind


def _address(request: Request) -> str:
    return request.service.settings.service


def _service(features: Iterable[str]) -> list[Element]:
    identity = {"category": "pubsub", "type": "service", "name": "eventworker"}
    return [element(DISCO_INFO, "identity", identity), *_features({*FEATURES, *features})]


def _node(node: NodeInfo) -> list[Element]:
    identity = {"category": "pubsub", "type": node.kind}
    made = [element(DISCO_INFO, "identity", identity), *_features({PUBSUB})]
    if node.metadata:
        made.append(forms.result(node.metadata, META_DATA, _TYPES))
    return made


def _command(node: str) -> list[Element]:
    kind = "command-node" if node == GET_PENDING else "command-list"
    identity = {"category": "automation", "type": kind, "name": _COMMAND_NAME}
    return [element(DISCO_INFO, "identity", identity), *_features({COMMANDS, DATA})]


def _features(names: set[str]) -> list[Element]:
    return [element(DISCO_INFO, "feature", {"var": each}) for each in sorted(names)]
