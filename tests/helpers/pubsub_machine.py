"""A hypothesis state machine: the service and the model of it take the same steps."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import Engine, select

from eventworker.pubsub import deliveries
from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor, Affiliated, NewItem, Subscription
from eventworker.pubsub.notices import Word
from eventworker.pubsub.options import Settings
from eventworker.pubsub.rules import Affiliation, State
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.tables import (
    affiliation_table,
    delivery_table,
    item_table,
    node_table,
    subscription_table,
)
from tests.helpers.pubsub import form
from tests.helpers.pubsub_model import Model
from tests.helpers.pubsub_world import ADMIN, Limits, Reason, Sub, Told, bare

ADA, BOB, EVE = "ada@example.org", "bob@example.org/desk", "eve@example.org/sofa"
NODES = ("news", "Ünï/ 1")
IDS = ("a", "b", "c", "d/ é")
PAYLOAD, LARGE = "<p xmlns='urn:x'>1</p>", f"<p xmlns='urn:x'>{'1' * 100}</p>"

LIVE = select(node_table).where(node_table.c.name.is_not(None))
ITEMS = select(item_table).order_by(item_table.c.position)
SUBSCRIPTIONS = select(subscription_table).order_by(subscription_table.c.id)
ROLES = select(affiliation_table)
WAITING = select(delivery_table.c.id).limit(1)

#: Steps until a node is deleted, at the least; most of what can go wrong has a history.
OLD = 8

actors = st.sampled_from([ADA, ADA, BOB, EVE, ADMIN])
#: Mostly those who may.
owners = st.sampled_from([ADA, ADA, ADA, ADMIN, BOB])
nodes = st.sampled_from([*NODES[:1] * 7, NODES[1]])
people = st.sampled_from([ADA, bare(BOB), bare(EVE)])
SUBSCRIBERS = (ADA, bare(BOB), BOB, bare(EVE), EVE)
subscribers = st.sampled_from(SUBSCRIBERS)
affiliations = st.sampled_from([str(each) for each in Affiliation])
configs = st.fixed_dictionaries(
    {},
    optional={
        "access_model": st.sampled_from(
            ["open", "authorize", "authorize", "whitelist", "presence", "roster"]
        ),
        "publish_model": st.sampled_from(["publishers", "subscribers", "open"]),
        "deliver_notifications": st.sampled_from([True, True, False]),
        "deliver_payloads": st.booleans(),
        "notify_config": st.booleans(),
        "notify_delete": st.booleans(),
        "notify_retract": st.booleans(),
        "notify_sub": st.booleans(),
        "persist_items": st.sampled_from([True, True, False]),
        "max_items": st.sampled_from([None, 1, 2, 3]),
        "publish_node_full": st.sampled_from(["retract-oldest", "discard-oldest", "reject"]),
        "send_last_published_item": st.sampled_from(["never", "on_sub"]),
        "subscribe": st.sampled_from([True, True, True, False]),
    },
)
batches = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from([*[PAYLOAD] * 8, None, LARGE])),
    max_size=4,
    unique_by=lambda each: each[0],
)


def texts(config: dict[str, Any]) -> dict[str, list[str]]:
    words = {True: "1", False: "0", None: "max"}
    return form(
        **{
            name: words[value] if value is None or isinstance(value, bool) else value
            for name, value in config.items()
        }
    )


class Machine(RuleBasedStateMachine):
    """All in one transaction, which is rolled back at the end."""

    def __init__(self, engine: Engine, multi_subscribe: bool) -> None:
        super().__init__()
        limits = Limits(multi_subscribe=multi_subscribe)
        self.model = Model(limits)
        self.age = 0
        self.connection = engine.connect()
        self.transaction = self.connection.begin()
        settings = Settings(
            admins=frozenset({ADMIN}),
            creators="everyone",
            multi_subscribe=multi_subscribe,
            max_items=limits.max_items,
            max_batch=limits.max_batch,
            max_payload_size=limits.max_payload_size,
            max_subscriptions=limits.max_subscriptions,
        )
        self.settings = settings
        self.service = PubSubService(self.connection, settings)
        self.everybody = deliveries.register(self.connection, "everybody")
        self.bob = deliveries.register(self.connection, "bob", BOB, 3600.0)

    def teardown(self) -> None:
        self.transaction.rollback()
        self.connection.close()

    def ask(self, why_not: set[Reason], verb: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
        """Whether the service has done it, as the model says, and what it has answered."""
        self.age += 1
        try:
            answer = verb(*args)
        except PubSubError as error:
            reason = (error.condition, error.detail, error.feature)
            assert reason in why_not, f"{reason} is none of {why_not}"
            return False, None
        assert not why_not, f"not refused, in spite of {why_not}"
        return True, answer

    def by(self, actor: str) -> Actor:
        return self.settings.actor(actor)

    def has_node_of(self, access_model: str) -> bool:
        nodes = self.model.nodes.values()
        return any(node.config["access_model"] == access_model for node in nodes)

    @property
    def has_items(self) -> bool:
        return any(node.items for node in self.model.nodes.values())

    # Nodes.

    @initialize(config=configs)
    def begin(self, config: dict[str, Any]) -> None:
        self.create(NODES[0], ADA, config)
        self.affiliate(NODES[0], ADA, {bare(BOB): "publisher"})
        self.subscribe(NODES[0], BOB, None)
        self.subscribe(NODES[0], EVE, None)

    @precondition(lambda self: len(self.model.nodes) < len(NODES))
    @rule(node=nodes, actor=owners, config=configs)
    def create(self, node: str, actor: str, config: dict[str, Any]) -> None:
        why_not = self.model.why_not_create(node, config)
        if self.ask(why_not, self.service.create, node, self.by(actor), texts(config))[0]:
            self.model.create(node, actor, config)

    @rule(node=nodes, actor=owners, config=configs)
    def configure(self, node: str, actor: str, config: dict[str, Any]) -> None:
        why_not = self.model.why_not_configure(node, actor, config)
        if self.ask(why_not, self.service.configure, node, self.by(actor), texts(config))[0]:
            self.model.configure(node, config)

    @precondition(lambda self: self.age >= OLD)
    @rule(node=nodes, actor=owners, uri=st.sampled_from([None, "xmpp:x"]))
    def delete(self, node: str, actor: str, uri: str | None) -> None:
        why_not = self.model.why_not_delete(node, actor)
        if self.ask(why_not, self.service.delete, node, self.by(actor), uri)[0]:
            self.model.delete(node, uri)
            self.age = 0

    @precondition(lambda self: self.has_items)
    @rule(node=nodes, actor=owners)
    def purge(self, node: str, actor: str) -> None:
        why_not = self.model.why_not_purge(node, actor)
        if self.ask(why_not, self.service.purge, node, self.by(actor))[0]:
            self.model.purge(node)

    # Items.

    @rule(node=nodes, actor=actors, batch=batches)
    def publish(self, node: str, actor: str, batch: list[tuple[str, str | None]]) -> None:
        why_not = self.model.why_not_publish(node, actor, batch)
        items = [NewItem(*each) for each in batch]
        done, ids = self.ask(why_not, self.service.publish, node, self.by(actor), items)
        if done:
            assert ids == [name for name, _ in batch]
            self.model.publish(node, actor, batch)

    @rule(node=nodes, actor=owners, name=st.sampled_from(IDS))
    def publish_one(self, node: str, actor: str, name: str) -> None:
        self.publish(node, actor, [(name, PAYLOAD)])

    @rule(node=nodes, actor=actors, payload=st.sampled_from([PAYLOAD, None]))
    def publish_without_id(self, node: str, actor: str, payload: str | None) -> None:
        why_not = self.model.why_not_publish(node, actor, [(None, payload)])
        new = [NewItem(None, payload)]
        done, ids = self.ask(why_not, self.service.publish, node, self.by(actor), new)
        if done:
            self.model.publish(node, actor, [(ids[0], payload)])

    @precondition(lambda self: self.has_items)
    @rule(node=nodes, actor=actors, notify=st.booleans(), data=st.data())
    def retract(self, node: str, actor: str, notify: bool, data: st.DataObject) -> None:
        kept = self.model.nodes[node].items if node in self.model.nodes else []
        there = [each.id for each in kept] * 4
        ids = data.draw(
            st.lists(st.sampled_from([*there, IDS[0]]), min_size=1, max_size=2, unique=True)
        )
        why_not = self.model.why_not_retract(node, actor, ids)
        if self.ask(why_not, self.service.retract, node, self.by(actor), ids, notify)[0]:
            self.model.retract(node, ids, notify)

    @rule(node=nodes, actor=actors, ids=st.lists(st.sampled_from(IDS), max_size=2))
    def retrieve(self, node: str, actor: str, ids: list[str]) -> None:
        why_not = self.model.why_not_retrieve(node, actor)
        done, part = self.ask(why_not, self.service.items, node, self.by(actor), ids or None)
        if done:
            kept = [each for each in self.model.nodes[node].items if not ids or each.id in ids]
            expected = [(each.id, each.payload, each.publisher) for each in kept]
            assert [(each.id, each.payload, each.publisher) for each in part.entries] == expected

    # Subscriptions.

    @rule(node=nodes, jid=subscribers, deliver=st.sampled_from([None, None, True, False]))
    def subscribe(self, node: str, jid: str, deliver: bool | None) -> None:
        self.subscribe_by(node, jid, jid, deliver)

    @rule(node=nodes, actor=actors, jid=subscribers, deliver=st.sampled_from([None, True, False]))
    def subscribe_by(self, node: str, actor: str, jid: str, deliver: bool | None) -> None:
        why_not = self.model.why_not_subscribe(node, actor, jid)
        options = None if deliver is None else form(deliver=int(deliver))
        done, answer = self.ask(why_not, self.service.subscribe, node, self.by(actor), jid, options)
        if done:
            expected = self.model.subscribe(node, actor, jid, answer.subid, deliver)
            assert (answer.node, answer.jid, answer.state) == (node, jid, expected.state)

    @rule(node=nodes, data=st.data())
    def unsubscribe(self, node: str, data: st.DataObject) -> None:
        actor, jid, subid = self.somebody(node, data)
        why_not = self.model.why_not_choose(node, actor, jid, subid)
        if self.ask(why_not, self.service.unsubscribe, node, self.by(actor), jid, subid)[0]:
            self.model.unsubscribe(node, actor, jid, subid)

    @rule(node=nodes, deliver=st.booleans(), data=st.data())
    def set_options(self, node: str, deliver: bool, data: st.DataObject) -> None:
        actor, jid, subid = self.somebody(node, data)
        why_not = self.model.why_not_choose(node, actor, jid, subid)
        verb, fields = self.service.set_subscription_options, form(deliver=int(deliver))
        if self.ask(why_not, verb, node, self.by(actor), jid, fields, subid)[0]:
            self.model.chosen(node, jid, subid).deliver = deliver
            told = self.service.subscription_options(node, self.by(actor), jid, subid)
            assert told.deliver is deliver

    def somebody(self, node: str, data: st.DataObject) -> tuple[str, str, str | None]:
        """Actor, JID and SubID, mostly those of a subscription."""
        subs = self.model.nodes[node].subs if node in self.model.nodes else []
        jid = data.draw(st.sampled_from([*[each.jid for each in subs] * 3, *SUBSCRIBERS]))
        actor = data.draw(st.sampled_from([jid, jid, jid, ADMIN, EVE]))
        own = [each.subid for each in subs if each.jid == jid]
        subid = data.draw(st.sampled_from([*own * 2, None, "nobody's"]))
        return actor, jid, subid

    # What owners say of others.

    @rule(node=nodes, actor=owners, allow=st.booleans(), data=st.data())
    def decide(self, node: str, actor: str, allow: bool, data: st.DataObject) -> None:
        jid = self.somebody(node, data)[1]
        why_not = self.model.why_not_manage(node, actor)
        done, answer = self.ask(
            why_not, self.service.decide, node, self.by(actor), jid, None, allow
        )
        if done:
            assert answer == self.model.decide(node, actor, jid, allow)

    @rule(
        node=nodes,
        actor=owners,
        changes=st.dictionaries(people, affiliations, min_size=1, max_size=3),
    )
    def affiliate(self, node: str, actor: str, changes: dict[str, str]) -> None:
        why_not = self.model.why_not_manage(node, actor)
        asked = [Affiliated(node, who, Affiliation(what)) for who, what in changes.items()]
        done, refused = self.ask(
            why_not, self.service.change_node_affiliations, node, self.by(actor), asked
        )
        if done:
            expected = self.model.affiliate(node, actor, changes.items())
            assert {each.jid: str(each.affiliation) for each in refused} == dict.fromkeys(
                expected, "owner"
            )

    @rule(
        node=nodes,
        actor=owners,
        state=st.sampled_from(["subscribed", "none", "pending"]),
        data=st.data(),
    )
    def set_subscription(self, node: str, actor: str, state: str, data: st.DataObject) -> None:
        _, jid, subid = self.somebody(node, data)
        why_not = self.model.why_not_manage(node, actor)
        asked = [Subscription(node, jid, State(state), subid)]
        done, refused = self.ask(
            why_not, self.service.change_node_subscriptions, node, self.by(actor), asked
        )
        if done:
            made = self.newest_subid(node, jid)
            can = self.model.set_subscription(node, actor, jid, state, subid, made)
            assert bool(refused) is not can

    def newest_subid(self, node: str, jid: str) -> str | None:
        if not self.model.limits.multi_subscribe:
            return None
        subscription = subscription_table.c
        return self.connection.scalar(
            select(subscription.subid)
            .join_from(subscription_table, node_table, node_table.c.id == subscription.node_id)
            .where(node_table.c.name == node, subscription.jid == jid)
            .order_by(subscription.id.desc())
            .limit(1)
        )

    @precondition(lambda self: self.has_node_of("presence"))
    @rule(who=people, granted=st.booleans())
    def presence(self, who: str, granted: bool) -> None:
        if granted:
            self.service.presence_granted(who)
            self.model.presence.add(who)
        else:
            self.service.presence_revoked(who)
            self.model.presence.discard(who)

    # What has to be so after each step.

    @invariant()
    def told_is_what_the_model_says(self) -> None:
        expected, self.model.said = self.model.said, Counter()
        if not expected and self.connection.scalar(WAITING) is None:
            return
        assert self.heard(self.everybody) == expected
        assert self.heard(self.bob) == Counter(
            {told: n for told, n in expected.items() if told.to in (BOB, bare(BOB))}
        )

    def heard(self, listener: int) -> "Counter[Told]":
        heard: Counter[Told] = Counter()
        for delivery in deliveries.waiting(self.connection, listener, 100):
            while found := deliveries.page(
                self.connection, delivery, 2, self.settings.service, self.settings.admins
            ):
                for each in found:
                    heard[self.told(delivery, each)] += 1
                deliveries.told(self.connection, delivery, found[-1].jid)
            deliveries.done(self.connection, delivery)
        return heard

    def told(self, delivery: deliveries.Delivery, to: deliveries.Addressee) -> Told:
        said = delivery.content
        essence: Callable[[], Any] = {
            Word.ITEMS: lambda: tuple(
                (each["id"], each["payload"], each["publisher"]) for each in said["items"]
            ),
            Word.RETRACT: lambda: tuple(said["ids"]),
            Word.DELETE: lambda: said.get("uri"),
            Word.SUBSCRIPTION: lambda: (said["jid"], said["state"], said["subid"]),
            Word.AUTHORIZATION: lambda: (said["jid"], said["subid"]),
            Word.AFFILIATION: lambda: said["affiliation"],
        }.get(delivery.word, lambda: None)
        if "stamp" in said:  # the last item, to a new subscriber
            assert to.subids
            return Told(to.jid, "last", delivery.node, essence())
        subids = frozenset(to.subids) if self.model.limits.multi_subscribe else frozenset()
        return Told(to.jid, str(delivery.word), delivery.node, essence(), subids)

    @invariant()
    def rows_are_what_the_model_says(self) -> None:
        there = {row.id: row for row in self.connection.execute(LIVE)}
        assert {row.name for row in there.values()} == set(self.model.nodes)
        kept, held, roles = (
            list(self.connection.execute(look)) for look in (ITEMS, SUBSCRIPTIONS, ROLES)
        )
        for key, row in there.items():
            expected = self.model.nodes[row.name]
            config = NodeConfig.from_json(row.config)
            assert {name: getattr(config, name) for name in expected.config} == expected.config
            assert [(r.item_id, r.payload, r.publisher) for r in kept if r.node_id == key] == [
                (each.id, each.payload, each.publisher) for each in expected.items
            ]
            assert {r.jid: r.affiliation for r in roles if r.node_id == key} == (
                expected.affiliations
            )
            assert [self.as_sub(r) for r in held if r.node_id == key] == expected.subs
        assert {row.node_id for row in kept} <= set(there)

    def as_sub(self, row: Any) -> Sub:
        subid = row.subid if self.model.limits.multi_subscribe else None
        return Sub(row.jid, subid, row.state, row.deliver, row.asked_for)
