"""Options of the service, group ``[pubsub]``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from oslo_config import cfg

from eventworker.config import unusable
from eventworker.errors import ConfigError
from eventworker.pubsub.config import NodeConfig, wrong_number
from eventworker.pubsub.errors import PubSubError
from eventworker.pubsub.facts import Actor
from eventworker.pubsub.forms import PREFIX, filled_in
from eventworker.pubsub.hooks import options as hook_options
from eventworker.pubsub.jid import bare, jid

GROUP = "pubsub"

OPTIONS: list[cfg.Opt] = [
    cfg.StrOpt(
        "service",
        default="pubsub.localhost",
        help="Address of the service, such as pubsub.example.org. The accounts of plugins and of "
        "other local clients are NAME@ this address.",
    ),
    cfg.ListOpt(
        "admins",
        default=[],
        help="Addresses, without resource, of those who may do everything at every node.",
    ),
    cfg.StrOpt(
        "creators",
        default="admins",
        choices=["admins", "everyone"],
        help="Who may create nodes. The accounts at the service's own address always may.",
    ),
    cfg.BoolOpt(
        "auto_create",
        default=False,
        help="Whether publishing to a node that is not there creates it, for those who may.",
    ),
    cfg.BoolOpt(
        "multi_subscribe",
        default=False,
        help="Whether an address may subscribe to a node more than once; subscriptions then have "
        "ids. Without it a second request answers with the subscription that is there.",
    ),
    cfg.DictOpt(
        "node_defaults",
        default={},
        help="Configuration of new nodes where it differs from the service's own, as FIELD:VALUE, "
        "such as access_model:whitelist, max_items:100.",
    ),
    cfg.IntOpt(
        "max_items",
        default=10000,
        min=1,
        help="Items that a node keeps at the most; what max means in its configuration.",
    ),
    cfg.IntOpt(
        "max_payload_size",
        default=65536,
        min=1,
        help="Bytes of a payload at the most; what max means in a node's configuration.",
    ),
    cfg.IntOpt("max_batch", default=100, min=1, help="Items in one request at the most."),
    cfg.IntOpt(
        "max_nodes",
        default=1000,
        min=0,
        help="Nodes that one address may have made at the most, as long as they are there or lead "
        "somewhere else; admins excepted; 0 for no limit.",
    ),
    cfg.IntOpt(
        "max_subscriptions",
        default=1000,
        min=0,
        help="Subscriptions that one address, without resource, may have at the most of those that "
        "it has asked for, and of those that owners have made for it; 0 for no limit.",
    ),
    cfg.IntOpt(
        "longest_lease",
        default=0,
        min=0,
        help="Seconds that a subscription lasts at the most, renewed by subscribing again or by "
        "its options; 0 for no limit.",
    ),
    cfg.IntOpt(
        "lease_reminder",
        default=3600,
        min=0,
        help="Seconds before the end of a lease that its subscriber is reminded; 0 for never.",
    ),
    cfg.StrOpt(
        "without_options",
        default="accept",
        choices=["accept", "wait", "refuse"],
        help="What becomes of a request to subscribe that has no options: it is accepted with the "
        "default ones, or waits as unconfigured until options are set, or is refused.",
    ),
    cfg.BoolOpt(
        "hide_closed_nodes",
        default=False,
        help="Whether a node is as good as not there (item-not-found) for those who may neither "
        "subscribe, retrieve nor publish there and are nothing to it. XEP-0060 has them told what "
        "keeps them out, and by that, that there is such a node. Who may create nodes can still "
        "find out by creating one.",
    ),
    cfg.IntOpt(
        "max_bounces",
        default=10,
        min=1,
        help="Notifications that an address may answer with an error, without becoming available "
        "or subscribing again in between, before its subscription ends.",
    ),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known to ``conf``; calling it again changes nothing."""
    conf.register_opts(OPTIONS, group=GROUP)


@dataclass(frozen=True)
class Settings:
    """The values of the options that the service works by."""

    service: str = "pubsub.localhost"
    admins: frozenset[str] = frozenset()
    creators: str = "admins"
    auto_create: bool = False
    multi_subscribe: bool = False
    node_defaults: NodeConfig = field(default_factory=NodeConfig)
    max_items: int = 10000
    max_payload_size: int = 65536
    max_batch: int = 100
    max_nodes: int = 1000
    max_subscriptions: int = 1000
    longest_lease: int = 0
    lease_reminder: int = 3600
    without_options: str = "accept"
    hide_closed_nodes: bool = False
    max_bounces: int = 10
    #: Whether nodes have hooks; from the group ``[hooks]``.
    hooks: bool = False

    @cached_property
    def itself(self) -> Actor:
        """The service as one who asks: it may do everything."""
        return Actor(self.service, is_admin=True)

    def actor(self, address: str) -> Actor:
        """Whoever asks under this address."""
        return Actor(address, is_admin=bare(address) in self.admins)


def settings_of(conf: cfg.ConfigOpts) -> Settings:
    """The settings that the configuration asks for.

    :raises ConfigError: when a value cannot be used.
    """
    register(conf)
    values: dict[str, Any] = {}
    for opt in OPTIONS:
        try:
            values[opt.dest] = conf[GROUP][opt.dest]
        except (cfg.Error, ValueError) as error:
            raise unusable(GROUP, opt, error) from None
    readers: dict[str, Callable[[Any], Any]] = {
        "service": jid,
        "admins": lambda addresses: frozenset(bare(jid(each)) for each in addresses),
        "node_defaults": lambda fields: _defaults(
            fields, values["max_items"], values["max_payload_size"]
        ),
    }
    for name, read in readers.items():
        try:
            values[name] = read(values[name])
        except (PubSubError, ValueError) as error:
            raise ConfigError(f"[{GROUP}] {name}: {error}") from None
    return Settings(hooks=hook_options.is_on(conf), **values)


def named_fields(values: dict[str, str]) -> dict[str, list[str]]:
    """Fields as an option has them, by their short names, as a form has them."""
    return {PREFIX + name.removeprefix(PREFIX): [value] for name, value in values.items()}


def _defaults(values: dict[str, str], max_items: int, max_payload_size: int) -> NodeConfig:
    made = filled_in(NodeConfig(), named_fields(values), strict=True)
    if wrong := wrong_number(made, max_items, max_payload_size):
        raise ValueError(wrong)
    return made
