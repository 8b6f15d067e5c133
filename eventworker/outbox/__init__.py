"""The outbox: ``outbox.record(session, event)`` in the producer's transaction, and its queue."""

from eventworker.outbox.record import record

__all__ = ["record"]
