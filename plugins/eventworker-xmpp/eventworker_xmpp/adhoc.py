"""The command ``#get-pending`` (XEP-0050; XEP-0060, section 8.7): an owner has the requests for
subscriptions that wait for an answer sent to him again."""

from __future__ import annotations

import secrets
from xml.etree.ElementTree import Element

from eventworker.pubsub.errors import PubSubError
from eventworker_xmpp import forms
from eventworker_xmpp.markup import element
from eventworker_xmpp.names import AUTHORIZATION, COMMANDS, DATA, GET_PENDING
from eventworker_xmpp.request import Request

_NODE = "pubsub#node"


def command(request: Request) -> list[Element]:
    """One stage of the command. Nothing is kept between them: the second one names its node."""
    if request.payload.get("node") != GET_PENDING:
        raise PubSubError("item-not-found", text="there is no such command")
    action = request.payload.get("action", "execute")
    if action == "cancel":
        return _stage(request, "canceled")
    if action not in ("execute", "next", "complete"):
        raise PubSubError("bad-request", text=f"there is no action {action[:40]!r}")
    form = forms.form_of(request.payload)
    if form is None:
        return _stage(request, "executing", _choice(request))
    if forms.is_cancelled(form):
        return _stage(request, "canceled")
    chosen = list(forms.filled(form, AUTHORIZATION).get(_NODE, []))
    if len(chosen) != 1 or not chosen[0]:
        raise PubSubError("bad-request", text="one node is chosen")
    request.service.resend_pending(chosen[0], request.actor)
    return _stage(request, "completed")


def _choice(request: Request) -> list[Element]:
    nodes = request.service.pending_nodes(request.actor)
    form = element(DATA, "x", {"type": "form"})
    form.append(forms.field(forms.FORM_TYPE, [AUTHORIZATION], "hidden"))
    options = [(node, node) for node in nodes]
    form.append(forms.field(_NODE, [], "list-single", "Node with pending subscriptions", options))
    actions = element(COMMANDS, "actions", {"execute": "complete"})
    actions.append(element(COMMANDS, "complete"))
    return [actions, form]


def _stage(request: Request, status: str, inside: list[Element] | None = None) -> list[Element]:
    session = request.payload.get("sessionid") or secrets.token_hex(8)
    about = {"node": GET_PENDING, "sessionid": session, "status": status}
    return [element(COMMANDS, "command", about, inside or [])]
