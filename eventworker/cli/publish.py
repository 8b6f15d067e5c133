"""``eventworker publish``: events from a file or a pipe."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from typing import BinaryIO, TextIO
from uuid import UUID

from oslo_config import cfg

from eventworker.cli import conf, output
from eventworker.cli.arguments import INTERRUPTED, Verbs, add_verb, positive
from eventworker.cli.database import engine_of
from eventworker.cli.interruption import Interruption
from eventworker.cli.lines import Line, chunks, message
from eventworker.cli.logs import escaped
from eventworker.cli.pace import Pace
from eventworker.cli.progress import Progress
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
        "tracestate; or a CloudEvent as JSON, known by its specversion. Every line is checked "
        "before the first event is sent. Give ids if the same file may be published twice. "
        "Ctrl-C finishes the round that is on its way and says how to go on.",
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
    parser.add_argument(
        "--rate",
        type=_per_second,
        metavar="N",
        help="publish at most N events per second; the outbox then gets them bit by bit instead of "
        "all in one transaction",
    )
    parser.add_argument(
        "--skip",
        type=_lines,
        default=0,
        metavar="N",
        help="leave the first N lines out, to go on where an earlier run has ended",
    )
    parser.add_argument(
        "-q", "--quiet", action="store_true", help="show no progress, only errors and the outcome"
    )


def _lines(text: str) -> int:
    return 0 if text == "0" else positive(text)


def _per_second(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of events above zero")
    return number


def _publish(arguments: argparse.Namespace) -> int:
    loaded = conf.of(arguments)
    through_outbox = arguments.outbox or loaded.notifications.driver == "sql"
    with ExitStack() as stack:
        stream = _open(arguments.file, stack)
        transport = stack.enter_context(closing(_transport(loaded, through_outbox, stack)))
        publishing = Publishing(
            transport,
            loaded.notifications.max_event_bytes,
            pace=Pace(arguments.rate),
            # The outbox takes all in one transaction; the broker knows none.
            largest=None if through_outbox and not (arguments.rate or arguments.stream) else _ROUND,
            screen=None if arguments.quiet or arguments.output == "json" else sys.stderr,
            endless=arguments.stream,
            skipped=arguments.skip,
        )
        try:
            with publishing.interruption:
                publishing.run(chunks(stream))
        except KeyboardInterrupt:
            publishing.interrupted = True
        finally:
            publishing.progress.clear()
    if publishing.interrupted:
        print(f"eventworker: {publishing.how_to_go_on()}", file=sys.stderr)
    output.say(
        f"published {output.plural(publishing.published, 'event')}",
        {
            "published": publishing.published,
            "failed": publishing.failed,
            "last_line": publishing.last_line,
            "interrupted": publishing.interrupted,
        },
        arguments.output,
    )
    return INTERRUPTED if publishing.interrupted else 1 if publishing.failed else 0


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

    return RabbitTransport(settings_from(loaded))


class Publishing:
    """Checks lines and sends what they say; counts, and names the lines that fail.

    :param largest: events that are sent at a time; None for all of them.
    :param screen: where the progress is shown; None for nowhere.
    :param skipped: lines at the beginning that are left out.
    :ivar last_line: all lines up to this one are dealt with: published, or named as refused.
    """

    def __init__(
        self,
        transport: Transport,
        max_bytes: int,
        *,
        pace: Pace,
        largest: int | None = _ROUND,
        screen: TextIO | None = None,
        endless: bool = False,
        skipped: int = 0,
    ) -> None:
        self.published = 0
        self.failed = 0
        self.last_line = skipped
        self.interrupted = False
        self.interruption = Interruption()
        self.progress = Progress("checked", screen)
        self._transport = transport
        self._max_bytes = max_bytes
        self._pace = pace
        self._largest = largest
        self._screen = screen
        self._endless = endless
        self._skipped = skipped
        self._lines_by_id: dict[UUID, int] = {}
        self._on_its_way: Sequence[Checked] = ()

    def run(self, chunks: Iterable[list[Line]]) -> None:
        """Publish all lines; those of an endless stream as they come, others once all are good.

        :raises EventworkerError: when a line is bad, so that nothing was published.
        :raises TransportUnavailable: when the broker or the database is away.
        :raises KeyboardInterrupt: outside of a round, or for the second time inside of one.
        """
        if self._endless:
            self.progress = Progress("published", self._screen)
            for lines in chunks:
                self.send(self.checked(lines))
                self.interrupted = self.interruption.asked
                if self.interrupted:
                    return
            return
        checked: list[Checked] = []
        for lines in chunks:
            checked += self.checked(lines)
            self.progress.at(len(checked))
        self.progress.clear()
        if self.failed:
            bad = output.plural(self.failed, "line")
            raise EventworkerError(f"{bad} cannot be published, so nothing was")
        self.progress = Progress("published", self._screen, len(checked))
        self.send(checked)

    def checked(self, lines: Sequence[Line]) -> list[Checked]:
        """The messages of those lines that are good; the others are reported."""
        good = []
        for line in lines:
            if line.number <= self._skipped:
                continue
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
        """Publish, at the pace, until all is sent or somebody has interrupted it."""
        size = self._pace.round(self._largest or len(checked))
        for start in range(0, len(checked), size or 1):
            if self.interruption.asked:
                self.interrupted = True
                return
            part = checked[start : start + size]
            self._pace.wait(len(part))
            # Where it is cut off in here, nobody can tell what has arrived.
            with self.interruption.held():
                self._on_its_way = part
                self._send(part)
                self._on_its_way = ()
            self.progress.at(self.published)

    def _send(self, checked: Sequence[Checked]) -> None:
        """One round. Each event that is refused is reported; one that is in the outbox already
        stays once."""
        results = self._transport.publish([made for _, made in checked], _PATIENCE)
        self.published += results.count(None)
        for (number, _), error in zip(checked, results, strict=True):
            if isinstance(error, TransportUnavailable):
                go_on = f"; to go on, add: --skip {self.last_line}" if self.published else ""
                done = output.plural(self.published, "event")
                raise TransportUnavailable(f"line {number}: {error}; {done} published{go_on}")
            if error is not None:
                self._report(number, str(error))
            self.last_line = number

    def how_to_go_on(self) -> str:
        """What an interrupted run has done, and how the next one takes over."""
        if self._on_its_way:
            first, last = self._on_its_way[0][0], self._on_its_way[-1][0]
            return (
                f"interrupted inside lines {first} to {last}, which may be published or not; "
                f"to repeat them and go on, add: --skip {first - 1}"
            )
        if not self.published:
            return "interrupted; nothing was published"
        return f"interrupted after line {self.last_line}; to go on, add: --skip {self.last_line}"

    def _report(self, number: int, reason: str) -> None:
        self.failed += 1
        self.progress.clear()
        if self.failed <= _SHOWN:
            print(f"eventworker: line {number}: {escaped(reason)}", file=sys.stderr)
        elif self.failed == _SHOWN + 1:
            print("eventworker: and more lines", file=sys.stderr)
