"""The options for oslo.config's generator and validator (entry points ``oslo.config.opts``)."""

from __future__ import annotations

import copy
import sys
from importlib.metadata import entry_points

from oslo_config import cfg

from eventworker import config
from eventworker.cli.logs import escaped
from eventworker.engine.loader import SERVICE_GROUP, import_entry_point
from eventworker.options import PLUGIN_OPTS
from eventworker.plugin import ENTRY_POINT_GROUP
from eventworker.pubsub import options
from eventworker.pubsub.hooks import options as hook_options

_OURS = "eventworker"


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Eventworker's options and those of its built-in plugins; namespace ``eventworker``."""
    pubsub = [(each.GROUP, copy.deepcopy(each.OPTIONS)) for each in (options, hook_options)]
    return [*config.list_opts(), *pubsub, *_plugin_opts(built_in=True)]


def list_plugin_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """The options of the other installed plugins and side services; namespace
    ``eventworker.plugins``.

    Apart from :func:`list_opts`, since they differ from host to host.
    """
    return [*_plugin_opts(built_in=False), *list_service_opts()]


def list_service_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """The options of side services that other distributions bring: what these announce under
    ``oslo.config.opts``, but for the groups of plugins."""
    bring = {each.dist.name for each in entry_points(group=SERVICE_GROUP) if each.dist is not None}
    found: list[tuple[str, list[cfg.Opt]]] = []
    for each in entry_points(group="oslo.config.opts"):
        if each.dist is None or each.dist.name == _OURS or each.dist.name not in bring:
            continue
        try:
            announced = each.load()()
        except Exception as error:
            print(f"eventworker: {each.dist.name}: {escaped(str(error))}", file=sys.stderr)
            continue
        found += [(group, opts) for group, opts in announced if not group.startswith("plugin:")]
    return found


def distributions() -> dict[str, str]:
    """Plugin name in lower case to the distribution that brings it."""
    return {
        each.name.lower(): each.dist.name
        for each in entry_points(group=ENTRY_POINT_GROUP)
        if each.dist is not None
    }


def _plugin_opts(built_in: bool) -> list[tuple[str, list[cfg.Opt]]]:
    found = []
    for name, distribution in sorted(distributions().items()):
        if (distribution == _OURS) != built_in:
            continue
        try:
            own = import_entry_point(ENTRY_POINT_GROUP, name).options
        except AttributeError:  # an object with the two methods needs no options
            own = ()
        except Exception as error:
            print(f"eventworker: plugin {name}: {escaped(str(error))}", file=sys.stderr)
            continue
        if options := [*([] if built_in else PLUGIN_OPTS), *own]:
            found.append((f"plugin:{name}", copy.deepcopy(options)))
    return found
