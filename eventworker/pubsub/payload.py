"""Payloads: one XML element as text, written by a stranger.

Read once, when it is published, by a parser that makes no tree: what it declares or nests too
deeply is refused before it costs anything, so that whoever reads it later need not be afraid.
"""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from eventworker.pubsub.errors import PubSubError

#: Elements inside one another.
MAX_DEPTH = 64
#: What XML takes for space. Python takes for it what XML cannot have.
_SPACE = " \t\r\n"
#: What the prefix ``xml`` stands for.
_XML = "http://www.w3.org/XML/1998/namespace"


class _Refused(Exception):
    pass


def namespace_of(payload: str) -> str:
    """The namespace of the element; empty if it has none.

    :raises PubSubError: ``invalid-payload``, when that is not exactly one element, well-formed by
        itself, without declarations and processing instructions, and at most :data:`MAX_DEPTH`
        deep.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(payload.strip(_SPACE).encode("utf-8"), True)
    except (expat.ExpatError, UnicodeEncodeError, _Refused) as error:
        raise PubSubError(
            "bad-request", "invalid-payload", text=f"the payload is not one XML element: {error}"
        ) from None
    return reader.namespace


def size_of(payload: str) -> int:
    """Bytes of the payload as it travels.

    :raises PubSubError: ``invalid-payload``, when it cannot.
    """
    try:
        return len(payload.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise PubSubError("bad-request", "invalid-payload", text=str(error)) from None


class _Reader:
    def __init__(self) -> None:
        self.namespace = ""
        self._depth = 0
        # It parts the namespace from the name, since no XML can have it.
        parser = self.parser = expat.ParserCreate("utf-8", "\x01")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.XmlDeclHandler = self._refuse
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.ProcessingInstructionHandler = self._refuse

    def _start(self, name: str, _attributes: Any) -> None:
        namespace = name.rpartition("\x01")[0]
        if namespace == _XML:
            # XML allows it. But Prosody, for one, writes it in a way that is none, which ends the
            # connection of whoever is sent it.
            raise _Refused("an element has the prefix xml")
        if not self._depth:
            self.namespace = namespace
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _Refused(f"elements are more than {MAX_DEPTH} deep")

    def _end(self, _name: str) -> None:
        self._depth -= 1

    def _refuse(self, *_what: Any) -> None:
        raise _Refused("declarations and processing instructions are refused")
