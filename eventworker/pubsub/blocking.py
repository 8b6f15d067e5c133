"""The client as plain functions: each returns when the service has done what it says."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

from eventworker.pubsub.config import NodeConfig, SubscribeOptions
from eventworker.pubsub.contents import Payload, xml_of
from eventworker.pubsub.errors import PartlyRefused, PubSubError
from eventworker.pubsub.facts import (
    Actor,
    Affiliated,
    Fields,
    Item,
    NewItem,
    NodeEntry,
    NodeInfo,
    Subscription,
)
from eventworker.pubsub.forms import PREFIX, texts_of
from eventworker.pubsub.jid import bare, domain
from eventworker.pubsub.jid import jid as address
from eventworker.pubsub.listening import Listening, registered
from eventworker.pubsub.options import Settings
from eventworker.pubsub.rules import Affiliation, State
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.signals import Signals
from eventworker.pubsub.transactions import Transactions, Where

#: Values by the names of fields; ``pubsub#`` before a name may be left out.
Values = Mapping[str, str | int | bool | Sequence[str]]


class SyncPubSubClient(Signals):
    """A client of the service in the same database, in whose every method ``jid`` is the service's
    address, or None.

    ::

        with SyncPubSubClient(engine, "robot@pubsub.example.org") as client:
            client.create(None, "news")
            client.publish(None, "news", {"title": "first"}, id_="1")

    Inside a plugin's ``handle()`` it is given the session, and what it does is committed with the
    event. With an engine, a URL or a configuration each method is a transaction of its own.

    In a ``with`` block, or after :meth:`listen`, it hears of what happens; its signals are then
    fired in a thread.

    :param where: the database, or a session or connection whose transaction it works in.
    :param jid: its own address; the service's own may do everything.
    :param settings: None for those of the configuration, or without one the defaults.
    :raises PubSubError: here and by every method, when the service refuses.
    """

    def __init__(self, where: Where, jid: str, *, settings: Settings | None = None) -> None:
        super().__init__()
        self.transactions = Transactions(where, settings)
        self.settings = self.transactions.settings
        self.jid = address(jid)
        self._listening: Listening | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_bound(self) -> bool:
        """Whether it works in its caller's transaction."""
        return self.transactions.engine is None

    # For subscribers (section 6 of the XEP).

    def get_default_config(self, jid: str | None, node: str | None = None) -> SubscribeOptions:
        """The options of a subscription of which nothing else is said (section 6.3.8)."""
        with self._reading(jid) as service:
            return service.default_subscription_options(self._actor, node)

    def get_items(
        self, jid: str | None, node: str, *, max_items: int | None = None
    ) -> Sequence[Item]:
        """The items of a node, oldest first.

        :param max_items: only so many, the newest, and newest first.
        """
        with self._reading(jid) as service:
            return service.items(node, self._actor, max_items=max_items).entries

    def get_items_by_id(self, jid: str | None, node: str, ids: Iterable[str]) -> Sequence[Item]:
        """Those of the items with these ids that are there.

        :raises ValueError: without any id.
        """
        wanted = [ids] if isinstance(ids, str) else list(ids)
        if not wanted:
            raise ValueError("name at least one id")
        with self._reading(jid) as service:
            return service.items(node, self._actor, ids=wanted).entries

    def get_subscription_config(
        self,
        jid: str | None,
        node: str | None = None,
        *,
        subscription_jid: str | None = None,
        subid: str | None = None,
    ) -> SubscribeOptions:
        """The options of a subscription (section 6.3)."""
        who = self._subscriber(subscription_jid)
        with self._reading(jid) as service:
            return service.subscription_options(_named(node), self._actor, who, subid)

    def get_subscriptions(self, jid: str | None, node: str | None = None) -> Sequence[Subscription]:
        """The client's own subscriptions, to one node or to all (section 5.6)."""
        with self._reading(jid) as service:
            return service.subscriptions(self._actor, node)

    def get_affiliations(self, jid: str | None, node: str | None = None) -> Sequence[Affiliated]:
        """The client's own affiliations, with one node or with all (section 5.7)."""
        with self._reading(jid) as service:
            return service.affiliations(self._actor, node)

    def set_subscription_config(
        self,
        jid: str | None,
        data: SubscribeOptions | Values,
        node: str | None = None,
        *,
        subscription_jid: str | None = None,
        subid: str | None = None,
    ) -> None:
        """Change the options of a subscription (section 6.3.5); fields left out stay."""
        who = self._subscriber(subscription_jid)
        with self._writing(jid) as service:
            service.set_subscription_options(_named(node), self._actor, who, _fields(data), subid)

    def subscribe(
        self,
        jid: str | None,
        node: str | None = None,
        *,
        subscription_jid: str | None = None,
        config: SubscribeOptions | Values | None = None,
    ) -> Subscription:
        """Subscribe to a node (section 6.1); the answer says whether an owner has to approve.

        :param subscription_jid: None for the client's own address without its resource.
        :param config: options of the subscription.
        """
        who = self._subscriber(subscription_jid)
        options = None if config is None else _fields(config)
        with self._writing(jid) as service:
            return service.subscribe(_named(node), self._actor, who, options)

    def unsubscribe(
        self,
        jid: str | None,
        node: str | None = None,
        *,
        subscription_jid: str | None = None,
        subid: str | None = None,
    ) -> None:
        """End a subscription (section 6.2)."""
        who = self._subscriber(subscription_jid)
        with self._writing(jid) as service:
            service.unsubscribe(_named(node), self._actor, who, subid)

    # For publishers (section 7).

    def notify(self, jid: str | None, node: str) -> None:
        """Tell the subscribers of a node that something has happened, without an item."""
        with self._writing(jid) as service:
            service.publish(node, self._actor, [])

    def publish(
        self,
        jid: str | None,
        node: str,
        payload: Payload | None,
        *,
        id_: str | None = None,
        publish_options: Values | None = None,
    ) -> str:
        """Publish an item (section 7.1).

        :param payload: one XML element, as text or as an element of ElementTree; a dict or a list
            goes into the JSON container of XEP-0335.
        :param id_: an item of that id is overwritten; None: the service makes one.
        :param publish_options: what the node's configuration has to be.
        :returns: the item's id.
        """
        item = NewItem(id_, xml_of(payload))
        options = None if publish_options is None else _fields(publish_options)
        with self._writing(jid) as service:
            (made,) = service.publish(node, self._actor, [item], options)
        return made

    def retract(self, jid: str | None, node: str, id_: str, *, notify: bool = False) -> None:
        """Remove an item (section 7.2).

        :param notify: tell the subscribers, also where the node's configuration would not.
        """
        with self._writing(jid) as service:
            service.retract(node, self._actor, [id_], notify)

    # For owners (section 8).

    def change_node_affiliations(
        self,
        jid: str | None,
        node: str,
        affiliations_to_set: Iterable[tuple[str, Affiliation | str]],
    ) -> None:
        """Change what others are to a node (section 8.9).

        :param affiliations_to_set: pairs of address and affiliation; ``none`` ends one.
        :raises PartlyRefused: when some could not be changed, and the others are.
        """
        changes = [
            Affiliated(node, address(who), _word(Affiliation, what))
            for who, what in affiliations_to_set
        ]
        with self._writing(jid) as service:
            refused = service.change_node_affiliations(node, self._actor, changes)
        if refused:
            raise PartlyRefused(refused)

    def change_node_subscriptions(
        self,
        jid: str | None,
        node: str,
        subscriptions_to_set: Iterable[
            tuple[str, State | str] | tuple[str, State | str, str | None]
        ],
    ) -> None:
        """Change the subscriptions of others (section 8.8).

        :param subscriptions_to_set: pairs of address and state, or triples with the id of the
            subscription; ``none`` ends one.
        :raises PartlyRefused: when some could not be changed, and the others are.
        """
        changes = [
            Subscription(node, address(who), _word(State, state), subid[0] if subid else None)
            for who, state, *subid in subscriptions_to_set
        ]
        with self._writing(jid) as service:
            refused = service.change_node_subscriptions(node, self._actor, changes)
        if refused:
            raise PartlyRefused(refused)

    def create(
        self,
        jid: str | None,
        node: str | None = None,
        *,
        config: NodeConfig | Values | None = None,
    ) -> str:
        """Create a node (section 8.1).

        :param node: None: the service makes a name.
        :param config: where its configuration differs from the default.
        :returns: its name.
        """
        fields = None if config is None else _fields(config)
        with self._writing(jid) as service:
            return service.create(node, self._actor, fields)

    def delete(self, jid: str | None, node: str, *, redirect_uri: str | None = None) -> None:
        """Delete a node with all that is in it (section 8.4).

        :param redirect_uri: where it is now, for those who ask for it.
        """
        with self._writing(jid) as service:
            service.delete(node, self._actor, redirect_uri)

    def get_nodes(self, jid: str | None, node: str | None = None) -> Sequence[NodeEntry]:
        """The nodes that the client may see (section 5.2).

        :param node: only those in this collection.
        """
        with self._reading(jid) as service:
            return service.nodes(self._actor, node).entries

    def get_node_info(self, jid: str | None, node: str) -> NodeInfo:
        """What anybody may know of a node (section 5.4)."""
        with self._reading(jid) as service:
            return service.node_info(node, self._actor)

    def get_node_affiliations(self, jid: str | None, node: str) -> Sequence[Affiliated]:
        """What others are to a node (section 8.9)."""
        with self._reading(jid) as service:
            return service.node_affiliations(node, self._actor)

    def get_node_config(self, jid: str | None, node: str | None = None) -> NodeConfig:
        """The configuration of a node (section 8.2); without a node, that of new ones."""
        with self._reading(jid) as service:
            if node is None:
                return service.default_configuration()
            return service.configuration(node, self._actor)

    def get_node_subscriptions(self, jid: str | None, node: str) -> Sequence[Subscription]:
        """The subscriptions of others to a node (section 8.8)."""
        with self._reading(jid) as service:
            return service.node_subscriptions(node, self._actor)

    def purge(self, jid: str | None, node: str) -> None:
        """Remove all items of a node (section 8.5)."""
        with self._writing(jid) as service:
            service.purge(node, self._actor)

    def set_node_config(
        self, jid: str | None, config: NodeConfig | Values, node: str | None = None
    ) -> None:
        """Change the configuration of a node (section 8.2); fields left out stay."""
        with self._writing(jid) as service:
            service.configure(_named(node), self._actor, _fields(config))

    # About the service.

    def get_features(self, jid: str | None) -> set[str]:
        """What the service can do, as it advertises it (section 5.1)."""
        with self._reading(jid) as service:
            return set(service.features())

    # Hearing.

    def listen(self) -> None:
        """Hear, from now on, of what happens; the signals are fired in a thread.

        :raises ValueError: inside a caller's transaction, or when it listens already.
        """
        if self._listening is not None:
            raise ValueError("this client listens already")
        self._listening = registered(self.transactions, self.jid, self)
        self._thread = threading.Thread(
            target=self._listening.run_here, name="eventworker-pubsub", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening, once the signal that is being fired is through, and close what is its
        own; closing it again does nothing."""
        if self._listening is not None and self._thread is not None:
            self._listening.stop()
            if self._thread is not threading.current_thread():
                self._thread.join()
        self._listening = self._thread = None
        self.transactions.close()

    def __enter__(self) -> Self:
        if not self.is_bound:
            self.listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _actor(self) -> Actor:
        if self.jid == self.settings.service:
            return self.settings.itself
        return self.settings.actor(self.jid)

    def _subscriber(self, jid: str | None) -> str:
        return bare(self.jid) if jid is None else address(jid)

    @contextmanager
    def _reading(self, jid: str | None) -> Iterator[PubSubService]:
        self._check(jid)
        with self.transactions.service(writes=False) as service:
            yield service

    @contextmanager
    def _writing(self, jid: str | None) -> Iterator[PubSubService]:
        self._check(jid)
        with self.transactions.service(writes=True) as service:
            yield service

    def _check(self, jid: str | None) -> None:
        """There is one service, and it has one address."""
        ours = self.settings.service
        if jid is None or (asked := address(jid)) == ours:
            return
        here = domain(asked) == domain(ours)
        condition = "item-not-found" if here else "remote-server-not-found"
        raise PubSubError(
            condition, kind="cancel", text=f"{asked} is not the service's address, which is {ours}"
        )


def _named(node: str | None) -> str:
    if node is None:
        raise PubSubError("bad-request", "nodeid-required")
    return node


W = TypeVar("W", Affiliation, State)


def _word(words: type[W], text: str) -> W:
    try:
        return words(text)
    except ValueError:
        known = ", ".join(words)
        raise PubSubError("bad-request", text=f"{text!r} is none of {known}") from None


def _fields(values: NodeConfig | SubscribeOptions | Values) -> Fields:
    if isinstance(values, NodeConfig | SubscribeOptions):
        return texts_of(values)
    return {PREFIX + name.removeprefix(PREFIX): _texts(value) for name, value in values.items()}


def _texts(value: str | int | bool | Sequence[str]) -> list[str]:
    if isinstance(value, bool):
        return ["1" if value else "0"]
    if isinstance(value, str | int):
        return [str(value)]
    return [str(each) for each in value]
