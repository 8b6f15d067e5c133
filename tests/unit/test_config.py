"""The options, as data: StoryBoard's names and defaults, and a group for each plugin."""

import pytest
from oslo_config import cfg

from eventworker import config
from eventworker.errors import ConfigError
from eventworker.plugin import resource_class
from eventworker.transports.rabbit import settings_from
from tests.helpers.configuration import configuration

#: As in StoryBoard's own notifications/conf.py; an existing file must go on working.
STORYBOARDS = {
    "rabbit_host": "localhost",
    "rabbit_port": 5672,
    "rabbit_userid": "storyboard",
    "rabbit_password": "storyboard",
    "rabbit_virtual_host": "/",
    "rabbit_exchange_name": "storyboard",
    "rabbit_event_queue_name": "storyboard_events",
    "rabbit_application_name": "storyboard",
    "rabbit_connection_attempts": 6,
    "rabbit_retry_delay": 10,
}


def test_the_defaults_are_storyboards(conf: cfg.ConfigOpts) -> None:
    assert {name: conf.notifications[name] for name in STORYBOARDS} == STORYBOARDS
    assert conf.enable_notifications is False
    assert conf.worker_count == 5
    assert conf.notifications.driver == "rabbit"


def test_registering_twice_changes_nothing(conf: cfg.ConfigOpts) -> None:
    conf.set_override("worker_count", 2)
    config.register(conf)
    assert conf.worker_count == 2


def test_every_option_explains_itself() -> None:
    silent = [
        f"[{group}] {option.name}"
        for group, options in config.list_opts()
        for option in options
        if not option.help
    ]
    assert silent == []


def test_the_sample_lists_every_group_with_copies(conf: cfg.ConfigOpts) -> None:
    listed = dict(config.list_opts())
    assert {*config.GROUPS, "plugin:name", "lane:name"} <= {name.lower() for name in listed} | {
        "DEFAULT"
    }
    assert listed["database"][0] is not config.DATABASE_OPTS[0]


def test_each_plugin_has_a_group_of_its_own(conf: cfg.ConfigOpts) -> None:
    one = config.plugin_group(conf, "one", [cfg.StrOpt("colour", default="red")])
    two = config.plugin_group(conf, "two")
    conf.set_override("max_attempts", 3, group="plugin:one")
    assert (one.max_attempts, one.colour, two.max_attempts) == (3, "red", 10)
    assert config.lane_group(conf, "slow").worker_count == 1


def test_every_rabbit_option_reaches_the_settings() -> None:
    values: dict[str, object] = {
        **{f"rabbit_{name}": f"the {name}" for name in ("host", "userid", "password")},
        "rabbit_virtual_host": "v",
        "rabbit_login_method": "EXTERNAL",
        "rabbit_exchange_name": "e",
        "rabbit_event_queue_name": "q",
        "rabbit_queue_type": "quorum",
        "rabbit_binding_keys": ["a", "b"],
        "rabbit_application_name": "app",
        "wire_format": "cloudevents",
        "cloudevents_source": "/us",
        "cloudevents_type_prefix": "com.x",
        "rabbit_tls": True,
        "rabbit_tls_server_name": "name",
        "rabbit_heartbeat": 7,
        "rabbit_retry_delay": 3,
        "rabbit_connection_attempts": 2,
    }
    settings = settings_from(configuration(notifications=values))
    assert (settings.host, settings.userid, settings.password) == (
        "the host",
        "the userid",
        "the password",
    )
    assert (settings.virtual_host, settings.exchange, settings.queue) == ("v", "e", "q")
    assert (settings.queue_type, settings.binding_keys) == ("quorum", ("a", "b"))
    assert (settings.login_method, settings.application) == ("EXTERNAL", "app")
    assert (settings.wire_format, settings.cloudevents_source) == ("cloudevents", "/us")
    assert settings.cloudevents_type_prefix == "com.x"
    assert (settings.tls, settings.tls_server_name) == (True, "name")
    assert (settings.heartbeat, settings.retry_delay, settings.connection_attempts) == (7, 3, 2)


@pytest.mark.parametrize("path", ["collections:OrderedDict", "collections.OrderedDict"])
def test_a_resource_is_mapped_to_the_class_that_is_named(path: str) -> None:
    conf = configuration(plugins={"resource_classes": {"user": path}})
    named = resource_class(conf, "user")
    assert named is not None
    assert named.__name__ == "OrderedDict"
    assert resource_class(conf, "story") is None


@pytest.mark.parametrize("path", ["nowhere.at.all:User", "collections:User", "User", ""])
def test_a_class_that_cannot_be_imported_is_named_with_the_option(path: str) -> None:
    conf = configuration(plugins={"resource_classes": {"user": path}})
    with pytest.raises(ConfigError, match="resource_classes"):
        resource_class(conf, "user")
