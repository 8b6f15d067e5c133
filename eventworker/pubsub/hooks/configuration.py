"""The part of the configuration that a hook may read: all but secrets."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from eventworker import config
from eventworker.pubsub import options as pubsub_options
from eventworker.pubsub.hooks import options as hook_options
from eventworker.secret import Secret, hidden


def readable(conf: cfg.ConfigOpts) -> dict[str, dict[str, Any]]:
    """Values by group and option; what is or has a secret is left out."""
    groups = {
        **config.GROUPS,
        pubsub_options.GROUP: pubsub_options.OPTIONS,
        hook_options.GROUP: hook_options.OPTIONS,
    }
    pubsub_options.register(conf)
    hook_options.register(conf)
    return {
        group: {
            opt.dest: _plain(_value(conf, group, opt)) for opt in options if not _is_secret(opt)
        }
        for group, options in groups.items()
    }


def _is_secret(opt: cfg.Opt) -> bool:
    return bool(opt.secret) or isinstance(opt.type, Secret)


def _value(conf: cfg.ConfigOpts, group: str, opt: cfg.Opt) -> Any:
    return (conf if group == "DEFAULT" else conf[group])[opt.dest]


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return hidden(str(value))
