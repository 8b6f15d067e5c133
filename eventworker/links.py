"""Who could read a connection to the broker or the database, or pretend to be its other end.

Only names that can mean nothing else count as this host: ``localhost``, 127.0.0.0/8, ``::1`` and
Unix sockets. Nothing is looked up, since what a name means is for others to say.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from eventworker.errors import ConfigError

#: What everybody knows: RabbitMQ's default user, and StoryBoard's default options.
DEFAULT_LOGINS = frozenset({("guest", "guest"), ("storyboard", "storyboard")})


def is_local(host: str | None) -> bool:
    """Whether a host is surely this one; an empty one stands for a Unix socket."""
    if not host or host.startswith(("/", "@")) or host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback and not getattr(address, "ipv4_mapped", None)


@dataclass(frozen=True, slots=True, repr=False)
class Link:
    """One connection that the configuration asks for.

    :param to: what is at its other end, for a message.
    :param hosts: where that may be.
    :param login: user and password; None where it goes by a certificate.
    :param verified: it is encrypted, and the other end's certificate and name are checked.
    :param login_options: which options to change for another login.
    :param remedy: what to write for TLS.
    """

    to: str
    hosts: tuple[str, ...]
    login: tuple[str, str] | None
    verified: bool
    login_options: str
    remedy: str

    @property
    def is_local(self) -> bool:
        """Whether it never leaves this host."""
        return all(is_local(host) for host in self.hosts)

    @property
    def exposure(self) -> str:
        """What is wrong with a link that leaves this host without TLS; empty if nothing is."""
        if self.is_local or self.verified:
            return ""
        where = ", ".join(host for host in self.hosts if not is_local(host))
        return (
            f"the connection to {self.to} at {where} can be read and imitated on its way; "
            f"{self.remedy}"
        )

    def check(self, require_tls: bool) -> None:
        """Return if this link may be used.

        :raises ConfigError: for a login that everybody knows on another host, and, with
            ``require_tls``, for a link that leaves this host without TLS.
        """
        if not self.is_local and self.login is not None and self.login in DEFAULT_LOGINS:
            raise ConfigError(
                f"{self.login_options}: everybody knows the login {self.login[0]} "
                f"with its default password, and {self.to} is on another host "
                f"({', '.join(self.hosts)}); give that user a password of its own, or another user"
            )
        if require_tls and self.exposure:
            raise ConfigError(f"[security] require_tls = True, but {self.exposure}")


def to_broker(host: str, login: tuple[str, str] | None, tls: bool) -> Link:
    """The link to RabbitMQ. Its TLS always checks certificate and name."""
    return Link(
        "RabbitMQ",
        (host,),
        login,
        tls,
        "[notifications] rabbit_userid, rabbit_password",
        "write rabbit_tls = True, and the TLS port as rabbit_port, in [notifications]",
    )


def to_database(url: str | None) -> Link | None:
    """The link to the database; None for a file, and for a URL that cannot be read."""
    try:
        parsed = make_url(url) if url else None
    except (ArgumentError, ValueError):
        return None  # building the engine has the words for it
    if parsed is None or parsed.get_backend_name() == "sqlite":
        return None
    postgres = parsed.get_backend_name() == "postgresql"
    remedy = (
        "add ?sslmode=verify-full&sslrootcert=FILE" if postgres else "add ?ssl_ca=FILE"
    ) + " to the URL in [database] connection"
    return Link(
        "the database",
        _hosts(parsed),
        (parsed.username or "", str(parsed.password or "")),
        _is_verified(parsed, postgres),
        "[database] connection",
        remedy,
    )


def _hosts(url: URL) -> tuple[str, ...]:
    """Where the driver may connect to; its own parameters win over the URL's host."""
    named = [*_all(url, "hostaddr"), *_all(url, "host"), *_all(url, "unix_socket")]
    if not named and "service" in url.query:
        return (f"service {url.query['service']}",)
    hosts = [each for value in named or [url.host or ""] for each in value.split(",")]
    # Of SQLAlchemy's host=NAME:PORT the name.
    return tuple(re.sub(r"(?<=[^:]):\d*\Z", "", each) for each in hosts)


def _all(url: URL, name: str) -> tuple[str, ...]:
    value = url.query.get(name, ())
    return (value,) if isinstance(value, str) else value


def _is_verified(url: URL, postgres: bool) -> bool:
    if postgres:
        return _all(url, "sslmode") == ("verify-full",)
    # PyMySQL checks certificate and name once it knows an authority, unless it is told otherwise;
    # beside SQLAlchemy's names, its own for the same throw the authority away.
    authority = _all(url, "ssl_ca") or _all(url, "ssl_capath")
    if {"ssl_disabled", "ssl_verify_cert", "ssl_verify_identity"} & set(url.query):
        return False
    names = [value.lower() for value in _all(url, "ssl_check_hostname")]
    return bool(authority) and all(value in ("1", "true", "yes", "on") for value in names)


def links(conf: Any) -> Iterator[Link]:
    """The links that the daemon of this configuration opens."""
    options = conf.notifications
    if options.driver == "rabbit":
        external = options.rabbit_login_method.upper() == "EXTERNAL"
        login = None if external else (options.rabbit_userid, options.rabbit_password)
        yield to_broker(options.rabbit_host, login, options.rabbit_tls)
    if (link := to_database(conf.database.connection)) is not None:
        yield link


def check(conf: Any) -> None:
    """Return if every link of the configuration may be used; nothing is connected to.

    :raises ConfigError: for the first one that may not, see :meth:`Link.check`.
    """
    for link in links(conf):
        link.check(conf.security.require_tls)


def warnings(conf: Any) -> Iterator[str]:
    """A line for each link that may be used, and should not be as it is."""
    for link in links(conf):
        if exposure := link.exposure:
            yield exposure


#: What OpenSSL says, as pika, psycopg and PyMySQL hand it on, and what to do about it.
_TLS_ADVICE = (
    (r"certificate has expired", "the server's certificate has to be renewed"),
    (r"not yet valid", "look at both clocks, and at the dates of the server's certificate"),
    (
        r"self[- ]signed certificate(?! in)",
        "the server's certificate is signed by nobody; name that certificate itself in {ca}, or "
        "have one issued",
    ),
    (
        r"[Hh]ostname mismatch|IP address mismatch|does not match host name",
        "the certificate is for another name; connect under the name that it was issued for{name}",
    ),
    (
        # Of libpq, which does not say why.
        r"certificate verify failed\Z",
        "the server's certificate has expired, is signed by nobody, or by another authority than "
        "{ca} names",
    ),
    (
        r"certificate verify failed|CERTIFICATE_VERIFY_FAILED",
        "its authority is not trusted; {ca} has to name the one that issued the certificate",
    ),
    (
        r"unsupported protocol|UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION|protocol version"
        r"|NO_PROTOCOLS",
        "the server offers no TLS 1.2; bring it up to date",
    ),
    (
        r"WRONG_VERSION_NUMBER|wrong version number|record layer failure|RECORD_LAYER_FAILURE",
        "what answers at this port does not speak TLS; give the port of the server's TLS listener",
    ),
    (
        r"does not support SSL|SSL is required but",
        "the server has TLS switched off; switch it on there",
    ),
)


def tls_advice(text: str, ca: str, name: str = "") -> str:
    """What to do about an error of TLS, beginning with a semicolon; empty for all other errors.

    :param ca: the setting that names the trusted authority.
    :param name: how to expect another name, if there is a way.
    """
    for pattern, advice in _TLS_ADVICE:
        if re.search(pattern, text):
            return f"; {advice.format(ca=ca, name=name)}"
    return ""
