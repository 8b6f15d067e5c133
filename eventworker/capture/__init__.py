"""Capture: turning the changes that a web API makes into events in the outbox.

Two honest modes:

- :mod:`eventworker.capture.sqlalchemy`, transactional: a session records what it changes in the
  very transaction that changes it. The event exists if and only if the change does.
- :mod:`eventworker.capture.wsgi`, after the fact: a middleware looks at finished requests. It needs
  nothing but the URL, and a crash between the change and the event loses the event.
"""

from eventworker.capture.paths import PathRules, ResourcePath
from eventworker.capture.request import RequestFacts, current_facts, request_facts

__all__ = ["PathRules", "RequestFacts", "ResourcePath", "current_facts", "request_facts"]
