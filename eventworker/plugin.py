"""The contract of a worker plugin.

A plugin is found under the entry-point group ``storyboard.plugin.worker``, constructed once per
process with the configuration, asked :meth:`~PluginBase.enabled`, and then called with every event
that it is owed. An object is judged by these methods, not by its base class.
"""

from __future__ import annotations

import abc
import re
from collections.abc import Collection, Sequence
from functools import cache
from importlib import import_module
from typing import Any, ClassVar
from uuid import UUID

from oslo_config import cfg
from sqlalchemy import BigInteger, Integer, SmallInteger, Uuid, inspect

from eventworker.errors import ConfigError, Reject, Retry
from eventworker.event import Event

__all__ = ["ENTRY_POINT_GROUP", "PluginBase", "Reject", "Retry", "WorkerTaskBase"]

ENTRY_POINT_GROUP = "storyboard.plugin.worker"


class PluginBase(abc.ABC):  # noqa: B024 - StoryBoard's: a base for plugins of several kinds
    """What every plugin has: the configuration, and a say in whether it takes part."""

    #: Options of the plugin; they are registered in its group ``[plugin:NAME]`` before it is
    #: constructed, and stand in the generated sample file.
    options: ClassVar[Sequence[cfg.Opt]] = ()

    def __init__(self, config: cfg.ConfigOpts) -> None:
        self.config = config

    def enabled(self) -> bool:
        """Whether the plugin is configured and wants events. Asked once per process."""
        return True


class WorkerTaskBase(PluginBase):
    """Base class of worker plugins.

    ``handle()`` is called by keyword with those arguments that its signature names (all of them
    for ``**kwargs``), and also ``event``, the whole :class:`~eventworker.event.Event`, where named.

    Returning says done. ``raise Retry(delay)`` says later, ``raise Reject(reason)`` never; any
    other exception is a failed attempt, tried again with a growing pause, and in the end a dead
    letter.
    """

    #: All effects of this plugin go through its session, so that after a rollback it may be called
    #: again without anyone noticing. Nothing is assumed of a plugin that does not say so.
    transactional: ClassVar[bool] = False
    #: The events of one resource are handled in the order of their producers' commits, one at a
    #: time, if they were recorded in order.
    ordered: ClassVar[bool] = False
    #: What the plugin wants, None for all: resources, such as ``story`` with all that is below it,
    #: or one kind of sub-resource, such as ``story/comment``; and HTTP methods. The rest costs it
    #: neither a call nor a row.
    resources: ClassVar[Collection[str] | None] = None
    methods: ClassVar[Collection[str] | None] = None

    def wants(self, event: Event) -> bool:
        """Whether the plugin wants an event that its ``resources`` and ``methods`` admit.

        A condition, to be overridden: it looks at the event alone, at once, and answers the same
        each time it is asked. An exception is a failed attempt, as one of ``handle()`` is.
        """
        return True

    @abc.abstractmethod
    def handle(self, *args: Any, **kwargs: Any) -> None:
        """Handle one event.

        Spell out the arguments that you need:

        :param session: the event's own SQLAlchemy session; its work is committed together with the
            note that this plugin has handled this event.
        :param author: the author's record, or None (anonymous, gone, or no class configured).
        :param method: HTTP method, such as ``POST``.
        :param url: the page the request came from (StoryBoard fills it from ``Referer``).
        :param path: path of the request.
        :param query_string: query string of the request.
        :param status: HTTP status of the response.
        :param resource: kind of resource that changed, singular, such as ``story``.
        :param resource_id: its id.
        :param sub_resource: kind of the sub-resource, such as ``comment``, or None.
        :param sub_resource_id: its id.
        :param resource_before: the resource before the change, as a dict, or None.
        :param resource_after: the resource after the change, as a dict, or None.
        :param event: the whole event, with its ``id``, ``time`` and ``source``.
        :raises Retry: call me again later.
        :raises Reject: give up on this event for this plugin.
        """

    def resolve_resource_by_name(self, session: Any, resource_name: str, resource_id: Any) -> Any:
        """The record of a resource, by ``[plugins] resource_classes``; None if unknown or gone.

        ``handle()`` is given as ``author`` what this returns for ``"user"`` and the author's id.
        """
        return find_resource(self.config, session, resource_name, resource_id)

    def get_changed_properties(
        self, original: dict[str, Any] | None, new: dict[str, Any] | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The properties that differ, as two dicts (before, after); a shallow comparison.

        A property that one side lacks appears on the other side alone. ``created_at`` and
        ``updated_at`` change with everything and are left out.
        """
        return changed_properties(original, new)


def changed_properties(
    original: dict[str, Any] | None, new: dict[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """See :meth:`WorkerTaskBase.get_changed_properties`."""
    before, after = original or {}, new or {}
    missing = object()
    changed = [
        name
        for name in {**before, **after}
        if name not in ("created_at", "updated_at")
        and before.get(name, missing) != after.get(name, missing)
    ]
    return (
        {name: before[name] for name in changed if name in before},
        {name: after[name] for name in changed if name in after},
    )


def find_resource(conf: cfg.ConfigOpts, session: Any, name: str, resource_id: Any) -> Any:
    """The record of a resource, by the class that ``[plugins] resource_classes`` names.

    None when no class is named, the id is no id of that class, or the record is gone.
    """
    mapped_class = resource_class(conf, name)
    if mapped_class is None or resource_id is None:
        return None
    keys: Any = inspect(mapped_class).primary_key
    key = _as_key(keys[0].type, resource_id) if len(keys) == 1 else None
    return None if key is None else session.get(mapped_class, key)


def _as_key(kind: Any, resource_id: int | str) -> Any:
    """An event's id as a key of that column type; None if it can be none.

    Strict, since int() reads more than digits, and PostgreSQL ends the transaction over a number
    that is too large for its column.
    """
    if isinstance(kind, Uuid):
        try:
            return UUID(str(resource_id))
        except ValueError:
            return None
    if not isinstance(kind, Integer):
        return str(resource_id)
    if not re.fullmatch("-?[0-9]{1,18}", str(resource_id)):
        return None
    bits = 63 if isinstance(kind, BigInteger) else 15 if isinstance(kind, SmallInteger) else 31
    number = int(resource_id)
    return number if -(2**bits) <= number < 2**bits else None


def resource_class(conf: cfg.ConfigOpts, name: str) -> type | None:
    """The mapped class that ``[plugins] resource_classes`` names for a resource, or None.

    :raises ConfigError: when a class is named that cannot be imported.
    """
    path = conf.plugins.resource_classes.get(name)
    if path is None:
        return None
    try:
        return _imported(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"[plugins] resource_classes: {name}:{path} cannot be imported: {error}; "
            "write package.module:Class"
        ) from error


@cache
def _imported(path: str) -> type:
    module, _, attribute = path.replace(":", ".").rpartition(".")
    return getattr(import_module(module), attribute)  # type: ignore[no-any-return]
