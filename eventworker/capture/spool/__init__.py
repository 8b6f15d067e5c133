"""The spool: a file in which the events of finished requests wait until their target takes them.

::

    request -> Spool (Intake: one fsynced insert, shared by threads that come together)
                  |
               spool file, SQLite (Store, format, waiting)
                  |
               Drainer: one at a time over all processes, in order, batch by batch
                  |
               target: the outbox of a database, or RabbitMQ

*Every* event goes through the file, also while the target is well. So a request costs the same in
good times and in bad, never waits for a network, and order needs no second rule for the moment at
which a target goes away or comes back.
"""

from eventworker.capture.spool.spool import Spool
from eventworker.capture.spool.targets import outbox_target, rabbit_target

__all__ = ["Spool", "outbox_target", "rabbit_target"]
