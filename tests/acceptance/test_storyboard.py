"""A StoryBoard as it is: its configuration file, its publisher, its tables, its manual's plugin."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pytest

from eventworker.event import uuid7
from tests.acceptance.installation import HERE, Installation
from tests.acceptance.site import QUEUE, Site
from tests.helpers.rabbit import channel_at
from tests.servers import Vhost, wait_until

#: The options that an installed StoryBoard has, with its comments and its spelling.
STORYBOARD_CONF = """\
[DEFAULT]
# Default log level is INFO
verbose = True

# Print debugging output (set logging level to DEBUG instead of default INFO level)
debug = True

# Directory in which lock files will be stored
lock_path = {folder}/lock
working_directory = {folder}

log_format = %(asctime)s %(levelname)8s [%(name)s] %(message)s
log_date_format = %Y-%m-%d %H:%M:%S
log_file = daemon-1.log
log_dir = {folder}
use_syslog = False
publish_errors = False

# Address to bind the API server
bind_host = 0.0.0.0
bind_port = 8080

openid_url = https://login.launchpad.net/+openid
enable_editing = True
valid_oauth_clients = storyboard.example.org
enable_notifications = True
default_url = storyboard.example.org

[oauth]
authorization_code_ttl = 300
access_token_ttl = 3600
refresh_token_ttl = 604800
openid_url = https://login.launchpad.net/+openid

[scheduler]
enable = True

[cron]
plugin = storyboard.plugin.cron.manager:CronManager

[cors]
allowed_origins = https://storyboard.example.org
max_age = 3600

[notifications]
rabbit_host = {vhost.host}
rabbit_login_method = AMQPLAIN
rabbit_userid = {vhost.user}
rabbit_password = {vhost.password}
rabbit_port = {vhost.port}
rabbit_virtual_host = {vhost.vhost}
rabbit_application_name = storyboard
rabbit_exchange_name = storyboard
rabbit_event_queue_name = storyboard_events
rabbit_connection_attempts = 6
rabbit_retry_delay = 10

[database]
connection = {url}
max_retries = -1
pool_recycle = 3600

[plugin_token_cleaner]
enable = True

[plugin_email]
enable = False
sender = StoryBoard <noreply@storyboard.example.org>
"""


@pytest.fixture(scope="module")
def storyboard(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An environment with eventworker, storyboard-compat and the plugin of StoryBoard's manual."""
    made = Installation(tmp_path_factory.mktemp("storyboard") / "venv")
    made.link_dependencies()
    names = ("eventworker", "storyboard-compat", "my-storyboard-plugin")
    made.install("--no-deps", *(wheels[name] for name in names))
    return made


def publish_as_storyboard(vhost: Vhost, *payloads: dict[str, Any], with_ids: bool = False) -> None:
    """The few lines of StoryBoard's publisher: transient, no id, nothing but the body."""
    with channel_at(vhost) as channel:
        channel.exchange_declare(exchange="storyboard", exchange_type="topic", durable=True)
        for payload in payloads:
            channel.basic_publish(
                exchange="storyboard",
                routing_key=payload["resource"],
                body=json.dumps(payload),
                properties=pika.BasicProperties(
                    content_type="application/json",
                    message_id=str(uuid7()) if with_ids else None,
                ),
            )


def payload_of(event_id: int, author_id: int, story_id: int = 1) -> dict[str, Any]:
    return {
        "author_id": author_id,
        "method": "PUT",
        "url": "https://storyboard.example.org/#!/story/1",
        "path": f"/v1/stories/{story_id}",
        "query_string": "",
        "status": 200,
        "resource": "timeline_event",
        "resource_id": event_id,
        "sub_resource": None,
        "sub_resource_id": None,
        "resource_before": None,
        "resource_after": None,
    }


def test_the_plugin_of_the_manual_tells_every_subscriber_of_a_published_event(
    storyboard: Installation,
    make_site: Callable[..., Site],
    database: str,
    vhost: Vhost,
    tmp_path: Path,
) -> None:
    site = make_site(database, vhost)
    site.installation = storyboard
    site.file = tmp_path / "storyboard.conf"
    site.file.write_text(STORYBOARD_CONF.format(folder=tmp_path, vhost=vhost, url=database))
    made = storyboard.run("python", HERE / "storyboard_tables.py", database)
    assert made.returncode == 0, made.stderr
    known = json.loads(made.stdout)

    daemon = site.start(workers=2)
    daemon.says("plugin my-worker-plugin (my-storyboard-plugin) is on")
    publish_as_storyboard(vhost, payload_of(known["event"], known["author"]))
    rows = "SELECT subscriber_id, author_id, event_type, event_info FROM subscription_events"
    wait_until(lambda: len(site.probe.rows(rows)) >= 2, 30, "the subscribers are not told")
    site.stop_all()

    info = json.dumps({"title": "Das Dach hat ein Löch"})
    assert sorted(site.probe.rows(rows)) == [
        (subscriber, known["author"], "story_details_changed", info)
        for subscriber in known["subscribers"]
    ]
    assert site.probe.deliveries() == {}
    assert f"consuming {QUEUE}" in daemon.output()


