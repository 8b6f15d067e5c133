"""The plugin itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, ClassVar

from sqlalchemy import Connection, select
from sqlalchemy.orm import Session

from eventworker.erasure import Erasure
from eventworker.errors import ConfigError, Reject, Retry
from eventworker.event import Event
from eventworker.plugin import WorkerTaskBase
from eventworker.pubsub.config import COLLECTION
from eventworker.pubsub.configuring import new_config
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import NewItem
from eventworker.pubsub.forms import PREFIX, filled_in
from eventworker.pubsub.options import Settings, named_fields, settings_of
from eventworker.pubsub.rules import AccessModel
from eventworker.pubsub.service import PubSubService
from eventworker.pubsub.tables import node_table
from eventworker.pubsub.worker.erasing import erase
from eventworker.pubsub.worker.naming import Template
from eventworker.pubsub.worker.options import GROUP, OPTIONS
from eventworker.pubsub.worker.publisher import Publisher
from eventworker.pubsub.worker.rendering import FORMATS, with_images

log = logging.getLogger(__name__)

#: Seconds until another attempt when a limit of the service is reached.
_PAUSE = 60.0


class PubSubPublishWorker(WorkerTaskBase):
    """Publishes each event to the node of its resource, which is made at its first event.

    An item has the id of its event, so the same event published again overwrites it. What
    subscribers are told is committed with the item.
    """

    transactional: ClassVar[bool] = True
    options: ClassVar[Any] = OPTIONS

    def enabled(self) -> bool:
        """Whether ``[plugin:pubsub-publish] enabled`` says so.

        :raises ConfigError: when an option cannot be used.
        """
        if not self._options.enabled:
            return False
        _ = self._settings, self._node, self._collection, self._config
        return True

    def handle(self, session: Session, event: Event) -> None:
        """Publish one event.

        :raises Reject: when the service refuses for good.
        :raises Retry: when it refuses for now.
        """
        self.handle_batch(session, [event])

    def handle_batch(self, session: Session, events: Sequence[Event]) -> None:
        """Publish several events, those of a node together.

        Missing nodes come first, and all nodes in the order of their names, so that two
        transactions do not wait for each other crosswise.
        """
        service = Publisher(session, self._settings)
        by_node: dict[str, list[Event]] = {}
        for event in events:
            by_node.setdefault(self._node.name(event), []).append(event)
        if len(by_node) > 1:
            for node in sorted(by_node.keys() - self._known(service, by_node)):
                with _refusals(node):
                    self._make(service, node, by_node[node][0])
        for node in sorted(by_node):
            with _refusals(node):
                self._publish(service, node, by_node[node])

    def _known(self, service: Publisher, names: Iterable[str]) -> set[str]:
        look = select(node_table.c.name).where(node_table.c.name.in_(list(names)))
        return set(service.connection.scalars(look))

    def _publish(self, service: Publisher, node: str, events: Sequence[Event]) -> None:
        items = [NewItem(str(event.id), self._payload(event)) for event in events]
        most = self._settings.max_batch
        for start in range(0, len(items), most):
            part = items[start : start + most]
            try:
                _publish_each(service, node, part)
            except PubSubError as error:
                if error.condition == "gone" and service.has_moved_ours(node):
                    log.warning("not published, since node %s has gone to %s", node, error.uri)
                    return
                if error.condition not in ("item-not-found", "gone"):
                    raise
                self._make(service, node, events[0])
                _publish_each(service, node, part)

    def _make(self, service: Publisher, node: str, event: Event) -> None:
        fields = dict(self._config)
        if collection := self._collection.name(event):
            kind = {f"{PREFIX}node_type": [COLLECTION]}
            if service.make(collection, {**self._config, **kind}):
                fields[f"{PREFIX}collection"] = [collection]
            else:
                log.warning(
                    "node %s is in no collection, since %s was made by %s",
                    node,
                    collection,
                    service.node(collection).creator,
                )
        service.make(node, fields)

    def _payload(self, event: Event) -> str:
        common = self.config.notifications
        render = partial(
            FORMATS[self._options.format],
            source=common.cloudevents_source,
            type_prefix=common.cloudevents_type_prefix,
        )
        payload = render(with_images(event, self._options.images))
        if len(payload.encode()) <= self._settings.max_payload_size:
            return payload
        return render(with_images(event, "none"))

    def erase(self, connection: Connection, erasure: Erasure) -> int:
        """Retract the items about it, and delete what is still to be told of them, and what hooks
        were given of them.

        :returns: their number.
        """
        return erase(PubSubService(connection, self._settings), erasure)

    @property
    def _options(self) -> Any:
        return self.config[GROUP]

    @cached_property
    def _settings(self) -> Settings:
        return settings_of(self.config)

    @cached_property
    def _node(self) -> Template:
        return Template.of(self._options.node, f"[{GROUP}] node")

    @cached_property
    def _collection(self) -> Template:
        return Template.of(self._options.collection, f"[{GROUP}] collection")

    @cached_property
    def _config(self) -> dict[str, list[str]]:
        fields = named_fields(self._options.node_config)
        try:
            filled_in(self._settings.node_defaults, fields, strict=True)
            if new_config(self._settings, fields).access_model == AccessModel.ROSTER:
                raise ValueError("the service, which makes these nodes, has no roster")
        except (PubSubError, ValueError) as error:
            raise ConfigError(f"[{GROUP}] node_config: {error}") from None
        return fields


def _publish_each(service: Publisher, node: str, items: Sequence[NewItem]) -> None:
    """All at once, or one by one where the node does not keep as many as that."""
    itself = service.settings.itself
    try:
        service.publish(node, itself, items)
    except PubSubError as error:
        if error.detail != "max-items-exceeded":
            raise
        for each in items:
            service.publish(node, itself, [each])


@contextmanager
def _refusals(node: str) -> Iterator[None]:
    """What the service refuses, as a verdict."""
    try:
        yield
    except PubSubError as error:
        if error.kind == "wait":
            raise Retry(_PAUSE) from error
        raise Reject(f"node {node}: {error}") from error
