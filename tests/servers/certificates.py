"""Certificates for TLS tests, made for the occasion by an authority nobody trusts."""

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificate:
    cert: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """The authority's certificate, a right server certificate and one that names another host."""

    ca: Path
    server: Certificate
    wrong_name: Certificate
    client: Certificate


def make_certificates(folder: Path) -> Certificates:
    authority = trustme.CA()
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))

    def issue(name: str, *identities: str) -> Certificate:
        leaf = authority.issue_cert(*identities)
        made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
        made.cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(made.key))
        return made

    return Certificates(
        ca=ca,
        server=issue("server", "localhost", "127.0.0.1"),
        wrong_name=issue("wrong-name", "elsewhere.example.org"),
        client=issue("client", "client@example.org"),
    )
