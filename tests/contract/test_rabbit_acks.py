"""Acks of many at once, at a real broker: it forgets what was acked and nothing else."""

import random
from collections.abc import Iterator

import pytest

from eventworker.transport import Delivery
from eventworker.transports.rabbit import RabbitTransport
from tests.helpers.events import number_of, numbered
from tests.helpers.rabbit import depth, settings_at
from tests.servers import Vhost, wait_until

COUNT = 300


@pytest.fixture
def transport(vhost: Vhost) -> Iterator[RabbitTransport]:
    built = RabbitTransport(settings_at(vhost))
    yield built
    built.close()


@pytest.mark.parametrize("seed", range(5))
def test_settled_in_any_order_between_pauses_only_what_was_acked_is_forgotten(
    transport: RabbitTransport, vhost: Vhost, seed: int
) -> None:
    chance = random.Random(seed)
    assert transport.publish(numbered(COUNT)) == [None] * COUNT
    subscription = transport.subscribe(40)
    in_hand: list[Delivery] = []
    acked: list[int] = []
    while len(acked) < COUNT - 60:
        in_hand += subscription.gather(chance.randint(1, 40), 0.5)
        if chance.random() < 0.3:
            subscription.pause()
        if chance.random() < 0.7:
            chance.shuffle(in_hand)
        for _ in range(chance.randint(0, len(in_hand))):
            delivery = in_hand.pop(0)
            if chance.random() < 0.1:
                delivery.requeue()
            else:
                delivery.ack()
                acked.append(number_of(delivery.body))
        subscription.resume()
    assert len(set(acked)) == len(acked)
    subscription.close()
    assert depth(vhost) == COUNT - len(acked)
    again = transport.subscribe(COUNT)
    left = []
    while len(left) < COUNT - len(acked):
        left += [number_of(each.body) for each in again.gather(COUNT, 5.0)]
    again.close()
    assert sorted(acked + left) == list(range(COUNT))


def test_a_group_may_be_acked_while_an_earlier_delivery_stays_in_hand(
    transport: RabbitTransport, vhost: Vhost
) -> None:
    transport.publish(numbered(20))
    subscription = transport.subscribe(20)
    first, *others = subscription.gather(20, 20.0, linger=20.0)
    for delivery in others:
        delivery.ack()
    subscription.close()
    wait_until(lambda: depth(vhost) == 1)
    again = transport.subscribe(20)
    (delivery,) = again.gather(20, 20.0)
    assert number_of(delivery.body) == number_of(first.body) == 0
    assert delivery.redelivered
    again.close()
