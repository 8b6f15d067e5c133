"""A broker's user with the least permissions: what is there is used, what lacks is named."""

from collections.abc import Callable, Iterator

import pytest

from eventworker.errors import TransportUnavailable
from eventworker.transports.rabbit import RabbitTransport
from tests.helpers.deliveries import take
from tests.helpers.events import make_message
from tests.helpers.rabbit import channel_at, has_queue, settings_at
from tests.servers import RabbitServer, Vhost

EXCHANGE, QUEUE = "storyboard", "storyboard_events"
Connect = Callable[..., RabbitTransport]


@pytest.fixture
def connect(rabbit_server: RabbitServer, vhost: Vhost) -> Iterator[Connect]:
    """A transport of a user of its own, with these permissions."""
    made: list[RabbitTransport] = []
    users: list[str] = []

    def build(configure: str = "^$", write: str = "^$", read: str = "^$") -> RabbitTransport:
        users.append(f"user-{vhost.vhost}-{len(users)}")
        rabbit_server.add_user(users[-1], "own-password", vhost.vhost, configure, write, read)
        login = {"userid": users[-1], "password": "own-password"}
        made.append(RabbitTransport(settings_at(vhost, **login)))
        return made[-1]

    yield build
    for transport in made:
        transport.close()
    for user in users:
        rabbit_server.delete_user(user)


def declare(vhost: Vhost, *, exchange: bool = True, queue: bool = True, bind: bool = True) -> None:
    with channel_at(vhost) as channel:
        if exchange:
            channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
        if queue:
            channel.queue_declare(QUEUE, durable=True)
        if bind:
            channel.queue_bind(QUEUE, EXCHANGE, routing_key="#")


def refusal(transport: RabbitTransport, timeout: float = 10.0) -> str:
    (error,) = transport.publish([make_message()], timeout=timeout)
    assert isinstance(error, TransportUnavailable)
    return str(error)


def test_what_was_made_beforehand_is_used_without_any_permission_to_configure(
    connect: Connect, vhost: Vhost
) -> None:
    declare(vhost)
    producer = connect(write=f"^{EXCHANGE}$")
    message = make_message()
    assert producer.publish([message]) == [None]

    subscription = connect(read=f"^{QUEUE}$").subscribe(5)
    (delivery,) = take(subscription)
    assert delivery.event_id == message.id
    delivery.ack()
    subscription.close()


def test_one_user_for_both_ends_needs_no_more(connect: Connect, vhost: Vhost) -> None:
    declare(vhost)
    transport = connect(write=f"^{EXCHANGE}$", read=f"^{QUEUE}$")
    assert transport.publish([make_message()]) == [None]
    subscription = transport.subscribe(5)
    take(subscription)[0].ack()
    subscription.close()


def test_with_the_permission_to_make_them_nothing_is_needed_beforehand(
    connect: Connect, vhost: Vhost
) -> None:
    both = f"^({EXCHANGE}|{QUEUE})$"
    assert connect(both, both, both).publish([make_message()]) == [None]
    assert has_queue(vhost)


@pytest.mark.parametrize(
    ("present", "missing"), [({}, f"exchange {EXCHANGE}"), ({"exchange": True}, f"queue {QUEUE}")]
)
def test_what_lacks_and_may_not_be_made_is_named(
    connect: Connect, vhost: Vhost, present: dict[str, bool], missing: str
) -> None:
    declare(vhost, **{"exchange": False, "queue": False, "bind": False, **present})
    reason = refusal(connect(write=f"^{EXCHANGE}$", read=f"^{QUEUE}$"), timeout=3.0)
    assert f"there is no {missing} in vhost {vhost.vhost}" in reason
    assert "have it made" in reason


def test_a_missing_binding_is_found_by_the_publisher(connect: Connect, vhost: Vhost) -> None:
    declare(vhost, bind=False)
    (error,) = connect(write=f"^{EXCHANGE}$").publish([make_message()])
    assert error is not None
    assert "no queue" in str(error)
    assert "is bound to exchange" in str(error)


def test_a_producer_can_neither_read_nor_change_the_queue(connect: Connect, vhost: Vhost) -> None:
    declare(vhost)
    producer = connect(write=f"^{EXCHANGE}$")
    assert producer.publish([make_message()]) == [None]
    subscription = producer.subscribe(5)
    assert subscription.receive(1.0) is None
    subscription.close()


def test_who_may_not_publish_is_told_so(connect: Connect, vhost: Vhost) -> None:
    declare(vhost)
    reason = refusal(connect(read=f"^{QUEUE}$"))
    assert "write access" in reason or "access to exchange" in reason
