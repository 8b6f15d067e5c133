"""A side service that never runs: the daemon's services import it, and the package with it."""

from eventworker.service import Service

service = Service(wanted=lambda conf: False, run=lambda conf, child: None)
