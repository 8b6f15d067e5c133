"""RabbitMQ behind the transport contract."""

from __future__ import annotations

from collections.abc import Sequence

from eventworker.errors import TransportError
from eventworker.transport import Answer, Message, Subscription, Transport
from eventworker.transports.rabbit.publisher import RabbitPublisher
from eventworker.transports.rabbit.rounds import Rounds
from eventworker.transports.rabbit.settings import RabbitSettings
from eventworker.transports.rabbit.subscription import RabbitSubscription


class RabbitTransport(Transport):
    """Events travel through a topic exchange, with the resource as routing key."""

    def __init__(self, settings: RabbitSettings) -> None:
        self.settings = settings
        self._publisher = RabbitPublisher(settings)
        self._rounds = Rounds(settings, self._publisher)

    def publish(
        self, messages: Sequence[Message], timeout: float = 30.0
    ) -> list[TransportError | None]:
        return self.begin(messages, timeout)()

    def begin(self, messages: Sequence[Message], timeout: float = 30.0) -> Answer:
        return self._rounds.begin(messages, timeout)

    def subscribe(self, prefetch: int, owner: str = "", hold: float = 60.0) -> Subscription:
        return RabbitSubscription(self.settings, prefetch, patience=min(60.0, hold / 2))

    def interrupt(self) -> None:
        self._publisher.interrupt()

    def depth(self, timeout: float = 10.0) -> int | None:
        return self._publisher.depth(timeout)

    def close(self) -> None:
        self._publisher.close()
