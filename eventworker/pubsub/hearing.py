"""Which signal is fired for which notice, and with what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventworker.pubsub.config import NodeConfig
from eventworker.pubsub.facts import Item
from eventworker.pubsub.forms import filled_in
from eventworker.pubsub.notices import Word
from eventworker.pubsub.rules import Affiliation, State
from eventworker.pubsub.signals import Signals


@dataclass(frozen=True, slots=True)
class Message:
    """What carried some news.

    :ivar id: the same when the news comes twice, which it may after a process was killed.
    :ivar jid: whom it was sent to: the address that is subscribed.
    :ivar subids: ids of the subscriptions, where the service keeps several apart.
    :ivar sent_at: when it was said, by the database's clock.
    :ivar reply_to: whom a reply should go to (``pubsub#itemreply``).
    :ivar collections: those by which it was sent, where the node is in some (XEP-0248).
    """

    id: str
    jid: str
    subids: tuple[str, ...]
    sent_at: datetime
    reply_to: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class News:
    """What a notice says, to one address.

    :ivar service: address of the service.
    :ivar content: see :class:`~eventworker.pubsub.notices.Word`.
    """

    service: str
    node: str
    word: Word
    content: Mapping[str, Any]
    message: Message

    async def fire(self, signals: Signals) -> None:
        """Fire the signals, several for a notice of several items."""
        await _FIRE[self.word](self, signals)


async def _items(news: News, on: Signals) -> None:
    told = news.content["items"]
    stamp = news.content.get("stamp")
    at = news.message.sent_at if stamp is None else datetime.fromisoformat(stamp)
    for each in told:
        item = Item(each["id"], each.get("payload"), each.get("publisher"), at)
        await on.on_item_published.fire(news.service, news.node, item, message=news.message)
    if not told:
        await on.on_item_published.fire(news.service, news.node, None, message=news.message)


async def _retract(news: News, on: Signals) -> None:
    for each in news.content["ids"]:
        await on.on_item_retracted.fire(news.service, news.node, each, message=news.message)


async def _purge(news: News, on: Signals) -> None:
    await on.on_node_purged.fire(news.service, news.node, message=news.message)


async def _delete(news: News, on: Signals) -> None:
    uri = news.content.get("uri")
    await on.on_node_deleted.fire(news.service, news.node, redirect_uri=uri, message=news.message)


async def _configuration(news: News, on: Signals) -> None:
    fields = news.content.get("fields")
    config = None if fields is None else filled_in(NodeConfig(), fields)
    await on.on_configuration.fire(news.service, news.node, config, message=news.message)


async def _associate(news: News, on: Signals) -> None:
    child = news.content["child"]
    await on.on_node_associated.fire(news.service, news.node, child, message=news.message)


async def _disassociate(news: News, on: Signals) -> None:
    child = news.content["child"]
    await on.on_node_disassociated.fire(news.service, news.node, child, message=news.message)


async def _subscription(news: News, on: Signals) -> None:
    state, subid = State(news.content["state"]), news.content.get("subid")
    await on.on_subscription_update.fire(
        news.service, news.node, state, subid=subid, message=news.message
    )


async def _affiliation(news: News, on: Signals) -> None:
    affiliation = Affiliation(news.content["affiliation"])
    await on.on_affiliation_update.fire(news.service, news.node, affiliation, message=news.message)


async def _authorization(news: News, on: Signals) -> None:
    who, subid = news.content["jid"], news.content.get("subid")
    await on.on_subscription_request.fire(
        news.service, news.node, who, subid=subid, message=news.message
    )


_FIRE: dict[Word, Callable[[News, Signals], Awaitable[None]]] = {
    Word.ITEMS: _items,
    Word.RETRACT: _retract,
    Word.PURGE: _purge,
    Word.DELETE: _delete,
    Word.CONFIGURATION: _configuration,
    Word.ASSOCIATE: _associate,
    Word.DISASSOCIATE: _disassociate,
    Word.SUBSCRIPTION: _subscription,
    Word.AFFILIATION: _affiliation,
    Word.AUTHORIZATION: _authorization,
}
