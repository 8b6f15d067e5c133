"""Effects outside the database, as rows: ``effects.add(session, payload)`` instead of doing I/O in
``handle()``.

::

    class Mailer(WorkerTaskBase):
        def handle(self, session, event):
            effects.add(session, {"to": "ann@example.org", "about": event.resource_id})

        def perform(self, effect):
            send(effect.payload, idempotency_key=effect.key)

The row is committed with the event's own work, or not at all. Then processes of their own call the
plugin's ``perform()``, at least once, and each time with the same key.
"""

from eventworker.effects.adding import add, add_each
from eventworker.effects.effect import MAX_PAYLOAD, Effect

__all__ = ["MAX_PAYLOAD", "Effect", "add", "add_each"]
