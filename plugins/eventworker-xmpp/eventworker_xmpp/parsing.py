"""Reading XML that a stranger has written.

Nothing that XMPP forbids is taken (RFC 6120, section 11.1): a document type, and with it every
entity that could grow, comments and processing instructions. A stanza that is too large or too deep
is passed over, not built: the stream goes on, and who sent it can be told.
"""

from __future__ import annotations

from typing import Any, NoReturn
from xml.etree.ElementTree import Element
from xml.parsers import expat

from eventworker_xmpp.events import Closed, Event, Opened, Stanza
from eventworker_xmpp.markup import attribute
from eventworker_xmpp.names import local_of, name, namespace_of
from eventworker_xmpp.skipping import RESERVED, Skipper

#: Elements within elements, of a stanza.
MAX_DEPTH = 64
#: Elements of a stanza. Each costs memory, and time, as much as forty of the bytes it may have.
MAX_ELEMENTS = 20_000
#: A stanza that has so many times the size that is allowed ends the stream: it would have to be
#: read to its end.
_HOPELESS = 16
#: Bytes after which a stream gets a new parser. Expat remembers each name that it has met.
_WORN = 8 * 1024 * 1024
#: Parts a namespace from a name as expat tells them. No XML can have it; of another character expat
#: would refuse each namespace that has it.
_SEPARATOR = "\x01"


class Unreadable(Exception):
    """The stream cannot go on.

    :ivar condition: what the other side is told, a condition of RFC 6120, section 4.9.3.
    """

    def __init__(self, condition: str, what: str) -> None:
        super().__init__(what)
        self.condition = condition


