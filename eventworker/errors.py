"""Every exception of eventworker, and the two verdicts a plugin may raise.

::

    EventworkerError
    ├── ConfigError              the configuration cannot be used
    ├── DecodeError              these bytes are no event
    ├── EncodeError              this event or payload cannot be written as JSON
    ├── TransportError
    │   ├── TransportUnavailable the broker or its network is away; try again
    │   ├── Unpublishable        this message can never be published
    │   ├── Unroutable           accepted by the broker, but bound to no queue
    │   └── AlreadySettled       a delivery was acked or returned twice
    ├── DatabaseError
    │   ├── DatabaseUnavailable  the database is away; try again
    │   ├── SchemaError          tables missing or of another version
    │   └── TransactionLost      the transaction at its end is not the one begun
    ├── SpoolError               the spool's file cannot be used
    │   └── SpoolFull            it has no room for this event
    ├── PluginError              a plugin cannot be loaded or is ambiguous
    └── Verdict
        ├── Retry                not now
        └── Reject               never
"""

from __future__ import annotations


class EventworkerError(Exception):
    """Root of all errors raised by eventworker."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class ConfigError(EventworkerError):
    """The configuration cannot be used; the message names the option and what to write."""


class DecodeError(EventworkerError):
    """Bytes that are no event: quarantine them, since no number of attempts will change them."""

    def __init__(self, reason: str, body: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.body = body


class EncodeError(EventworkerError):
    """An event, or the payload of an effect, that is too large or has a value JSON cannot say."""


class TransportError(EventworkerError):
    """The transport could not do what it was asked."""


class TransportUnavailable(TransportError):
    """The broker cannot be reached or is closing; what was not confirmed must be sent again."""


class Unroutable(TransportError):
    """The broker took a message that no queue is bound for, and gave it back."""


class Unpublishable(TransportError):
    """This message can never be published, however often it is tried."""


class AlreadySettled(TransportError):
    """A delivery was acked or returned a second time; that is a bug of the caller."""


class DatabaseError(EventworkerError):
    """The database could not do what it was asked."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached; consumption pauses until it can."""


class SchemaError(DatabaseError):
    """The tables are missing or of another version; run ``eventworker db upgrade``."""


class TransactionLost(DatabaseError):
    """The transaction at its end is not the one that was begun, so it proves nothing."""


class SpoolError(EventworkerError):
    """The spool's file cannot be used; the message says why, and what to do."""


class SpoolFull(SpoolError):
    """The spool, or its disk, has no room for this event."""


class PluginError(EventworkerError):
    """A plugin cannot be loaded, or its name is not its own."""


class Verdict(EventworkerError):
    """What a plugin may raise to say how its call ended; returning says that it is done."""


class Retry(Verdict):
    """Raised by a plugin: not now, call me again with the same event.

    :param delay: seconds until the next attempt; None for the configured back-off.
    """

    def __init__(self, delay: float | None = None, reason: str | None = None) -> None:
        if delay is not None and not 0 <= delay < float("inf"):
            raise ValueError(f"Retry(delay) is in seconds from now, and {delay} is no such time")
        super().__init__(reason or "the plugin asked to be called again")
        self.delay = delay


class Reject(Verdict):
    """Raised by a plugin: never call me with this event again; it goes to the dead letters.

    :param reason: a sentence for the operator who will read the dead letter.
    """

    def __init__(self, reason: str = "the plugin rejected the event") -> None:
        super().__init__(reason)
        self.reason = reason


class HandlerTimeout(BaseException):
    """Raised inside ``handle()`` when its time limit is reached.

    Not an :class:`Exception`, so that a plugin's ``except Exception`` around a loop does not
    swallow it; the daemon kills the process a little later if it is swallowed all the same.
    """
