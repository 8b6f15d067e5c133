"""Images for capture after the fact: what a reader finds before the application runs and after it.

Each is a short read of its own, outside of the application's transaction. Between the two, other
requests run; what can be noticed of that is noticed, and the rest is not known.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any
from weakref import WeakSet

from eventworker.capture.images import SECRETS, is_secret
from eventworker.capture.json_values import json_object
from eventworker.capture.paths import ResourcePath

Found = Mapping[str, Any] | None
#: Takes what a path names, returns what the database holds of it; None if there is no such thing.
Reader = Callable[[ResourcePath], Found | Awaitable[Found]]
Image = dict[str, Any] | None


class Reading:
    """Two looks at a resource, for one request."""

    def __init__(self, target: ResourcePath) -> None:
        self.target = target
        self.before: Image = None
        self.met_another = False


class ImageReader:
    """Makes images of what a reader finds.

    :param read: the reader; a coroutine function, too, with ASGI.
    :param secrets: a key that contains one of these is left out, at every depth.
    :param version: the key of a number that each change raises by one. If it was raised more than
        once between the two looks, somebody else's change is among them.
    """

    def __init__(
        self, read: Reader, *, secrets: Iterable[str] = SECRETS, version: str | None = None
    ) -> None:
        self.read = read
        self._secrets = tuple(secrets)
        self._version = version
        # A server may drop a request without a word, so nothing here has to be told of its end.
        self._readings: WeakSet[Reading] = WeakSet()
        self._lock = threading.Lock()

    def begin(self, target: ResourcePath) -> Reading:
        """A request is about to change ``target``; others that are at it now will meet it."""
        reading = Reading(target)
        with self._lock:
            for other in self._readings:
                if other.target == target:
                    other.met_another = reading.met_another = True
            self._readings.add(reading)
        return reading

    def end(self, reading: Reading) -> None:
        """The request has taken its last look."""
        with self._lock:
            self._readings.discard(reading)

    def image(self, found: Found) -> Image:
        """What was found, as it goes into an event.

        :raises EncodeError: when it is nested deeper than a reader of events accepts.
        """
        return None if found is None else self._shown(json_object(found))

    def is_mixed(self, reading: Reading, after: Image) -> bool:
        """Whether another request's change is known to be able to show in these images."""
        if reading.met_another:
            return True
        if self._version is None or reading.before is None or after is None:
            return False
        first, last = reading.before.get(self._version), after.get(self._version)
        return type(first) is int and type(last) is int and last - first not in (0, 1)

    def _shown(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: self._shown(item)
                for key, item in value.items()
                if not is_secret(key, self._secrets)
            }
        return [self._shown(item) for item in value] if isinstance(value, list) else value
