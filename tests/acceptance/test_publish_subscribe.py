"""A change in an application reaches an XMPP client, and a user's hook, over a node."""

import sys
from contextlib import closing
from http.client import HTTPConnection

import pytest

from eventworker.pubsub import PubSubError, SyncPubSubClient
from eventworker.pubsub.contents import json_of
from tests.acceptance.application import ask, tracker
from tests.acceptance.site import Site
from tests.helpers.hooks import isolation_here
from tests.helpers.xmpp import Loop
from tests.servers import ProsodyServer, wait_until
from tests.servers.ports import HOST

ECHO = """
data = item.json["data"]
client.pubsub.publish("echo", {"title": data["resource_after"]["title"]}, id=item.id)
"""


@pytest.fixture
def published(site: Site, prosody_server: ProsodyServer) -> Site:
    """A site whose events are published, to an XMPP server too, and whose nodes may have hooks."""
    site.configure(
        plugins={"only": "pubsub-publish"},
        pubsub={"service": prosody_server.component},
        **{"plugin_pubsub-publish": {"enabled": True, "node_config": "access_model:open"}},
        xmpp={
            "host": prosody_server.host,
            "port": prosody_server.component_port,
            "secret": prosody_server.secret,
        },
        hooks={"enabled": True, "isolation": isolation_here().value, "memory": 1024},
    )
    return site


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="aioxmpp does not run on Python 3.13")
def test_a_change_reaches_an_xmpp_client_and_a_hook_once(
    published: Site, prosody_server: ProsodyServer
) -> None:
    from tests.helpers.aioxmpp_client import AioxmppClient

    site = published
    site.start(workers=2).says("as pubsub.localhost", timeout=30)
    with (
        closing(SyncPubSubClient(site.url, prosody_server.component)) as service,
        Loop() as loop,
        closing(AioxmppClient(loop, prosody_server, "bob", prosody_server.component)) as bob,
        tracker(site.installation, site.folder, site.url) as port,
        closing(HTTPConnection(HOST, port, timeout=30)) as api,
    ):
        ask(api, "POST", "/v1/users", {"name": "ann"})
        story = ask(api, "POST", "/v1/stories", {"title": "The roof leaks"})["id"]
        node = f"story/{story}"
        wait_until(lambda: is_there(service, node), 20, "no node")
        site.command("pubsub", "node", "create", "echo")
        site.command(
            *("pubsub", "node", "hook", "create", "-n", node, "-t", "python_code", "-P", ECHO)
        )
        bob.subscribe("story")
        for title in ("The chimney leaks", "It is dry"):
            ask(api, "PUT", f"/v1/stories/{story}", {"title": title})
        events = [event_of(bob.signal("on_item_published", node, n)) for n in (1, 2)]
        titles = sorted(event["data"]["resource_after"]["title"] for event in events)
        assert titles == ["It is dry", "The chimney leaks"]
        wait_until(lambda: len(echoes(service)) == 2, 30, lambda: f"{hooks(site)}")
        assert echoes(service) == {
            event["id"]: event["data"]["resource_after"]["title"] for event in events
        }
        # A run is written down when it has ended, which is after what it publishes.
        wait_until(
            lambda: [(hook["state"], hook["runs"]) for hook in hooks(site)] == [("ok", 2)],
            30,
            lambda: f"{hooks(site)}",
        )
        assert len([fired for fired in bob.fired if fired.name == "on_item_published"]) == 2
    site.stop_all()


def is_there(service: SyncPubSubClient, node: str) -> bool:
    try:
        service.get_items(None, node)
    except PubSubError:
        return False
    return True


def event_of(fired: object) -> dict[str, object]:
    item = fired.arguments[2]  # type: ignore[attr-defined]
    return item.registered_payload.json_data  # type: ignore[no-any-return]


def echoes(service: SyncPubSubClient) -> dict[str, str]:
    return {item.id: json_of(item)["title"] for item in service.get_items(None, "echo")}


def hooks(site: Site) -> list[dict[str, object]]:
    found: list[dict[str, object]] = site.json("pubsub", "hook", "list")
    return found
