"""The plugin itself: its options, whether it is ready, and what it does with an event."""

from __future__ import annotations

from typing import Any, ClassVar

from oslo_config import cfg
from sqlalchemy import insert
from sqlalchemy.orm import Session

from eventworker.event import Event
from eventworker.plugin import WorkerTaskBase
from eventworker_audit.schema import require_current_schema
from eventworker_audit.table import audit_table

# docs: begin options
GROUP = "plugin:audit"

OPTIONS: list[cfg.Opt] = [
    cfg.BoolOpt("enabled", default=True, help="Whether events are written down."),
    cfg.BoolOpt(
        "keep_images",
        default=False,
        help="Write down the whole resource before and after, not only what changed.",
    ),
]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """The options by group, for the generated sample file."""
    return [(GROUP, OPTIONS)]


# docs: end options


# docs: begin class
class AuditWorker(WorkerTaskBase):
    """Writes one row of ``eventworker_audit_entry`` per event."""

    options: ClassVar[list[cfg.Opt]] = OPTIONS
    #: True because handle() works through its session and nothing else.
    transactional = True
    # docs: end class

    # docs: begin enabled
    def enabled(self) -> bool:
        """Whether the operator wants it.

        :raises PluginError: when its table is not there. Unlike an answer of False this keeps the
            events owed, so nothing is missing once the table has been made.
        """
        if not self.config[GROUP].enabled:
            return False
        require_current_schema(self.config.database.connection)
        return True

    # docs: end enabled

    # docs: begin handle
    def handle(
        self,
        session: Session,
        event: Event,
        resource: str,
        resource_before: dict[str, Any] | None,
        resource_after: dict[str, Any] | None,
    ) -> None:
        """Write the event down."""
        if self.config[GROUP].keep_images:
            before, after = resource_before, resource_after
        else:
            before, after = self.get_changed_properties(resource_before, resource_after)
        entry = {
            "event_id": event.id,
            "at": event.time,
            "author": _text(event.author_id),
            "method": event.method,
            "path": event.path,
            "resource": resource,
            "resource_id": _text(event.resource_id),
            "changed": {"before": before, "after": after},
        }
        session.execute(insert(audit_table).values(entry))

    # docs: end handle


def _text(identifier: int | str | None) -> str | None:
    return None if identifier is None else str(identifier)
