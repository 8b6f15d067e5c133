"""Signatures of messages at the broker: whoever may publish there cannot say what they like.

Documented in ``docs/reference/wire-format.rst``. HMAC-SHA256 over all that a consumer reads of a
message: routing key, properties, headers and body, and the second of the signing. A signature is
good for as long as the inbox remembers, since after that a copy of the message would be a new
event.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eventworker.errors import ConfigError
from eventworker.secret import remember

HEADER = "signature"
#: How the reason begins for which a message is in quarantine.
REFUSED = "signature: "
_VERSION = "v1"
_SHORTEST_KEY = 32
#: Seconds by which the signer's clock may be ahead of ours.
SKEW = 300
_DAY = 86400.0

_KEY = re.compile(r"(?P<id>[A-Za-z0-9._-]{1,40}):(?P<key>\S+)")
_SIGNATURE = re.compile(
    r"v1 (?P<id>[A-Za-z0-9._-]{1,40}) (?P<at>[0-9]{1,12}) (?P<mac>[0-9a-f]{64})"
)
#: What brokers, and their plugins for links between them, add on the way.
_OF_BROKERS = re.compile(
    r"x-(death|(first|last)-death-\w+|delivery-count|acquired-count|received-from|shovelled\S*"
    r"|stream-\S+|opt-\S+)"
)


class BadSignature(Exception):
    """Why a message is not to be believed."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signature is over: of a message, all that a consumer reads.

    :param headers: all of them; the signature itself and what brokers add is left out.
    """

    routing_key: str
    message_id: str | None
    content_type: str | None
    app_id: str | None
    timestamp: int | None
    headers: Mapping[str, Any]
    body: bytes

    def canonical(self, key_id: str, at: int) -> bytes:
        """The bytes to sign: every part with its length before it, so that none can pass for a
        piece of another.

        :raises BadSignature: for a header of a kind that has no canonical form.
        """
        headers = {
            name: value
            for name, value in self.headers.items()
            if name != HEADER and not _OF_BROKERS.fullmatch(name)
        }
        parts: list[bytes] = [_VERSION.encode(), key_id.encode(), str(at).encode()]
        properties = (self.message_id, self.content_type, self.app_id, self.timestamp)
        parts += [_part(self.routing_key), *map(_part, properties)]
        parts.append(str(len(headers)).encode())
        for name in sorted(headers):
            parts += [name.encode(), _part(headers[name])]
        parts.append(self.body)
        return b"".join(b"%d:%b," % (len(part), part) for part in parts)


def _part(value: object) -> bytes:
    """A value with its type before it, so that 1 is not "1" and nothing is not empty."""
    if value is None:
        return b"-"
    if isinstance(value, bool):
        return b"b1" if value else b"b0"
    if isinstance(value, int):
        return b"i%d" % value
    if isinstance(value, str):
        return b"s" + value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return b"x" + value
    raise BadSignature(f"a header of the type {type(value).__name__} cannot be signed")


class Signatures:
    """The keys of a configuration, to sign with and to check by.

    :param keys: id to key; the first one signs.
    :param verify: ``off``, ``accept`` or ``require``.
    :param remembered: seconds for which the inbox remembers what has been handled.
    """

    def __init__(
        self, keys: Mapping[str, bytes], verify: str = "off", remembered: float = 14 * _DAY
    ) -> None:
        self._keys = dict(keys)
        self._verify = verify
        # A clock that is ahead makes a signature live longer, so the limit is that much earlier.
        self._longest = max(remembered - SKEW, 0.0)

    def __repr__(self) -> str:
        return f"Signatures({', '.join(self._keys)}; {self._verify})"

    @property
    def checks(self) -> bool:
        """Whether :meth:`check` may find fault with a message."""
        return self._verify != "off"

    def sign(self, signed: Signed, now: float | None = None) -> str | None:
        """The value of the header, or None without a key."""
        if not self._keys:
            return None
        key_id, key = next(iter(self._keys.items()))
        at = int(time.time() if now is None else now)
        return f"{_VERSION} {key_id} {at} {_mac(key, signed.canonical(key_id, at))}"

    def check(self, signed: Signed, now: float | None = None) -> str:
        """Why the message is not to be believed, for the quarantine; empty if it is.

        Never raises: what cannot be checked is not believed.
        """
        if not self.checks:
            return ""
        try:
            self._check(signed, time.time() if now is None else now)
        except BadSignature as error:
            return f"{REFUSED}{error}"
        except Exception as error:
            return f"{REFUSED}it cannot be checked ({type(error).__name__})"
        return ""

    def _check(self, signed: Signed, now: float) -> None:
        text = signed.headers.get(HEADER)
        if text is None:
            if self._verify == "accept":
                return
            raise BadSignature("there is none")
        found = _SIGNATURE.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise BadSignature(f"the header is no signature of the version {_VERSION}")
        key = self._keys.get(found["id"])
        if key is None:
            raise BadSignature(f"there is no key {found['id']} here")
        at = int(found["at"])
        if not hmac.compare_digest(found["mac"], _mac(key, signed.canonical(found["id"], at))):
            raise BadSignature("it does not fit the message: forged, altered, or another key")
        if at > now + SKEW:
            raise BadSignature("it was made in the future; look at the clocks of both hosts")
        if now - at > self._longest:
            raise BadSignature(
                "it is older than [retention] inbox_days, so that nobody knows any more whether "
                "the event has been handled"
            )


#: Signs nothing and believes everything.
NO_SIGNATURES = Signatures({})


def _mac(key: bytes, canonical: bytes) -> str:
    return hmac.new(key, canonical, hashlib.sha256).hexdigest()


def signatures_of(security: Any, inbox_days: float) -> Signatures:
    """Those that ``[security]`` asks for.

    :raises ConfigError: when the keys cannot be used, or are missing where they are needed.
    """
    keys = _keys(security.signing_keys or "")
    if security.verify_signatures != "off" and not keys:
        raise ConfigError(
            f"[security] verify_signatures = {security.verify_signatures} needs signing_keys; "
            "write signing_keys = file:PATH, with ID:KEY in that file"
        )
    return Signatures(keys, security.verify_signatures, inbox_days * _DAY)


def _keys(text: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for number, entry in enumerate(re.split(r"[,\s]+", text.strip(", \t\r\n")), start=1):
        if not entry:
            continue
        found = _KEY.fullmatch(entry)
        # Nothing of the entry is quoted: it is, or contains, a key.
        where = f"[security] signing_keys, entry {number}"
        if found is None:
            raise ConfigError(f"{where}: write ID:KEY, the ID of letters, digits, '.', '_' and '-'")
        if len(found["key"]) < _SHORTEST_KEY:
            raise ConfigError(
                f"{where}: the key has fewer than {_SHORTEST_KEY} characters; make one with: "
                "openssl rand -hex 32"
            )
        if found["id"] in keys:
            raise ConfigError(f"{where}: there are two keys of this ID")
        remember(found["key"])
        keys[found["id"]] = found["key"].encode()
    return keys
