"""Passing over a stanza that no parser with namespaces reads.

Whoever sends Prosody an element with the prefix ``xml`` has it write that prefix's namespace as one
that is declared, which XML forbids. That must not end the connection of all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.parsers import expat

#: Errors after which only the namespaces are wrong.
RESERVED = {
    expat.errors.codes[each]
    for each in (
        expat.errors.XML_ERROR_RESERVED_PREFIX_XML,
        expat.errors.XML_ERROR_RESERVED_PREFIX_XMLNS,
        expat.errors.XML_ERROR_RESERVED_NAMESPACE_URI,
    )
}
_TAG = re.compile(rb"""<(?:[^>'"]|'[^']*'|"[^"]*")*>""")


class Skipper:
    """Finds the end of one stanza.

    :param prepare: called with the parser, to have it refuse what has no place in a stream.
    """

    def __init__(self, prepare: Callable[[Any], None]) -> None:
        self._parser = expat.ParserCreate(intern=None)
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        prepare(self._parser)
        self._data = bytearray()
        self._depth = 0
        self._last_tag: int | None = None

    def feed(self, data: bytes) -> bytes | None:
        """What comes after the stanza; None while it goes on.

        :raises ExpatError: when it is not even well-formed without namespaces.
        """
        self._data += data
        try:
            self._parser.Parse(data, False)
        except expat.ExpatError:
            if self._last_tag is None:
                raise
            # What comes after it can be no part of the same document.
        if self._last_tag is None:
            return None
        tag = _TAG.match(self._data)
        if tag is None or not tag[0].endswith(b"/>"):  # it has another one at its end
            tag = _TAG.match(self._data, self._last_tag)
        assert tag is not None
        return bytes(self._data[tag.end() :])

    def _start(self, _name: str, _attributes: Any) -> None:
        self._depth += 1

    def _end(self, _name: str) -> None:
        self._depth -= 1
        if not self._depth:
            self._last_tag = self._parser.CurrentByteIndex
