"""For the tests of a plugin: it is run in the test's own process, the way the daemon runs it.

::

    with Harness(AuditWorker, "audit", prepare=upgrade) as harness:
        assert harness.deliver_twice(make_event(resource="task")).done

It needs no pytest.
"""

from eventworker.inbox.claims import Outcome
from eventworker.testing.ending import Ending
from eventworker.testing.events import make_event
from eventworker.testing.harness import Harness
from eventworker.testing.performing import Performed

__all__ = ["Ending", "Harness", "Outcome", "Performed", "make_event"]
