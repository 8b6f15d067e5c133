"""eventworker: reliable asynchronous work from the changes made through a web API."""

from importlib.metadata import PackageNotFoundError, version

from eventworker.errors import EventworkerError, Reject, Retry
from eventworker.event import Event
from eventworker.plugin import PluginBase, WorkerTaskBase

try:
    __version__ = version("eventworker")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = [
    "Event",
    "EventworkerError",
    "PluginBase",
    "Reject",
    "Retry",
    "WorkerTaskBase",
    "__version__",
]
