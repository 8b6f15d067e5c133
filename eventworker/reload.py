"""Reading the configuration's files again, at SIGHUP: all that they say, or nothing."""

from __future__ import annotations

import logging

from oslo_config import cfg

from eventworker.config import GROUPS, as_config_error, register, unusable
from eventworker.errors import ConfigError


def reload(conf: cfg.ConfigOpts) -> list[tuple[str, str]]:
    """Read the mutable options again; returns group and name of those that have changed.

    oslo.config itself takes over what it can read, and complains of the rest at its next use. So
    the files are tried as a whole first.

    :raises ConfigError: when a file cannot be read or has a value that cannot be used, whether that
        one is read again or only at the next start; nothing has changed then.
    """
    try:
        _try_out(conf)
        return _take_over(conf)
    except cfg.Error as error:
        raise as_config_error(error) from None
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError("a configuration file is UTF-8") from None


def _try_out(conf: cfg.ConfigOpts) -> None:
    tried = cfg.ConfigOpts()
    register(tried)
    tried([], default_config_files=conf.config_file, default_config_dirs=conf.config_dir)
    for group, opts in GROUPS.items():
        for opt in opts:
            try:
                tried[opt.dest] if group == "DEFAULT" else tried[group][opt.dest]
            except (cfg.Error, ValueError) as error:
                raise unusable(group, opt, error) from None


def _take_over(conf: cfg.ConfigOpts) -> list[tuple[str, str]]:
    # It logs the old value and the new one of what has changed, also of a secret.
    logger = logging.getLogger("oslo_config.cfg")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        changed = conf.mutate_config_files()
    finally:
        logger.setLevel(level)
    return [(group or "DEFAULT", name) for group, name in changed]
