"""The options as an oslo.config object knows them, and what is wrong with a value.

``register(conf)`` makes those of :mod:`eventworker.options` known; below the command lines that
object is passed as an argument, and nothing reads a global.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from eventworker.errors import ConfigError, PluginError
from eventworker.options import (
    DATABASE_OPTS,
    DEFAULT_OPTS,
    LANE_OPTS,
    LOGGING_OPTS,
    NOTIFICATIONS_OPTS,
    OUTBOX_OPTS,
    PLUGIN_OPTS,
    PLUGINS_OPTS,
    RETENTION_OPTS,
    SECURITY_OPTS,
)
from eventworker.secret import Secret

GROUPS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": DEFAULT_OPTS + LOGGING_OPTS,
    "notifications": NOTIFICATIONS_OPTS,
    "database": DATABASE_OPTS,
    "outbox": OUTBOX_OPTS,
    "plugins": PLUGINS_OPTS,
    "retention": RETENTION_OPTS,
    "security": SECURITY_OPTS,
}


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options of :data:`GROUPS` known to ``conf``; calling it again changes nothing."""
    for group, opts in GROUPS.items():
        conf.register_opts(opts, group=None if group == "DEFAULT" else group)


def plugin_group(conf: cfg.ConfigOpts, name: str, opts: Sequence[cfg.Opt] = ()) -> Any:
    """The values of ``[plugin:NAME]``, with the plugin's own options registered beside ours.

    Those that it declares with ``secret=True`` may refer to a file or a variable, as ours do.

    :raises ConfigError: when one of the values cannot be used.
    :raises PluginError: when the plugin declares an option of our name differently.
    """
    return _group(conf, f"plugin:{name}", [*PLUGIN_OPTS, *map(_as_secret, opts)])


def _as_secret(opt: cfg.Opt) -> cfg.Opt:
    """A copy of a plugin's option of our type, if it is a secret."""
    if not opt.secret or isinstance(opt.type, Secret):
        return opt
    made = copy.copy(opt)
    made.type = Secret(opt.type)
    return made


def lane_group(conf: cfg.ConfigOpts, name: str) -> Any:
    """The values of ``[lane:NAME]``.

    :raises ConfigError: when one of the values cannot be used.
    """
    return _group(conf, f"lane:{name}", LANE_OPTS)


def _group(conf: cfg.ConfigOpts, group: str, opts: Sequence[cfg.Opt]) -> Any:
    try:
        conf.register_opts(opts, group=group)
    except cfg.DuplicateOptError as error:
        raise PluginError(
            f"its option {error.opt_name} has the name of one that every plugin has; rename it"
        ) from None
    for opt in opts:
        try:
            conf[group][opt.dest]
        except (cfg.Error, ValueError) as error:
            raise unusable(group, opt, error) from None
    return conf[group]


def unusable(group: str, opt: cfg.Opt, error: Exception) -> ConfigError:
    """What a value that its type refuses is, as ours."""
    reason = str(error).partition(" is not valid: ")[2] or str(error)
    return ConfigError(f"[{group}] {opt.dest}: {' '.join(reason.split())}")


def as_config_error(error: cfg.Error) -> ConfigError:
    """What oslo.config raised, as ours."""
    if isinstance(error, cfg.ConfigFilesNotFoundError):
        return ConfigError(f"there is no configuration file {', '.join(error.config_files)}")
    if isinstance(error, cfg.ConfigFilesPermissionDeniedError):
        return ConfigError(f"{', '.join(error.config_files)} cannot be read: permission denied")
    if isinstance(error, cfg.ConfigDirNotFoundError):
        return ConfigError(f"there is no configuration folder {error.config_dir}")
    if isinstance(error, cfg.ConfigFileParseError):
        # oslo.config says "at FILE:LINE, what: 'the line'"; the line may hold a password.
        where, _, what = str(error.msg).removeprefix("at ").partition(", ")
        return ConfigError(_one_line(f"{where}: {what.rpartition(': ')[0] or what}"))
    return ConfigError(_one_line(str(error)))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Copies of all options by group, for the sample file (oslo.config's ``oslo.config.opts``)."""
    sections = {**GROUPS, "plugin:name": PLUGIN_OPTS, "lane:name": LANE_OPTS}
    return [(group, copy.deepcopy(opts)) for group, opts in sections.items()]
