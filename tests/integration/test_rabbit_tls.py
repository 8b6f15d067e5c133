"""TLS to the broker: the right name under the right authority, or no connection at all."""

import ssl
from collections.abc import Iterator

import pytest

from eventworker.errors import ConfigError, TransportUnavailable
from eventworker.transports.rabbit import RabbitSettings, RabbitTransport
from tests.helpers.deliveries import take
from tests.helpers.events import make_message
from tests.helpers.rabbit import settings_at
from tests.servers import RabbitServer
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.listener import TlsListener


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
    (error,) = transport.publish([make_message()], timeout=1.0)
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


def refused_at(port: int, certificates: Certificates, **settings: object) -> str:
    """What a client with the right authority says of this listener."""
    options = {"host": "127.0.0.1", "port": port, "tls": True, "retry_delay": 0.2, **settings}
    return refusal(RabbitTransport(RabbitSettings(tls_ca_file=str(certificates.ca), **options)))  # type: ignore[arg-type]


def test_an_expired_certificate_is_refused(certificates: Certificates) -> None:
    with TlsListener(certificates.expired) as listener:
        reason = refused_at(listener.port, certificates)
    assert "has expired" in reason
    assert reason.endswith("the server's certificate has to be renewed")


def test_a_self_signed_certificate_is_refused(certificates: Certificates) -> None:
    with TlsListener(certificates.self_signed) as listener:
        reason = refused_at(listener.port, certificates)
    assert "signed by nobody; name that certificate itself in rabbit_tls_ca_file" in reason


def test_a_self_signed_certificate_can_be_trusted_by_itself(certificates: Certificates) -> None:
    tls = (
        certificates.self_signed.cert,
        certificates.self_signed.cert,
        certificates.self_signed.key,
    )
    with RabbitServer(tls=tls) as server:
        transport = connect(server, tls_ca_file=str(certificates.self_signed.cert))
        assert transport.publish([make_message()]) == [None]
        transport.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_of_tls_are_refused(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    with TlsListener(certificates.server, newest=version) as listener:
        reason = refused_at(listener.port, certificates)
    assert reason.endswith("the server offers no TLS 1.2; bring it up to date")


def test_a_listener_without_tls_is_not_spoken_to(
    broker: RabbitServer, certificates: Certificates
) -> None:
    reason = refused_at(broker.port, certificates)
    assert "does not speak TLS; give the port of the server's TLS listener" in reason


def test_a_client_without_tls_is_not_served_at_the_tls_port(broker: RabbitServer) -> None:
    transport = RabbitTransport(settings_at(broker.at("/"), port=broker.tls_port))
    refusal(transport)


def test_an_authority_that_is_not_trusted_is_refused(
    broker: RabbitServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = make_certificates(tmp_path_factory.mktemp("stranger"))
    reason = refusal(connect(broker, tls_ca_file=str(stranger.ca)))
    assert "its authority is not trusted; rabbit_tls_ca_file has to name the one" in reason


def test_the_systems_authorities_do_not_know_ours(broker: RabbitServer) -> None:
    assert "certificate" in refusal(connect(broker))


def test_a_certificate_of_another_name_is_refused(
    misnamed_broker: RabbitServer, certificates: Certificates
) -> None:
    reason = refusal(connect(misnamed_broker, tls_ca_file=str(certificates.ca)))
    assert "the certificate is for another name" in reason
    assert reason.endswith("or write that name in rabbit_tls_server_name")


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
