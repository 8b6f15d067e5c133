"""What the configuration asks for, checked."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

from eventworker.config import unusable
from eventworker.errors import ConfigError
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.jid import domain, jid
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
    try:
        values["roster_domains"] = _domains(values["roster_domains"], settings.service)
    except PubSubError as error:
        raise ConfigError(f"[xmpp] roster_domains: {error.text}") from None
    return Options(settings, **values)


def _domains(named: list[str], service: str) -> frozenset[str]:
    above = service.partition(".")[2]
    found = frozenset(map(jid, named)) or frozenset([above] if above else [])
    for each in found:
        if each != domain(each):
            raise PubSubError("jid-malformed", text=f"{each} is no domain")
    return found
