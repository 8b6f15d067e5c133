"""Worker plugins for the acceptance tests, found like everybody's: through entry points.

Each process of the daemon imports them, or the service beside them, and so comes to obey the orders
that a test leaves at the fail-points.
"""

import os

if folder := os.environ.get("PROBE_ORDERS"):
    # Only here: a version of eventworker that is older than the fail-points has none.
    from eventworker_probes.orders import obey

    obey(folder)
