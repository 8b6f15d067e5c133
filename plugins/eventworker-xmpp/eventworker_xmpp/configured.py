"""What the configuration asks for, checked."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from eventworker.config import unusable
from eventworker.errors import ConfigError
from eventworker.pubsub.options import settings_of
from eventworker_xmpp.options import GROUP, OPTIONS, Options, register


def options_of(conf: Any) -> Options:
    """The options that the configuration asks for.

    :raises ConfigError: when one cannot be used.
    """
    register(conf)
    values = {}
    for opt in OPTIONS:
        try:
            values[opt.dest] = conf[GROUP][opt.dest]
        except (cfg.Error, ValueError) as error:
            raise unusable(GROUP, opt, error) from None
    if not values["secret"]:
        raise ConfigError(
            "[xmpp] secret is not set; write what the XMPP server has as the component's secret"
        )
    settings = settings_of(conf)
    if "@" in settings.service or "/" in settings.service:
        raise ConfigError(
            f"[pubsub] service: {settings.service} is no address of a component, such as "
            "pubsub.example.org"
        )
    return Options(settings, **values)
