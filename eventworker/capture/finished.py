"""Which finished request becomes which event: the rules that all middlewares share.

A request is followed in *steps*, generators that yield a :class:`Call` wherever something of the
application's own is asked (the author, a reader of images, the sink). :func:`run` makes these
calls one after the other; ASGI awaits them. So there is one text of the rules for both.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Generator
from typing import Any, NamedTuple, TypedDict, TypeVar, Unpack

import msgspec

from eventworker.capture.events import make_event
from eventworker.capture.paths import PathRules, ResourcePath
from eventworker.capture.reader import Image, ImageReader, Reading
from eventworker.capture.request import Details, RequestFacts, make_facts
from eventworker.capture.response import Response
from eventworker.capture.sinks import without_images
from eventworker.db import first_line
from eventworker.errors import EncodeError
from eventworker.event import Event

log = logging.getLogger(__name__)

METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})

Id = int | str | None
Author = Callable[[Any], Any]
T = TypeVar("T")


class Call(NamedTuple):
    """Something of the application's own to be called.

    :param waits: whether it may wait for a disk or a network, so that a plain function belongs in
        a thread where others must not wait for it.
    """

    function: Callable[..., Any]
    argument: Any
    waits: bool = True


Steps = Generator[Call, Any, T]


def run(steps: Steps[T]) -> T:
    """Make the calls of ``steps``, here and now."""
    try:
        call = next(steps)
        while True:
            try:
                answer = call.function(call.argument)
            except BaseException as error:  # also a server that ends: the steps want to know
                call = steps.throw(error)
            else:
                call = steps.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


class Options(TypedDict, total=False):
    """What every way of capturing finished requests can be told. All of it is optional.

    - ``author``: the id of the user who makes a request, or None; what is neither number nor text
      counts by its ``str()``. It is called with what the framework knows of the request: before the
      application runs, and if it said None, after it.
    - ``rules``: how paths are read, :class:`~eventworker.capture.paths.PathRules`.
    - ``source``: name of the application, the events' ``source``.
    - ``methods``: the verbs that change something; POST, PUT, PATCH and DELETE unless told.
    - ``images``: an :class:`~eventworker.capture.reader.ImageReader` for the images before and
      after.
    """

    author: Author
    rules: PathRules | None
    source: str
    methods: Collection[str]
    images: ImageReader | None


class Watch:
    """One request that may become an event."""

    def __init__(self, facts: RequestFacts, target: ResourcePath, is_new: bool) -> None:
        self.facts = facts
        self.target = target
        self.is_new = is_new
        self.response = Response(keep_body=is_new)
        self.reading: Reading | None = None


class FinishedRequests:
    """Makes an event of each finished request that changed a resource.

    :param sink: takes the event; None to provide only the facts for a transactional capture inside.
        If it fails, the response is the same; the event is then in the log, at ERROR, as JSON.
    """

    def __init__(self, sink: Callable[[Event], Any] | None, **options: Unpack[Options]) -> None:
        self._sink = sink
        self._author = options.get("author")
        self._rules = options.get("rules") or PathRules()
        self._source = options.get("source", "")
        self._methods = frozenset(options.get("methods", METHODS))
        self._images = options.get("images")

    def facts(self, method: str, path: str, **details: Unpack[Details]) -> RequestFacts:
        """What is known of a request before it runs, but for its author."""
        details["source"], details["rules"] = self._source, self._rules
        return make_facts(method, path, **details)

    # -- the steps ----------------------------------------------------------------------------

    def begin(self, request: Any, facts: RequestFacts) -> Steps[Watch | None]:
        """Before the application runs; None if the request can become no event.

        :param request: what the author is asked with.
        """
        facts.author_id = yield from self._author_of(request)
        target = facts.target
        if self._sink is None or facts.method not in self._methods or target is None:
            return None
        own_id = _own_id(target)
        watch = Watch(facts, target, is_new=facts.method == "POST" and own_id is None)
        if self._images is not None and own_id is not None:
            watch.reading = self._images.begin(target)
            watch.reading.before = yield from self._image(self._images, target)
        return watch

    def finish(self, request: Any, watch: Watch) -> Steps[None]:
        """After the application has ended well, and has no more to do for this request."""
        target = self._target(watch)
        if target is None:
            self._let_go(watch)
            return
        event: Event | None = None
        try:
            event = yield from self._finished(request, watch, target)
            yield from self._give(event)
        except BaseException:
            # The server ends its worker, or its event loop, while somebody is waited for.
            event = event or self._event(watch, target, None)
            _log_lost(event, "the request was cut off while its event was written")
            raise

    def fail(self, watch: Watch) -> None:
        """The application has failed. There is no event, but it may have told a client of success.

        Whether its change was committed before the failure, nobody can say who sees only requests.
        """
        self._let_go(watch)
        target = self._target(watch) if watch.response.has_begun else None
        if target is not None:
            event = self._event(watch, target, None)
            _log_lost(event, "the application failed after its response had begun; no event")

    # -- helpers ------------------------------------------------------------------------------

    def _finished(self, request: Any, watch: Watch, target: ResourcePath) -> Steps[Event]:
        if watch.facts.author_id is None:
            watch.facts.author_id = yield from self._author_of(request)
        after = None
        is_there = watch.facts.method != "DELETE" and _own_id(target) is not None
        if self._images is not None and is_there:
            after = yield from self._image(self._images, target)
        self._let_go(watch)
        event = self._event(watch, target, after)
        if self._images and watch.reading and self._images.is_mixed(watch.reading, after):
            log.warning(
                "the images of %s may show another request's change, too",
                _named(target),
                extra={"event": str(event.id), "resource": event.resource},
            )
        return event

    def _target(self, watch: Watch) -> ResourcePath | None:
        """What an event is owed about; None if none is owed."""
        status = watch.response.status
        if status is None or status >= 400 or watch.target.resource in watch.facts.recorded:
            return None
        if not watch.is_new:
            return watch.target
        return _with_id(watch.target, watch.response.created_id(self._rules, watch.target))

    def _event(self, watch: Watch, target: ResourcePath, after: Image) -> Event:
        return make_event(
            watch.facts,
            target,
            watch.facts.method,
            is_about=True,
            status=watch.response.status,
            before=watch.reading.before if watch.reading else None,
            after=after,
        )

    def _author_of(self, request: Any) -> Steps[Id]:
        if self._author is None:
            return None
        try:
            author = yield Call(self._author, request, waits=False)
            # A UUID, say: an event has numbers and texts.
            return author if author is None or type(author) is int else str(author)
        except Exception:
            log.exception("the author of a request could not be told; it counts as anonymous")
            return None

    def _image(self, images: ImageReader, target: ResourcePath) -> Steps[Image]:
        try:
            return images.image((yield Call(images.read, target)))
        except Exception as error:
            log.warning("%s has no image: %s", _named(target), first_line(error), exc_info=True)
            return None

    def _let_go(self, watch: Watch) -> None:
        if self._images is not None and watch.reading is not None:
            self._images.end(watch.reading)

    def _give(self, event: Event) -> Steps[None]:
        assert self._sink is not None
        try:
            try:
                yield Call(self._sink, event)
            except EncodeError as error:
                yield Call(self._sink, without_images(event, error))
        except Exception as error:
            _log_lost(event, f"an event could not be recorded: {first_line(error)}")


def _log_lost(event: Event, why: str) -> None:
    """As ``eventworker publish`` reads it; in ASCII, so that every log can hold every text."""
    said = msgspec.to_builtins(event)
    del said["seq"]  # a place is the outbox's to give
    log.error(
        "%s; the event: %s",
        why,
        json.dumps(said),
        extra={"event": str(event.id), "resource": event.resource},
    )


def _own_id(target: ResourcePath) -> Id:
    return target.resource_id if target.sub_resource is None else target.sub_resource_id


def _with_id(target: ResourcePath, own_id: Id) -> ResourcePath:
    if target.sub_resource is None:
        return target._replace(resource_id=own_id)
    return target._replace(sub_resource_id=own_id)


def _named(target: ResourcePath) -> str:
    return "/".join(str(part) for part in target if part is not None)
