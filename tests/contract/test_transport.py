"""What every transport promises; the engine relies on nothing else."""

import time
from collections import Counter
from collections.abc import Callable
from threading import Timer

import pytest

from eventworker.errors import AlreadySettled
from eventworker.event import MAX_BODY_BYTES
from eventworker.transport import Delivery, Subscription, Transport
from tests.helpers.deliveries import SILENCE, nothing_comes, take
from tests.helpers.events import TRACEPARENT, TRACESTATE, make_message, number_of, numbered
from tests.servers import wait_until

Subscribe = Callable[..., Subscription]
SETTLING = {"ack": Delivery.ack, "requeue": Delivery.requeue}


def ids(deliveries: list[Delivery]) -> list[object]:
    return [delivery.event_id for delivery in deliveries]


def test_a_message_arrives_as_it_was_published(transport: Transport, subscribe: Subscribe) -> None:
    message = make_message(source="tracker")
    assert transport.publish([message]) == [None]
    (delivery,) = take(subscribe())
    assert delivery.event_id == message.id
    assert delivery.body == message.body
    assert delivery.time == message.time
    assert delivery.source == "tracker"
    assert not delivery.redelivered


def test_a_trace_context_arrives_also_when_the_message_comes_again(
    transport: Transport, subscribe: Subscribe
) -> None:
    transport.publish([make_message(traceparent=TRACEPARENT, tracestate=TRACESTATE)])
    first = subscribe()
    (delivery,) = take(first)
    assert (delivery.traceparent, delivery.tracestate) == (TRACEPARENT, TRACESTATE)
    delivery.requeue()
    (again,) = take(first)
    assert (again.traceparent, again.tracestate) == (TRACEPARENT, TRACESTATE)
    first.close()
    (third,) = take(subscribe())
    assert (third.traceparent, third.tracestate) == (TRACEPARENT, TRACESTATE)


def test_a_message_without_a_trace_context_arrives_without_one(
    transport: Transport, subscribe: Subscribe
) -> None:
    transport.publish([make_message(), make_message(traceparent=TRACEPARENT)])
    one, two = take(subscribe(), 2)
    assert (one.traceparent, one.tracestate) == (None, None)
    assert (two.traceparent, two.tracestate) == (TRACEPARENT, None)


def test_a_body_is_carried_byte_for_byte(transport: Transport, subscribe: Subscribe) -> None:
    message = make_message(resource_after={"title": "Grüße, 世界 \U0001f40d \x00 'quoted\\"})
    transport.publish([message])
    (delivery,) = take(subscribe())
    assert delivery.body == message.body


def test_the_largest_body_that_is_allowed_arrives(
    transport: Transport, subscribe: Subscribe
) -> None:
    room = MAX_BODY_BYTES - len(make_message(resource_after={"a": ""}).body)
    message = make_message(resource_after={"a": "x" * room})
    assert len(message.body) == MAX_BODY_BYTES
    assert transport.publish([message]) == [None]
    (delivery,) = take(subscribe())
    assert delivery.body == message.body


def test_publishing_nothing_takes_no_time_and_does_nothing(
    transport: Transport, subscribe: Subscribe
) -> None:
    started = time.monotonic()
    assert transport.publish([]) == []
    assert time.monotonic() - started < 5
    assert nothing_comes(subscribe())


