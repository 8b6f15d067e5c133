"""Reading a message whose headers cannot be read.

The broker hands on any table that is well-formed, and pika raises for some of them: a timestamp
beyond the year 9999 (one in milliseconds is), or tables in each other some hundred levels deep. It
raises where it reads from the socket, so the connection is lost, and with it the delivery, which
comes again: one such message would hold up its queue for ever.
"""

from __future__ import annotations

import logging
import struct
from typing import Any

import pika.spec

log = logging.getLogger(__name__)

_HEADERS = pika.spec.BasicProperties.FLAG_HEADERS
_ONE_WORD, _LENGTH = struct.Struct(">H"), struct.Struct(">I")


class TolerantProperties(pika.spec.BasicProperties):  # type: ignore[misc]
    """A message's properties; headers that cannot be read are left out, and nothing is raised."""

    def decode(self, encoded: bytes, offset: int = 0) -> Any:
        try:
            return super().decode(encoded, offset)
        except Exception as error:  # of struct, datetime, decimal, pika; or too deep a recursion
            log.warning("a message's headers are left out, they cannot be read: %r", error)
        try:
            return super().decode(without_headers(encoded[offset:]))
        except Exception as error:
            log.warning("a message's properties are left out, they cannot be read: %r", error)
        pika.spec.BasicProperties.__init__(self)
        return self


def without_headers(encoded: bytes) -> bytes:
    """The same properties without their headers (AMQP 0-9-1, section 4.2.6.1): the table says how
    long it is, so nothing in it has to be understood."""
    (flags,) = _ONE_WORD.unpack_from(encoded)
    start = _ONE_WORD.size
    for flag in (
        pika.spec.BasicProperties.FLAG_CONTENT_TYPE,
        pika.spec.BasicProperties.FLAG_CONTENT_ENCODING,
    ):
        if flags & flag:
            start += 1 + encoded[start]
    end = start + _LENGTH.size + _LENGTH.unpack_from(encoded, start)[0]
    return _ONE_WORD.pack(flags & ~_HEADERS) + encoded[_ONE_WORD.size : start] + encoded[end:]


def tolerate_all_headers() -> None:
    """From now on in this process. pika has one registry of properties for all connections; what
    others read over theirs changes only where it would have cost them the connection."""
    pika.spec.props[pika.spec.BasicProperties.INDEX] = TolerantProperties
