"""Certificates for TLS tests, made for the occasion by an authority nobody trusts."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

_HERE = ("localhost", "127.0.0.1")
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Certificate:
    cert: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """The authority's certificate, a right server certificate, and such as nobody may trust."""

    ca: Path
    server: Certificate
    wrong_name: Certificate
    expired: Certificate
    self_signed: Certificate
    client: Certificate


def make_certificates(folder: Path) -> Certificates:
    authority = trustme.CA()
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))

    def issue(name: str, *identities: str, not_after: datetime | None = None) -> Certificate:
        leaf = authority.issue_cert(*identities, not_before=_LONG_AGO, not_after=not_after)
        made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
        made.cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(made.key))
        return made

    return Certificates(
        ca=ca,
        server=issue("server", *_HERE),
        wrong_name=issue("wrong-name", "elsewhere.example.org"),
        expired=issue("expired", *_HERE, not_after=datetime.now(UTC) - timedelta(days=1)),
        self_signed=_self_signed(folder),
        client=issue("client", "client@example.org"),
    )


def _self_signed(folder: Path) -> Certificate:
    """A server's certificate that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names: list[x509.GeneralName] = [
        x509.DNSName("localhost"),
        x509.IPAddress(ip_address("127.0.0.1")),
    ]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_LONG_AGO)
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    made = Certificate(folder / "self-signed.pem", folder / "self-signed.key")
    made.cert.write_bytes(certificate.public_bytes(Encoding.PEM))
    made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made