class StreamParser:
    """Reads one stream.

    :param max_bytes: of a stanza.
    :param comments: leave comments out instead of refusing them.
    """

    def __init__(self, max_bytes: int, max_depth: int = MAX_DEPTH, comments: bool = False) -> None:
        self._max_bytes = max_bytes
        self._comments = comments
        self._max_depth = max_depth
        self._depth = 0
        self._elements = 0
        self._events: list[Event] = []
        self._stack: list[Element] = []
        self._text: list[str] = []
        self._spoiled: str | None = None
        self._declared: dict[str | None, str | None] = {}
        self._root = "stream"
        self._skipper: Skipper | None = None
        self._begin()

    def _begin(self) -> None:
        # Not interned: Python, too, would remember each name.
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR, intern=None)
        parser.buffer_text = True
        if hasattr(parser, "SetReparseDeferralEnabled"):
            # Expat from 2.6 on would wait with the end of a stanza until more comes. It does so for
            # the sake of tags without end, which are limited here.
            parser.SetReparseDeferralEnabled(False)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.StartNamespaceDeclHandler = self._declare
        self._forbid(parser)
        self._parser = parser
        self._fed = 0
        self._stanza_at = 0
        self._since_stanza = 0
        # What came after the last stanza, and where its parser has that.
        self._recent = bytearray()
        self._recent_at = self._settled_at = 0

    def _forbid(self, parser: Any) -> None:
        parser.StartDoctypeDeclHandler = _no_doctype
        if not self._comments:
            parser.CommentHandler = _no_comment
        parser.ProcessingInstructionHandler = _no_instruction

    def feed(self, data: bytes) -> list[Event]:
        """What these bytes complete.

        :raises Unreadable: when the stream cannot go on.
        """
        self._since_stanza += len(data)
        rest = data
        try:
            while rest:
                rest = self._read(rest) if self._skipper is None else self._pass_over(rest)
        except expat.ExpatError as error:
            raise Unreadable("not-well-formed", f"not well-formed: {error}") from None
        if self._since_stanza > self._max_bytes * _HOPELESS:
            raise Unreadable("policy-violation", "a stanza without end")
        events, self._events = self._events, []
        if self._fed > _WORN and self._depth == 1 and data.endswith(b">"):
            self._renew()
        return events

    def _read(self, data: bytes) -> bytes:
        """Returns what has to be passed over, and what comes after it."""
        self._fed += len(data)
        self._recent += data
        try:
            self._parser.Parse(data, False)
        except expat.ExpatError as error:
            if error.code not in RESERVED or self._depth < 1:
                raise
            start = self._stanza_at if self._depth > 1 else self._parser.ErrorByteIndex
            self._skipper = Skipper(self._forbid)
            return bytes(self._recent[start - self._recent_at :])
        del self._recent[: self._settled_at - self._recent_at]
        self._recent_at = self._settled_at
        return b""

    def _pass_over(self, data: bytes) -> bytes:
        """Returns what comes after the stanza."""
        assert self._skipper is not None
        rest = self._skipper.feed(data)
        if rest is None:
            return b""
        self._skipper = None
        if self._stack:
            self._empty_stanza()
            first = self._stack.pop()
            self._events.append(Stanza(first, "written in a way that is no XML"))
        self._text.clear()
        self._renew()
        return rest

    def _renew(self) -> None:
        """Go on with a fresh parser, between two stanzas."""
        self._begin()
        names = "".join(
            f" xmlns{':' + prefix if prefix else ''}='{attribute(uri or '')}'"
            for prefix, uri in self._declared.items()
        )
        self._depth = -1  # the element below is none of the stream's
        root = f"<{self._root}{names}>".encode()
        self._parser.Parse(root, False)
        self._depth = 1
        self._recent_at = self._settled_at = len(root)

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        if self._depth == 0:
            self._declared[prefix] = uri

    def _written(self, tag: str) -> str:
        """The root's name as its end will have it, with its prefix."""
        space, local = namespace_of(tag), local_of(tag)
        prefixes = [prefix for prefix, uri in self._declared.items() if uri == space and prefix]
        return f"{prefixes[0]}:{local}" if prefixes else local

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth < 0:
            return
        self._depth += 1
        self._elements += 1
        if self._depth == 2:
            self._spoiled = None
            self._elements = 0
            self._stanza_at = self._parser.CurrentByteIndex
        elif self._spoiled is None and self._depth > 2:
            self._look_at_size()
        if self._spoiled is not None:
            return
        made = Element(_named(tag), {_named(key): value for key, value in attributes.items()})
        if self._depth == 1:
            self._root = self._written(made.tag)
            self._events.append(Opened(made))
            return
        if self._stack:
            self._settle_text()
            self._stack[-1].append(made)
        self._text.clear()
        self._stack.append(made)

    def _end(self, _tag: str) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._events.append(Closed())
            return
        if self._depth == 1:
            self._look_at_size()
            if self._spoiled is None:
                self._settle_text()
            first = self._stack[0]
            self._stack.clear()
            size = self._parser.CurrentByteIndex - self._stanza_at
            self._events.append(Stanza(first, self._spoiled, size))
            self._since_stanza = 0
            self._settled_at = self._parser.CurrentByteIndex
        elif self._spoiled is None:
            self._settle_text()
            self._stack.pop()
        self._text.clear()

    def _look_at_size(self) -> None:
        if self._spoiled is not None:
            return
        if self._depth - 1 > self._max_depth:
            self._spoiled = f"deeper than {self._max_depth} elements"
        elif self._elements > MAX_ELEMENTS:
            self._spoiled = f"of more than {MAX_ELEMENTS} elements"
        elif self._parser.CurrentByteIndex - self._stanza_at > self._max_bytes:
            self._spoiled = f"larger than {self._max_bytes} bytes"
        if self._spoiled is not None:
            self._empty_stanza()

    def _empty_stanza(self) -> None:
        del self._stack[0][:]
        del self._stack[1:]

    def _settle_text(self) -> None:
        if not self._text:
            return
        content = "".join(self._text)
        self._text.clear()
        parent = self._stack[-1]
        if len(parent):
            parent[-1].tail = content
        else:
            parent.text = content


def parsed(text: str, max_depth: int = MAX_DEPTH) -> Element:
    """The one element that the text is, without its comments.

    :raises Unreadable: when it is none, or is deeper than that.
    """
    size = len(text.encode("utf-8", "replace")) + 1
    reader = StreamParser(size, max_depth, comments=True)
    try:
        reader.feed(b"<s>")
        events = reader.feed(text.encode()) + reader.feed(b"</s>")
    except UnicodeEncodeError:
        raise Unreadable("not-well-formed", "a lone surrogate") from None
    match events:
        case [Stanza(element, None), Closed()]:
            return element
    raise Unreadable("not-well-formed", "not one element, or one that is too deep")


def _named(tag: str) -> str:
    namespace, separator, local = tag.rpartition(_SEPARATOR)
    return name(namespace, local) if separator else tag


def _refuse(what: str) -> NoReturn:
    raise Unreadable("restricted-xml", f"{what} has no place in XMPP")


def _no_doctype(*_rest: object) -> None:
    _refuse("a document type")


def _no_comment(_text: str) -> None:
    _refuse("a comment")


def _no_instruction(*_rest: object) -> None:
    _refuse("a processing instruction")


__all__ = ["Closed", "Opened", "Stanza", "StreamParser", "Unreadable", "parsed"]
