"""Taking deliveries off a subscription."""

from eventworker.transport import Delivery, Subscription

#: Seconds of silence after which a subscription is believed to have nothing more.
SILENCE = 0.3


def take(subscription: Subscription, count: int = 1) -> list[Delivery]:
    """So many deliveries; it is an error if they do not come."""
    deliveries: list[Delivery] = []
    for _ in range(100 * count):
        if len(deliveries) == count:
            return deliveries
        # One that was lost with its channel is an early None, so a single look proves nothing.
        delivery = subscription.receive(0.1)
        if delivery is not None:
            deliveries.append(delivery)
    raise AssertionError(f"only {len(deliveries)} of {count} deliveries came")


def nothing_comes(subscription: Subscription) -> bool:
    return subscription.receive(SILENCE) is None
