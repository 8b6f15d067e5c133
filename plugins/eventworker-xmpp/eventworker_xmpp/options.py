"""Options of the component, group ``[xmpp]``."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

from eventworker.pubsub.options import Settings
from eventworker.secret import Secret

GROUP = "xmpp"

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt("host", default="127.0.0.1", help="Host of the XMPP server that takes components."),
    cfg.PortOpt("port", default=5347, help="TCP port on which it does."),
    cfg.Opt(
        "secret",
        type=Secret(),
        secret=True,
        help="Secret that the server has for the component. Empty: there is none, and the daemon "
        "starts none. file:PATH stands for the contents of a file, env:NAME for an environment "
        "variable.",
    ),
    cfg.BoolOpt(
        "legacy_subscription_messages",
        default=True,
        help="Send a change of a subscription also in the form that aioxmpp and other older "
        "clients read, in a message of its own.",
    ),
    cfg.IntOpt(
        "max_stanza_bytes",
        default=256 * 1024,
        min=10000,
        max=2**24,
        help="Largest stanza, in both directions. It must not be more than the server takes from "
        "a component (Prosody: 512 KiB, component_stanza_size_limit), or the server would end the "
        "connection.",
    ),
    cfg.IntOpt(
        "threads",
        default=4,
        min=1,
        max=64,
        help="Requests that are worked on at the same time, each with a database connection. "
        "Those of one sender are done one after the other.",
    ),
    cfg.FloatOpt(
        "reconnect_delay",
        default=60.0,
        min=0.1,
        help="Longest pause in seconds between tries to connect.",
    ),
    cfg.ListOpt(
        "roster_domains",
        default=[],
        help="Domains of the XMPP server's accounts, whose rosters nodes of the access model "
        "roster ask, if the server lets the component read them (XEP-0356). Empty: the domain "
        "above the service's address, as example.org is above pubsub.example.org.",
    ),
    cfg.FloatOpt(
        "roster_interval",
        default=60.0,
        min=1,
        max=86400,
        help="Seconds between two readings of the rosters that nodes ask, for those who ask the "
        "service past the XMPP server. For XMPP clients a roster is read each time.",
    ),
]


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """The options by group, for the generated sample file."""
    return [(GROUP, copy.deepcopy(OPTIONS))]


def register(conf: Any) -> None:
    """Make the options known to ``conf``; calling it again changes nothing."""
    conf.register_opts(OPTIONS, group=GROUP)


@dataclass(frozen=True, slots=True)
class Options:
    """The values of the options.

    :ivar settings: of the service.
    """

    settings: Settings
    host: str
    port: int
    secret: str
    legacy_subscription_messages: bool = True
    max_stanza_bytes: int = 256 * 1024
    threads: int = 4
    reconnect_delay: float = 60.0
    roster_domains: frozenset[str] = frozenset()
    roster_interval: float = 60.0

    @property
    def jid(self) -> str:
        """Address of the component, which is the service's."""
        return self.settings.service
