"""TLS to the broker: the right name under the right authority, or no connection at all."""

from collections.abc import Iterator

import pytest

from eventworker.errors import ConfigError, TransportUnavailable
from eventworker.transports.rabbit import RabbitTransport
from tests.helpers.deliveries import take
from tests.helpers.events import make_message
from tests.helpers.rabbit import settings_at
from tests.servers import RabbitServer
from tests.servers.certificates import Certificates, make_certificates


@pytest.fixture(scope="module")
def broker(certificates: Certificates) -> Iterator[RabbitServer]:
    server = certificates.server
    with RabbitServer(tls=(certificates.ca, server.cert, server.key)) as started:
        yield started


@pytest.fixture(scope="module")
def misnamed_broker(certificates: Certificates) -> Iterator[RabbitServer]:
    wrong = certificates.wrong_name
    with RabbitServer(tls=(certificates.ca, wrong.cert, wrong.key)) as started:
        yield started


def connect(broker: RabbitServer, **settings: object) -> RabbitTransport:
    return RabbitTransport(
        settings_at(broker.at("/"), **{"port": broker.tls_port, "tls": True, **settings})
    )


def refusal(transport: RabbitTransport) -> str:
    (error,) = transport.publish([make_message()], timeout=3.0)
    transport.close()
    assert isinstance(error, TransportUnavailable)
    return str(error)


def test_events_travel_under_the_right_authority_and_name(
    broker: RabbitServer, certificates: Certificates
) -> None:
    transport = connect(broker, tls_ca_file=str(certificates.ca))
    message = make_message()
    assert transport.publish([message]) == [None]
    subscription = transport.subscribe(5)
    (delivery,) = take(subscription)
    assert delivery.event_id == message.id
    delivery.ack()
    subscription.close()
    transport.close()


def test_an_authority_that_is_not_trusted_is_refused(
    broker: RabbitServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = make_certificates(tmp_path_factory.mktemp("stranger"))
    assert "certificate" in refusal(connect(broker, tls_ca_file=str(stranger.ca)))


def test_the_systems_authorities_do_not_know_ours(broker: RabbitServer) -> None:
    assert "certificate" in refusal(connect(broker))


def test_a_certificate_of_another_name_is_refused(
    misnamed_broker: RabbitServer, certificates: Certificates
) -> None:
    reason = refusal(connect(misnamed_broker, tls_ca_file=str(certificates.ca)))
    assert "certificate" in reason


def test_the_name_to_expect_can_be_given(
    misnamed_broker: RabbitServer, certificates: Certificates
) -> None:
    transport = connect(
        misnamed_broker,
        tls_ca_file=str(certificates.ca),
        tls_server_name="elsewhere.example.org",
    )
    assert transport.publish([make_message()]) == [None]
    transport.close()


def test_a_file_that_cannot_be_read_is_the_configurations_fault(broker: RabbitServer) -> None:
    with pytest.raises(ConfigError, match="rabbit_tls_ca_file"):
        connect(broker, tls_ca_file="/nowhere/ca.pem")
