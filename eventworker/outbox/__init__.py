"""The outbox: ``outbox.record(session, event)`` in the producer's transaction, and its queue."""

from eventworker.outbox.record import record, record_in_order

__all__ = ["record", "record_in_order"]
