"""An eventworker plugin that writes one audit row per event."""

from eventworker_audit.worker import AuditWorker, list_opts

__all__ = ["AuditWorker", "list_opts"]
