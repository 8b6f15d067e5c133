"""``eventworker publish``: events from a file or a pipe."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import BinaryIO
from uuid import UUID

from oslo_config import cfg

from eventworker.cli import conf, output
from eventworker.cli.arguments import Verbs, add_verb
from eventworker.cli.database import engine_of
from eventworker.cli.lines import Line, chunks, message
from eventworker.cli.logs import escaped
from eventworker.errors import DecodeError, EncodeError, EventworkerError, TransportUnavailable
from eventworker.transport import Message, Transport
from eventworker.transports.sql import SqlTransport

#: A line's number and its message.
Checked = tuple[int, Message]

#: Events in one round of publisher confirms.
_ROUND = 500
#: Seconds for the broker to take one round.
_PATIENCE = 30.0
#: Bad lines that are shown; of a file of another format all of them are bad.
_SHOWN = 20


def add(verbs: Verbs) -> None:
    """The verb ``eventworker publish``."""
    parser = add_verb(
        verbs,
        "publish",
        _publish,
        help="publish events from a file or a pipe",
        more="Each line is a JSON object with StoryBoard's fields (method and resource are needed) "
        "and, if they are known, id (a UUID), time (ISO, with zone), source, traceparent and "
        "tracestate; or a CloudEvent as JSON, known by its specversion. Every line is "
        "checked before the first event is sent. Give ids if the same file may be published twice.",
        example="""echo '{"method": "POST", "resource": "story", "resource_id": 1}' """
        "| eventworker publish -",
    )
    parser.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="file to read; - is standard input"
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="send events as they are read, for a pipe that does not end; a bad line is reported "
        "and the next one goes on",
    )
    parser.add_argument(
        "--outbox",
        action="store_true",
        help="with driver = rabbit: write into the outbox, for the relay to publish, instead of "
        "sending to the broker",
    )


def _publish(arguments: argparse.Namespace) -> int:
    loaded = conf.of(arguments)
    through_outbox = arguments.outbox or loaded.notifications.driver == "sql"
    with ExitStack() as stack:
        stream = _open(arguments.file, stack)
        transport = stack.enter_context(closing(_transport(loaded, through_outbox, stack)))
        limit = loaded.notifications.max_event_bytes
        publishing = Publishing(transport, limit, endless=arguments.stream)
        if arguments.stream:
            for lines in chunks(stream):
                publishing.send(publishing.checked(lines))
        else:
            checked = [each for lines in chunks(stream) for each in publishing.checked(lines)]
            if publishing.failed:
                bad = output.plural(publishing.failed, "line")
                raise EventworkerError(f"{bad} cannot be published, so nothing was")
            # The outbox takes all in one transaction; the broker knows none.
            size = len(checked) if through_outbox else _ROUND
            for start in range(0, len(checked), size or 1):
                publishing.send(checked[start : start + size])
    output.say(
        f"published {output.plural(publishing.published, 'event')}",
        {"published": publishing.published, "failed": publishing.failed},
        arguments.output,
    )
    return 1 if publishing.failed else 0


def _open(path: str, stack: ExitStack) -> BinaryIO:
    if path == "-":
        return sys.stdin.buffer
    try:
        return stack.enter_context(open(path, "rb"))
    except OSError as error:
        raise EventworkerError(f"{path} cannot be read: {error.strerror}") from None


def _transport(loaded: cfg.ConfigOpts, through_outbox: bool, stack: ExitStack) -> Transport:
    if through_outbox:
        return SqlTransport(stack.enter_context(engine_of(loaded)))
    from eventworker.transports.rabbit import RabbitTransport, settings_from

    return RabbitTransport(settings_from(loaded.notifications))


class Publishing:
    """Checks lines and sends what they say; counts, and names the lines that fail."""

    def __init__(self, transport: Transport, max_bytes: int, *, endless: bool = False) -> None:
        self.published = 0
        self.failed = 0
        self._transport = transport
        self._max_bytes = max_bytes
        self._endless = endless
        self._lines_by_id: dict[UUID, int] = {}

    def checked(self, lines: Sequence[Line]) -> list[Checked]:
        """The messages of those lines that are good; the others are reported."""
        good = []
        for line in lines:
            try:
                good.append((line.number, self._message(line)))
            except (DecodeError, EncodeError) as error:
                self._report(line.number, str(error))
        return good

    def _message(self, line: Line) -> Message:
        made = message(line.text, self._max_bytes)
        if self._endless:
            return made
        first = self._lines_by_id.setdefault(made.id, line.number)
        if first != line.number:
            raise DecodeError(f"id {made.id} is that of line {first}", line.text)
        return made

    def send(self, checked: Sequence[Checked]) -> None:
        """Publish; each that is refused is reported. One that is in the outbox already stays once.

        :raises TransportUnavailable: when the broker or the database is away.
        """
        if not checked:
            return
        results = self._transport.publish([made for _, made in checked], _PATIENCE)
        self.published += results.count(None)
        for (number, _), error in zip(checked, results, strict=True):
            if isinstance(error, TransportUnavailable):
                raise TransportUnavailable(
                    f"line {number}: {error}; {output.plural(self.published, 'event')} published"
                )
            if error is not None:
                self._report(number, str(error))

    def _report(self, number: int, reason: str) -> None:
        self.failed += 1
        if self.failed <= _SHOWN:
            print(f"eventworker: line {number}: {escaped(reason)}", file=sys.stderr)
        elif self.failed == _SHOWN + 1:
            print("eventworker: and more lines", file=sys.stderr)
