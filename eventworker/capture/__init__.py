"""Capture: turning the changes that a web API makes into events in the outbox.

Two honest modes:

Transactional: the event is written in the very transaction that makes the change, and exists if
and only if the change does.

- :mod:`eventworker.capture.sqlalchemy`, a listener on SQLAlchemy's sessions;
- :mod:`eventworker.capture.django`, one call in Django's own transaction.

After the fact: finished requests are looked at. That needs nothing but the URL, and a crash between
the change and the event loses the event.

- :mod:`eventworker.capture.wsgi` and :mod:`eventworker.capture.asgi`, middlewares;
- :mod:`eventworker.capture.pecan`, a hook.

From a finished request to its event: the way in makes :mod:`~eventworker.capture.request` facts, by
:mod:`~eventworker.capture.paths`; :mod:`~eventworker.capture.finished` has the rules; the event
goes to one of :mod:`~eventworker.capture.sinks`.
"""

from eventworker.capture.paths import PathRules, ResourcePath
from eventworker.capture.reader import ImageReader
from eventworker.capture.request import RequestFacts, current_facts, request_facts

__all__ = [
    "ImageReader",
    "PathRules",
    "RequestFacts",
    "ResourcePath",
    "current_facts",
    "request_facts",
]