def test_messages_arrive_in_the_order_of_their_publication(
    transport: Transport, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    transport.publish(numbered(30))
    numbers = []
    for _ in range(30):
        (delivery,) = take(subscription)
        numbers.append(number_of(delivery.body))
        delivery.ack()
    assert numbers == list(range(30))


def test_an_acked_message_never_comes_again(transport: Transport, subscribe: Subscribe) -> None:
    transport.publish([make_message()])
    first = subscribe()
    take(first)[0].ack()
    assert nothing_comes(first)
    first.close()
    assert nothing_comes(subscribe())


def test_what_was_not_acked_comes_again_after_the_close_and_says_so(
    transport: Transport, subscribe: Subscribe
) -> None:
    messages = numbered(2)
    transport.publish(messages)
    first = subscribe()
    done, _unsettled = take(first, 2)
    done.ack()
    first.close()
    (again,) = take(subscribe())
    assert again.event_id == messages[1].id
    assert again.redelivered


def test_settling_after_the_close_harms_nobody(transport: Transport, subscribe: Subscribe) -> None:
    transport.publish(numbered(2))
    first = subscribe()
    one, two = take(first, 2)
    first.close()
    one.ack()
    two.requeue()
    again = take(subscribe(), 1)
    assert again[0].redelivered


def test_a_returned_message_comes_again_and_says_so(
    transport: Transport, subscribe: Subscribe
) -> None:
    message = make_message()
    transport.publish([message])
    subscription = subscribe()
    take(subscription)[0].requeue()
    (again,) = take(subscription)
    assert again.event_id == message.id
    assert again.body == message.body
    assert again.redelivered
    again.ack()
    assert nothing_comes(subscription)


@pytest.mark.parametrize("first", SETTLING)
@pytest.mark.parametrize("second", SETTLING)
def test_a_delivery_is_settled_once(
    transport: Transport, subscribe: Subscribe, first: str, second: str
) -> None:
    transport.publish([make_message()])
    (delivery,) = take(subscribe())
    SETTLING[first](delivery)
    with pytest.raises(AlreadySettled):
        SETTLING[second](delivery)


def test_no_more_than_prefetch_is_in_hand(transport: Transport, subscribe: Subscribe) -> None:
    transport.publish(numbered(3))
    subscription = subscribe(prefetch=2)
    one, _two = take(subscription, 2)
    assert nothing_comes(subscription)
    one.ack()
    (third,) = take(subscription)
    assert number_of(third.body) == 2


def test_what_one_consumer_may_not_hold_is_left_to_another(
    transport: Transport, subscribe: Subscribe
) -> None:
    transport.publish(numbered(3))
    take(subscribe(prefetch=2), 2)
    (third,) = take(subscribe(prefetch=2))
    assert number_of(third.body) == 2


def test_two_subscriptions_share_the_messages_and_none_comes_twice(
    transport: Transport, subscribe: Subscribe
) -> None:
    one, two = subscribe(prefetch=5), subscribe(prefetch=5)
    messages = numbered(60)
    transport.publish(messages)
    seen: list[Delivery] = []
    by_whom: Counter[int] = Counter()
    deadline = time.monotonic() + 20
    while len(seen) < 60 and time.monotonic() < deadline:
        for subscription in (one, two):
            if (delivery := subscription.receive(0.05)) is not None:
                seen.append(delivery)
                by_whom[id(subscription)] += 1
                delivery.ack()
    assert Counter(ids(seen)) == Counter(message.id for message in messages)
    assert len(by_whom) == 2
    assert nothing_comes(one)
    assert nothing_comes(two)


def test_a_paused_subscription_hands_nothing_out_until_it_is_resumed(
    transport: Transport, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    messages = numbered(3)
    transport.publish(messages)
    (in_hand,) = take(subscription)
    subscription.pause()
    assert nothing_comes(subscription)
    in_hand.ack()
    transport.publish([make_message(resource_id=3)])
    assert nothing_comes(subscription)
    subscription.resume()
    assert sorted(number_of(each.body) for each in take(subscription, 3)) == [1, 2, 3]


def test_receive_gives_up_after_its_timeout_and_not_before(
    transport: Transport, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    subscription.receive(0.0)
    started = time.monotonic()
    assert subscription.receive(0.2) is None
    assert 0.19 <= time.monotonic() - started < 5


def test_a_message_ends_the_wait_for_it(transport: Transport, subscribe: Subscribe) -> None:
    subscription = subscribe()
    subscription.receive(0.0)
    message = make_message()
    publishing = Timer(0.1, transport.publish, [[message]])
    publishing.start()
    started = time.monotonic()
    delivery = subscription.receive(20.0)
    assert delivery is not None
    assert delivery.event_id == message.id
    assert time.monotonic() - started < 10
    publishing.join()


def test_the_depth_is_what_waits_and_is_in_nobodys_hands(
    transport: Transport, subscribe: Subscribe
) -> None:
    if transport.depth() is None:
        return  # there is no queue but the outbox
    subscription = subscribe(2)
    assert transport.publish(numbered(5)) == [None] * 5
    held = take(subscription, 2)
    wait_until(lambda: transport.depth() == 3)
    for delivery in held:
        delivery.ack()
    for _ in range(3):
        take(subscription)[0].ack()
    assert transport.depth() == 0


def test_a_place_among_the_events_of_its_resource_arrives(
    transport: Transport, subscribe: Subscribe
) -> None:
    placed = make_message(resource="story", resource_id=42, seq=2**40)
    assert (placed.stream, placed.seq) == ("story/42", 2**40)
    transport.publish([placed, make_message()])
    subscription = subscribe()
    one, two = take(subscription, 2)
    assert (one.seq, two.seq) == (2**40, None)
    one.requeue()
    (again,) = take(subscription)
    assert again.seq == 2**40


def gather(subscription: Subscription, most: int, count: int) -> list[Delivery]:
    """So many in all, ``most`` at a time; it is an error if they do not come."""
    deliveries: list[Delivery] = []
    deadline = time.monotonic() + 20
    while len(deliveries) < count and time.monotonic() < deadline:
        found = subscription.gather(most, 0.1)
        assert len(found) <= most
        deliveries += found
    assert len(deliveries) == count
    return deliveries


def test_what_is_gathered_comes_in_order_and_never_more_of_it_than_asked_for(
    transport: Transport, subscribe: Subscribe
) -> None:
    messages = numbered(30)
    transport.publish(messages)
    subscription = subscribe(prefetch=30)
    deliveries = gather(subscription, 7, 30)
    assert ids(deliveries) == [message.id for message in messages]
    for delivery in deliveries:
        delivery.ack()
    assert subscription.gather(7, SILENCE) == []
    subscription.close()
    assert nothing_comes(subscribe())


def test_what_is_there_is_gathered_without_waiting_for_more(
    transport: Transport, subscribe: Subscribe
) -> None:
    transport.publish(numbered(3))
    subscription = subscribe()
    started = time.monotonic()
    seen = 0
    while seen < 3:
        seen += len(subscription.gather(10, 20.0))
    assert time.monotonic() - started < 10


def test_several_that_wait_are_gathered_at_once(transport: Transport, subscribe: Subscribe) -> None:
    transport.publish(numbered(5))
    subscription = subscribe(prefetch=5)
    # Five have surely arrived when a linger for all of them ends early.
    for delivery in subscription.gather(5, 20.0, linger=20.0):
        delivery.requeue()
    assert len(subscription.gather(5, 20.0, linger=20.0)) == 5


def test_gathering_gives_up_after_its_timeout_and_not_before(
    transport: Transport, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    subscription.gather(5, 0.0)
    started = time.monotonic()
    assert subscription.gather(5, 0.2, linger=20.0) == []
    assert 0.19 <= time.monotonic() - started < 5


def test_a_message_ends_the_wait_of_a_gathering(transport: Transport, subscribe: Subscribe) -> None:
    subscription = subscribe()
    message = make_message()
    publishing = Timer(0.1, transport.publish, [[message]])
    publishing.start()
    started = time.monotonic()
    assert ids(subscription.gather(5, 20.0)) == [message.id]
    assert time.monotonic() - started < 10
    publishing.join()


def test_lingering_waits_for_company_until_there_is_enough(
    transport: Transport, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    messages = numbered(3)
    transport.publish(messages[:1])
    publishing = Timer(0.3, transport.publish, [messages[1:]])
    publishing.start()
    started = time.monotonic()
    gathered = subscription.gather(3, 20.0, linger=20.0)
    assert ids(gathered) == [message.id for message in messages]
    assert time.monotonic() - started < 15
    publishing.join()


def test_lingering_ends_with_what_there_is(transport: Transport, subscribe: Subscribe) -> None:
    subscription = subscribe()
    messages = numbered(2)
    transport.publish(messages)
    started = time.monotonic()
    gathered = subscription.gather(3, 20.0, linger=0.5)
    assert time.monotonic() - started >= 0.5
    assert time.monotonic() - started < 10
    assert ids(gathered) == [message.id for message in messages]


def test_no_more_than_prefetch_is_gathered(transport: Transport, subscribe: Subscribe) -> None:
    transport.publish(numbered(5))
    subscription = subscribe(prefetch=2)
    assert [number_of(each.body) for each in gather(subscription, 5, 2)] == [0, 1]
    assert subscription.gather(5, SILENCE) == []


def test_a_paused_subscription_gathers_nothing_until_it_is_resumed(
    transport: Transport, subscribe: Subscribe
) -> None:
    subscription = subscribe()
    transport.publish(numbered(3))
    (in_hand,) = take(subscription)
    subscription.pause()
    assert subscription.gather(5, SILENCE, linger=SILENCE) == []
    in_hand.ack()
    subscription.resume()
    assert sorted(number_of(each.body) for each in gather(subscription, 5, 2)) == [1, 2]


def test_what_was_gathered_and_not_acked_comes_again(
    transport: Transport, subscribe: Subscribe
) -> None:
    messages = numbered(4)
    transport.publish(messages)
    first = subscribe()
    for delivery in gather(first, 4, 4)[::2]:
        delivery.ack()
    first.close()
    again = gather(subscribe(), 4, 2)
    assert sorted(number_of(each.body) for each in again) == [1, 3]
    assert all(each.redelivered for each in again)
