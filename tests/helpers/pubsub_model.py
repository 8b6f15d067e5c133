"""An XEP-0060 service as plain dicts, written from the standard: what it says of a step.

Each verb has a question, ``why_not_VERB(...)``: the set of all reasons why the step is refused, of
which the service names one, in whatever order it looks; and the step itself, which may only be
taken when there is none. What is told goes into ``said``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tests.helpers.pubsub_world import (
    ADMIN,
    DEFAULTS,
    FORBIDDEN,
    GONE,
    NO_ITEM,
    NO_NODE,
    Kept,
    Limits,
    Node,
    Reason,
    Sub,
    Told,
    bare,
)


class Model:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.nodes: dict[str, Node] = {}
        self.moved: set[str] = set()
        self.presence: set[str] = set()
        self.said: Counter[Told] = Counter()

    # Who is what.

    def affiliation(self, node: Node, actor: str) -> str:
        return "owner" if actor == ADMIN else node.affiliations.get(bare(actor), "none")

    def subscribed(self, node: Node, actor: str) -> bool:
        return any(bare(s.jid) == bare(actor) and s.state == "subscribed" for s in node.subs)

    def held(self, node: Node, jid: str) -> list[Sub]:
        return [s for s in node.subs if s.jid == jid]

    def _missing(self, name: str) -> set[Reason]:
        if name in self.nodes:
            return set()
        return {GONE} if name in self.moved else {NO_NODE}

    def _may_read(self, node: Node, actor: str, *, retrieve: bool) -> set[Reason]:
        """Tables of sections 4.1 and 4.5."""
        affiliation = self.affiliation(node, actor)
        if affiliation in ("owner", "publisher", "member"):
            return set()
        if affiliation in ("outcast", "publish-only"):
            return {FORBIDDEN}
        model = node.config["access_model"]
        if model == "presence" and bare(actor) not in self.presence:
            return {("not-authorized", "presence-subscription-required", None)}
        if model == "whitelist":
            return {("not-allowed", "closed-node", None)}
        if model == "authorize" and retrieve and not self.subscribed(node, actor):
            return {("not-authorized", "not-subscribed", None)}
        return set()

    def _may_publish(self, node: Node, actor: str) -> set[Reason]:
        affiliation = self.affiliation(node, actor)
        model = node.config["publish_model"]
        if affiliation in ("owner", "publisher", "publish-only"):
            return set()
        if affiliation != "outcast" and (
            model == "open" or (model == "subscribers" and self.subscribed(node, actor))
        ):
            return set()
        return {FORBIDDEN}

    def _owns(self, name: str, actor: str) -> set[Reason]:
        if missing := self._missing(name):
            return missing
        owner = self.affiliation(self.nodes[name], actor) == "owner"
        return set() if owner else {FORBIDDEN}

    # What is said.

    def _tell_subscribers(self, name: str, word: str, what: Any = None) -> None:
        node = self.nodes[name]
        told: dict[str, set[str]] = {}
        for sub in node.subs:
            if not sub.deliver or not self._may_hear(node, sub, word):
                continue
            if word == "delete" or sub.state == "subscribed":
                told.setdefault(sub.jid, set()).update([sub.subid] if sub.subid else [])
        for jid, subids in told.items():
            self.said[Told(jid, word, name, what, frozenset(subids))] += 1

    def _may_hear(self, node: Node, sub: Sub, word: str) -> bool:
        """Whoever may not retrieve hears nothing, but the end of the node (section 8.4)."""
        return word == "delete" or not self._may_read(node, sub.jid, retrieve=False)

    def _tell(self, name: str, word: str, to: str, what: Any) -> None:
        self.said[Told(to, word, name, what)] += 1

    def _owners(self, node: Node) -> list[str]:
        return [jid for jid, what in node.affiliations.items() if what == "owner"]

    def _state_changed(self, name: str, sub: Sub, before: str, after: str, by: str) -> None:
        """Section 8.8.4, notify_sub, send_last_published_item."""
        node = self.nodes[name]
        if before == after:
            return
        what = (sub.jid, after, sub.subid)
        if bare(by) != bare(sub.jid):
            self._tell(name, "subscription", sub.jid, what)
        if node.config["notify_sub"] and "subscribed" in (before, after):
            for owner in self._owners(node):
                if owner != bare(sub.jid):
                    self._tell(name, "subscription", owner, what)
        wanted = node.config["send_last_published_item"] != "never" and sub.deliver
        if (
            after == "subscribed"
            and wanted
            and node.items
            and node.config["persist_items"]
            and node.config["deliver_notifications"]
            and self._may_hear(node, sub, "items")
        ):
            self._tell(name, "last", sub.jid, self._shown(node, node.items[-1:]))

    def _shown(self, node: Node, items: Sequence[Kept]) -> tuple[Any, ...]:
        payloads = node.config["deliver_payloads"]
        return tuple((i.id, i.payload if payloads else None, i.publisher) for i in items)

    # Nodes.

    def why_not_create(self, name: str, config: dict[str, Any]) -> set[Reason]:
        reasons: set[Reason] = set()
        if name in self.nodes:
            reasons.add(("conflict", None, None))
        return reasons | self._unusable(config)

    def _unusable(self, config: dict[str, Any]) -> set[Reason]:
        if config.get("access_model") == "roster":
            return {("not-acceptable", "unsupported-access-model", None)}
        return set()

    def create(self, name: str, actor: str, config: dict[str, Any]) -> None:
        self.nodes[name] = Node({**DEFAULTS, **config}, {bare(actor): "owner"})
        self.moved.discard(name)

    def why_not_configure(self, name: str, actor: str, config: dict[str, Any]) -> set[Reason]:
        return self._owns(name, actor) or self._unusable(config)

    def configure(self, name: str, config: dict[str, Any]) -> None:
        node = self.nodes[name]
        kept = node.config["persist_items"]
        node.config.update(config)
        if kept and node.items and not node.config["persist_items"]:
            self.purge(name)
        gone = self._trim(node)
        if gone and node.config["notify_retract"] and node.config["deliver_notifications"]:
            self._tell_subscribers(name, "retract", gone)
        if node.config["notify_config"]:
            self._tell_subscribers(name, "configuration")

    def why_not_delete(self, name: str, actor: str) -> set[Reason]:
        return self._owns(name, actor)

    def delete(self, name: str, uri: str | None) -> None:
        if self.nodes[name].config["notify_delete"]:
            self._tell_subscribers(name, "delete", uri)
        del self.nodes[name]
        if uri is not None:
            self.moved.add(name)

    def why_not_purge(self, name: str, actor: str) -> set[Reason]:
        if reasons := self._owns(name, actor):
            return reasons
        return self._keeps_nothing(name)

    def _keeps_nothing(self, name: str) -> set[Reason]:
        if self.nodes[name].config["persist_items"]:
            return set()
        return {("feature-not-implemented", "unsupported", "persistent-items")}

    def purge(self, name: str) -> None:
        node = self.nodes[name]
        node.items.clear()
        if node.config["deliver_notifications"]:
            self._tell_subscribers(name, "purge")

    # Items.

    def capacity(self, node: Node) -> int:
        most = node.config["max_items"]
        return self.limits.max_items if most is None else min(most, self.limits.max_items)

    def why_not_publish(
        self, name: str, actor: str, items: Sequence[tuple[str | None, str | None]]
    ) -> set[Reason]:
        reasons: set[Reason] = set()
        if len(items) > self.limits.max_batch:
            reasons.add(("not-allowed", "max-items-exceeded", None))
        if any(p is not None and len(p) > self.limits.max_payload_size for _, p in items):
            reasons.add(("not-acceptable", "payload-too-big", None))
        if missing := self._missing(name):
            return reasons | missing
        node = self.nodes[name]
        config = node.config
        reasons |= self._may_publish(node, actor)
        if config["persist_items"] and not items:
            reasons.add(("bad-request", "item-required", None))
        if config["deliver_payloads"] and (not items or any(p is None for _, p in items)):
            reasons.add(("bad-request", "payload-required", None))
        if items and not config["persist_items"] and not config["deliver_payloads"]:
            reasons.add(("bad-request", "item-forbidden", None))
        if len(items) > self.capacity(node):
            reasons.add(("not-allowed", "max-items-exceeded", None))
        ids = {i for i, _ in items}
        others = [kept for kept in node.items if kept.id not in ids]
        if (
            config["persist_items"]
            and config["publish_node_full"] == "reject"
            and len(others) + len(items) > self.capacity(node)
        ):
            reasons.add(("conflict", "node-full", None))
        return reasons

    def publish(self, name: str, actor: str, items: Sequence[tuple[str, str | None]]) -> None:
        node = self.nodes[name]
        new = [Kept(i, payload, bare(actor)) for i, payload in items]
        gone: tuple[str, ...] = ()
        if node.config["persist_items"]:
            ids = {i for i, _ in items}
            node.items = [kept for kept in node.items if kept.id not in ids] + new
            gone = self._trim(node)
        if not node.config["deliver_notifications"]:
            return
        self._tell_subscribers(name, "items", self._shown(node, new))
        if (
            gone
            and node.config["notify_retract"]
            and node.config["publish_node_full"] == "retract-oldest"
        ):
            self._tell_subscribers(name, "retract", gone)

    def _trim(self, node: Node) -> tuple[str, ...]:
        over = max(0, len(node.items) - self.capacity(node))
        gone, node.items = node.items[:over], node.items[over:]
        return tuple(kept.id for kept in gone)

    def why_not_retract(self, name: str, actor: str, ids: Sequence[str]) -> set[Reason]:
        if missing := self._missing(name):
            return missing
        node = self.nodes[name]
        reasons = self._may_publish(node, actor) | self._keeps_nothing(name)
        there = {kept.id: kept for kept in node.items}
        if any(i not in there for i in ids):
            reasons.add(NO_ITEM)
        if self.affiliation(node, actor) != "owner" and any(
            i in there and there[i].publisher != bare(actor) for i in ids
        ):
            reasons.add(FORBIDDEN)
        return reasons

    def retract(self, name: str, ids: Sequence[str], notify: bool) -> None:
        node = self.nodes[name]
        node.items = [kept for kept in node.items if kept.id not in ids]
        if node.config["deliver_notifications"] and (notify or node.config["notify_retract"]):
            self._tell_subscribers(name, "retract", tuple(ids))

    def why_not_retrieve(self, name: str, actor: str) -> set[Reason]:
        if missing := self._missing(name):
            return missing
        node = self.nodes[name]
        reasons = self._may_read(node, actor, retrieve=True) | self._keeps_nothing(name)
        several = any(len(self.held(node, jid)) > 1 for jid in (actor, bare(actor)))
        if several and actor != ADMIN:
            reasons.add(("bad-request", "subid-required", None))
        return reasons

    # Subscriptions.

    def why_not_subscribe(self, name: str, actor: str, jid: str) -> set[Reason]:
        if missing := self._missing(name):
            return missing
        node = self.nodes[name]
        reasons: set[Reason] = set()
        if not node.config["subscribe"]:
            reasons.add(("feature-not-implemented", "unsupported", "subscribe"))
        if actor != ADMIN and bare(actor) != bare(jid):
            reasons.add(("bad-request", "invalid-jid", None))
        if self.affiliation(node, jid) in ("outcast", "publish-only"):
            reasons.add(FORBIDDEN)
        reasons |= self._may_read(node, actor, retrieve=False)
        held = self.held(node, jid)
        waits = any(s.state == "pending" for s in held)
        if waits and self.state_of_new(name, actor) == "pending":
            reasons.add(("not-authorized", "pending-subscription", None))
        makes_one = not held or (self.limits.multi_subscribe and not waits)
        if actor != ADMIN and makes_one and self._has_most(jid, actor):
            reasons.add(("policy-violation", "too-many-subscriptions", None))
        return reasons

    def _has_most(self, jid: str, by: str) -> bool:
        asked_for = bare(by) == bare(jid)
        held = sum(
            bare(s.jid) == bare(jid) and s.asked_for == asked_for
            for node in self.nodes.values()
            for s in node.subs
        )
        return held >= self.limits.max_subscriptions

    def state_of_new(self, name: str, actor: str) -> str:
        """Section 6.1.4: where the model is authorize, a stranger waits for an owner."""
        node = self.nodes[name]
        known = self.affiliation(node, actor) in ("owner", "publisher", "member")
        known = known or self.subscribed(node, actor)
        return (
            "pending" if node.config["access_model"] == "authorize" and not known else "subscribed"
        )

    def subscribe(
        self, name: str, actor: str, jid: str, subid: str | None, deliver: bool | None
    ) -> Sub:
        node = self.nodes[name]
        held = self.held(node, jid)
        for waiting in [s for s in held if s.state == "pending"][:1]:
            # Whom nobody has to approve any more.
            waiting.deliver = waiting.deliver if deliver is None else deliver
            self._move(name, waiting, "subscribed", actor)
            return waiting
        if held and not self.limits.multi_subscribe:
            held[0].deliver = held[0].deliver if deliver is None else deliver
            return held[0]
        state = self.state_of_new(name, actor)
        made = Sub(jid, subid, state, deliver is not False, bare(actor) == bare(jid))
        node.subs.append(made)
        self._state_changed(name, made, "none", state, actor)
        if state == "pending":
            for owner in self._owners(node):
                self._tell(name, "authorization", owner, (jid, subid))
        return made

    def why_not_choose(self, name: str, actor: str, jid: str, subid: str | None) -> set[Reason]:
        """Sections 6.2.3 and 6.3.4: of leaving, and of options."""
        if missing := self._missing(name):
            return missing
        held = self.held(self.nodes[name], jid)
        reasons: set[Reason] = set()
        if actor != ADMIN and bare(actor) != bare(jid):
            reasons.add(FORBIDDEN)
        if not held:
            reasons.add(("unexpected-request", "not-subscribed", None))
        elif self.limits.multi_subscribe:
            if subid is None and len(held) > 1:
                reasons.add(("bad-request", "subid-required", None))
            if subid is not None and all(s.subid != subid for s in held):
                reasons.add(("not-acceptable", "invalid-subid", None))
        return reasons

    def chosen(self, name: str, jid: str, subid: str | None) -> Sub:
        held = self.held(self.nodes[name], jid)
        return next(s for s in held if subid in (None, s.subid) or not self.limits.multi_subscribe)

    def unsubscribe(self, name: str, actor: str, jid: str, subid: str | None) -> None:
        self._end(name, self.chosen(name, jid, subid), actor)

    def _end(self, name: str, sub: Sub, by: str) -> None:
        self.nodes[name].subs.remove(sub)
        self._state_changed(name, sub, sub.state, "none", by)

    def _move(self, name: str, sub: Sub, state: str, by: str) -> None:
        before, sub.state = sub.state, state
        self._state_changed(name, sub, before, state, by)

    # What owners say of others.

    def why_not_manage(self, name: str, actor: str) -> set[Reason]:
        return self._owns(name, actor)

    def decide(self, name: str, actor: str, jid: str, allow: bool) -> bool:
        asked = [s for s in self.held(self.nodes[name], jid) if s.state == "pending"]
        for sub in asked:
            if allow:
                self._move(name, sub, "subscribed", actor)
            else:
                self._end(name, sub, actor)
        return bool(asked)

    def affiliate(self, name: str, actor: str, changes: Iterable[tuple[str, str]]) -> set[str]:
        """Returns those that are refused: an owner is always left (section 8.9.2.4)."""
        node, refused = self.nodes[name], set()
        # All of them are looked at together: who takes over may stand anywhere in the list.
        for who, new in sorted(changes, key=lambda change: change[1] != "owner"):
            old = node.affiliations.get(who, "none")
            if new == old:
                continue
            if old == "owner" and self._owners(node) == [who]:
                refused.add(who)
                continue
            node.affiliations.pop(who, None)
            if new != "none":
                node.affiliations[who] = new
            self._tell(name, "affiliation", who, new)
            for sub in [s for s in node.subs if bare(s.jid) == who]:
                if new in ("outcast", "publish-only"):
                    self._end(name, sub, actor)
                elif new in ("owner", "publisher", "member") and sub.state == "pending":
                    self._move(name, sub, "subscribed", actor)
        return refused

    def set_subscription(
        self, name: str, actor: str, jid: str, state: str, subid: str | None, made: str | None
    ) -> bool:
        """Section 8.8.2; returns whether it could be done.

        :param made: the SubID that the service has made, if it had to.
        """
        node = self.nodes[name]
        held = self.held(node, jid)
        if self.limits.multi_subscribe:
            if subid is not None:
                held = [s for s in held if s.subid == subid]
                if not held:
                    return False
            if len(held) > 1:
                return False
        if state == "none":
            for sub in held:
                self._end(name, sub, actor)
            return True
        if held:
            if state == "pending" and held[0].state != "pending":
                return False
            self._move(name, held[0], state, actor)
            return True
        barred = self.affiliation(node, jid) in ("outcast", "publish-only")
        has_most = actor != ADMIN and self._has_most(jid, actor)
        if state != "subscribed" or barred or has_most:
            return False
        sub = Sub(jid, made, state, asked_for=bare(actor) == bare(jid))
        node.subs.append(sub)
        self._state_changed(name, sub, "none", state, actor)
        return True