#: Its own handler of subscriptions takes the place of the manual's plugin, which does less.
OWN_SUBSCRIPTIONS = """
[plugins]
disabled = my-worker-plugin

[plugin:storyboard-subscription]
enabled = True
"""


@pytest.fixture
def subscribed(
    storyboard: Installation,
    make_site: Callable[..., Site],
    database: str,
    vhost: Vhost,
    tmp_path: Path,
) -> tuple[Site, dict[str, Any]]:
    """A site with StoryBoard's own handler of subscriptions, and what is known of its tables."""
    site = make_site(database, vhost)
    site.installation = storyboard
    site.file = tmp_path / "storyboard.conf"
    text = STORYBOARD_CONF.format(folder=tmp_path, vhost=vhost, url=database)
    site.file.write_text(text + OWN_SUBSCRIPTIONS)
    made = storyboard.run("python", HERE / "storyboard_tables.py", database)
    assert made.returncode == 0, made.stderr
    return site, json.loads(made.stdout)


def add_entries(site: Site, author: int, numbers: range) -> None:
    """Entries in the timeline of story 1, whose information is their number."""
    site.probe.execute(
        "INSERT INTO events (id, story_id, author_id, event_type, event_info)"
        f" SELECT number, 1, {author}, 'tags_added', number"
        f" FROM generate_series({numbers.start}, {numbers.stop - 1}) AS number"
    )


TOLD = (
    "SELECT subscriber_id, author_id, event_info FROM subscription_events"
    " WHERE event_type = 'tags_added'"
)


def once_each(known: dict[str, Any], numbers: range) -> list[tuple[int, int, str]]:
    return [
        (subscriber, known["author"], str(number))
        for subscriber in known["subscribers"]
        for number in numbers
    ]


def test_storyboards_own_subscriptions_are_told_once_though_a_consumer_is_killed(
    subscribed: tuple[Site, dict[str, Any]], vhost: Vhost
) -> None:
    site, known = subscribed
    author, numbers = known["author"], range(1000, 1300)
    add_entries(site, author, numbers)

    daemon = site.start(workers=2)
    # With ids: without, an event whose consumer dies just before its ack may be told again.
    payloads = (payload_of(number, author) for number in numbers)
    publish_as_storyboard(vhost, *payloads, with_ids=True)
    wait_until(lambda: site.probe.rows(TOLD), 30, "the subscribers are not told")
    os.kill(daemon.children("consumer")[0], signal.SIGKILL)
    daemon.says("killed by signal SIGKILL")
    expected = once_each(known, numbers)
    wait_until(lambda: len(site.probe.rows(TOLD)) >= len(expected), 30, "some are not told")
    deletion = payload_of(1, author) | {"method": "DELETE", "resource": "story"}
    publish_as_storyboard(vhost, deletion)
    followed = "SELECT count(*) FROM subscriptions"
    wait_until(lambda: site.probe.number(followed) == 0, 30, "its subscriptions are still there")
    site.stop_all()

    assert sorted(site.probe.rows(TOLD)) == expected
    assert site.probe.deliveries() == {}


def test_an_entry_that_is_published_before_it_is_committed_is_told_all_the_same(
    subscribed: tuple[Site, dict[str, Any]], vhost: Vhost
) -> None:
    site, known = subscribed
    number = range(1000, 1001)
    site.start(workers=1)
    publish_as_storyboard(vhost, payload_of(number.start, known["author"]))
    wait_until(lambda: site.probe.deliveries(), 30, "the event is not put off")
    assert site.probe.rows(TOLD) == []

    add_entries(site, known["author"], number)
    wait_until(lambda: len(site.probe.rows(TOLD)) >= 2, 30, "the subscribers are not told")
    site.stop_all()
    assert sorted(site.probe.rows(TOLD)) == once_each(known, number)
    assert site.probe.deliveries() == {}


def test_the_old_file_is_found_to_be_right(
    storyboard: Installation, database: str, vhost: Vhost, tmp_path: Path
) -> None:
    file = tmp_path / "storyboard.conf"
    file.write_text(STORYBOARD_CONF.format(folder=tmp_path, vhost=vhost, url=database))
    checked = storyboard.run("eventworker", "--config-file", file, "config", "check", "--connect")
    assert checked.returncode == 0, checked.stdout + checked.stderr
