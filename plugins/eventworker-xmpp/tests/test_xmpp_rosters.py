"""Nodes for whoever is in a group of their owner's roster, with a server that lets the component
read rosters (XEP-0356)."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

import pytest
from sqlalchemy import select

from eventworker.db import build_engine
from eventworker.pubsub.tables import roster_entry_table
from tests.helpers.pubsub_xml import (
    DATA,
    config,
    create,
    done,
    generic,
    item,
    owner,
    publish,
    refused,
    subscribe,
    tag,
)
from tests.helpers.slixmpp_client import CLIENT, SlixmppClient
from tests.helpers.xmpp import ComponentProcess, Loop
from tests.servers import EjabberdServer, ProsodyServer, XmppServer

MakeComponent = Callable[..., ComponentProcess]
FRIENDS = {"access_model": "roster", "roster_groups_allowed": ["friends &amp; more", "kin"]}
UNLISTED = ("not-authorized", "not-in-roster-group")
UNSUPPORTED = ("not-acceptable", "unsupported-access-model")
_numbers = itertools.count(1)


KINDS: dict[str, type[ProsodyServer] | type[EjabberdServer]] = {
    "prosody": ProsodyServer,
    "ejabberd": EjabberdServer,
}


@pytest.fixture(scope="module")
def server(xmpp_kind: str) -> Iterator[XmppServer]:
    """It lets one component read rosters, as the page sets it up."""
    with KINDS[xmpp_kind](rosters={"pubsub.localhost": "get"}) as running:
        yield running


@pytest.fixture(scope="module")
def component(server: XmppServer, new_component: MakeComponent) -> Iterator[ComponentProcess]:
    # So seldom that what is seen here was not read by the clock.
    with new_component(server, xmpp={"roster_interval": 3600}) as process:
        yield process


@pytest.fixture(scope="module")
def slixmpp_clients(
    loop: Loop, server: XmppServer, component: ComponentProcess
) -> Iterator[Callable[[str], SlixmppClient]]:
    made: dict[str, SlixmppClient] = {}

    def client(account: str) -> SlixmppClient:
        if account not in made:
            jid = f"{server.address(account)}/tests"
            made[account] = SlixmppClient(loop, server, jid, component.jid)
        return made[account]

    yield client
    for each in made.values():
        each.close()


def put(client: SlixmppClient, contact: str, *groups: str) -> None:
    """Have a contact in these groups of the client's roster."""
    key = f"roster-{next(_numbers)}"
    inside = "".join(f"<group>{escape(each)}</group>" for each in groups)
    client.send(
        f"<iq type='set' id='{key}'><query xmlns='jabber:iq:roster'>"
        f"<item jid='{contact}'>{inside}</item></query></iq>"
    )
    answer = client.wait_for(lambda one: one.tag == f"{CLIENT}iq" and one.get("id") == key)
    assert answer.get("type") == "result"


def items(client: SlixmppClient, node: str) -> Element:
    return client.ask("get", generic(tag("items", node)))


def choices(answer: Element) -> list[str | None]:
    """The access models that a form offers."""
    (field,) = [
        each for each in answer.iter(f"{{{DATA}}}field") if each.get("var") == "pubsub#access_model"
    ]
    return [each.findtext(f"{{{DATA}}}value") for each in field.iter(f"{{{DATA}}}option")]


@pytest.mark.ejabberd
@pytest.mark.row("S4", "I1", "I6", "D3")
def test_a_node_is_for_those_in_its_groups(
    alice: SlixmppClient, bob: SlixmppClient, carol: SlixmppClient, node: str
) -> None:
    put(alice, bob.bare, "kin", "work")
    put(alice, carol.bare, "work")
    done(alice.ask("set", create(node, **FRIENDS)))
    done(alice.ask("set", publish(node, item("a"))))

    done(bob.ask("set", subscribe(node, bob.bare)))
    assert [each.get("id") for each in done(items(bob, node)).iter() if each.get("id") == "a"]
    assert refused(carol.ask("set", subscribe(node, carol.bare))) == UNLISTED
    assert refused(items(carol, node)) == UNLISTED
    done(items(alice, node))
    listed = "<query xmlns='http://jabber.org/protocol/disco#items'/>"
    assert node in {each.get("node") for each in bob.ask("get", listed).iter()}
    assert node not in {each.get("node") for each in carol.ask("get", listed).iter()}


@pytest.mark.row("S4", "I1")
def test_what_the_roster_says_counts_from_the_next_request_on(
    alice: SlixmppClient, bob: SlixmppClient, node: str
) -> None:
    put(alice, bob.bare, "work")
    done(alice.ask("set", create(node, **FRIENDS)))
    for _ in range(3):
        assert refused(items(bob, node)) == UNLISTED
        put(alice, bob.bare, "friends & more")
        done(items(bob, node))
        put(alice, bob.bare)


@pytest.mark.ejabberd
@pytest.mark.row("S4")
def test_who_is_taken_out_of_the_group_is_told_nothing_more(
    alice: SlixmppClient, bob: SlixmppClient, carol: SlixmppClient, node: str
) -> None:
    for each in (bob, carol):
        put(alice, each.bare, "kin")
    done(alice.ask("set", create(node, **FRIENDS)))
    for each in (bob, carol):
        done(each.ask("set", subscribe(node, each.bare)))
    done(alice.ask("set", publish(node, item("a"))))
    bob.message(node)

    put(alice, bob.bare, "work")
    done(alice.ask("set", publish(node, item("b"))))
    carol.message(node, 2)
    put(alice, bob.bare, "kin")
    done(alice.ask("set", publish(node, item("c"))))
    carol.message(node, 3)

    bob.message(node, 2)
    assert bob.items(node) == ["a", "c"]
    assert carol.items(node) == ["a", "b", "c"]


@pytest.mark.row("S4")
def test_a_collection_tells_of_a_node_whom_the_node_admits(
    alice: SlixmppClient, bob: SlixmppClient, carol: SlixmppClient, node: str
) -> None:
    put(alice, bob.bare, "kin")
    put(alice, carol.bare)
    above = f"{escape(node)}/all"
    done(alice.ask("set", create(f"{node}/all", node_type="collection")))
    done(alice.ask("set", create(node, collection=above, **FRIENDS)))
    done(alice.ask("set", create(f"{node}/open", collection=above)))
    for each in (bob, carol):
        done(each.ask("set", subscribe(f"{node}/all", each.bare)))

    done(alice.ask("set", publish(node, item("a"))))
    done(alice.ask("set", publish(f"{node}/open", item("b"))))

    carol.message(f"{node}/open")
    bob.message(f"{node}/open")
    assert carol.items(node) == []
    assert bob.items(node) == ["a"]


@pytest.mark.row("C3", "N1")
def test_the_model_is_offered_where_it_can_be_had(alice: SlixmppClient, node: str) -> None:
    offered = done(alice.ask("get", owner("<default/>")))
    assert "roster" in choices(offered)
    done(alice.ask("set", create(node)))
    done(alice.ask("set", owner(tag("configure", node, config(**FRIENDS)))))
    shown = done(alice.ask("get", owner(tag("configure", node))))
    assert "roster" in choices(shown)


@pytest.mark.row("S4")
def test_no_more_of_a_roster_is_kept_than_nodes_ask_for(
    alice: SlixmppClient, bob: SlixmppClient, component: ComponentProcess, node: str
) -> None:
    put(alice, bob.bare, "secret circle", "kin")
    done(alice.ask("set", create(node, **FRIENDS)))
    done(items(bob, node))
    engine = build_engine(component.url)
    with engine.connect() as connection:
        kept = set(connection.scalars(select(roster_entry_table.c.group_name)))
    engine.dispose()
    assert kept <= {"kin", "friends & more"}


@pytest.mark.row("C3", "D1", "S4")
def test_without_the_permission_the_model_is_not_supported(
    loop: Loop, server: XmppServer, make_component: MakeComponent, node: str
) -> None:
    made = make_component(server, jid="other.localhost").start()
    with SlixmppClient(loop, server, f"{server.address('dave')}/own", made.jid) as dave:
        assert refused(dave.ask("set", create(node, **FRIENDS))) == UNSUPPORTED
        done(dave.ask("set", create(node)))
        changed = dave.ask("set", owner(tag("configure", node, config(**FRIENDS))))
        assert refused(changed) == UNSUPPORTED
        assert "roster" not in choices(done(dave.ask("get", owner("<default/>"))))
        assert "roster" not in choices(done(dave.ask("get", owner(tag("configure", node)))))
    assert made.stop() == 0


@pytest.mark.row("S4", "D1")
def test_a_permission_that_somebody_else_grants_is_none(
    loop: Loop, server: XmppServer, make_component: MakeComponent, node: str
) -> None:
    made = make_component(server, jid="other.localhost").start()
    with SlixmppClient(loop, server, f"{server.address('dave')}/own", made.jid) as dave:
        for version in (1, 2):
            dave.send(
                f"<message to='{made.jid}'><privilege xmlns='urn:xmpp:privilege:{version}'>"
                "<perm access='roster' type='both'/></privilege></message>"
            )
        assert refused(dave.ask("set", create(node, **FRIENDS))) == UNSUPPORTED
    assert made.stop() == 0


@pytest.mark.row("S4", "C3")
def test_nodes_are_closed_when_the_permission_is_gone_and_open_when_it_is_back(
    own_xmpp_server: Callable[..., XmppServer],
    loop: Loop,
    make_component: MakeComponent,
    node: str,
) -> None:
    granted, withdrawn = {"pubsub.localhost": "get"}, {"pubsub.localhost": "none"}
    own = own_xmpp_server(rosters=granted)
    made = make_component(own).start()
    with SlixmppClient(loop, own, f"{own.address('alice')}/own", made.jid) as alice:
        put(alice, own.address("bob"), "kin")
        done(alice.ask("set", create(node, **FRIENDS)))
        with SlixmppClient(loop, own, f"{own.address('bob')}/own", made.jid) as bob:
            done(bob.ask("set", subscribe(node, bob.bare)))
            done(items(bob, node))
    for change, wanted in ((withdrawn, UNLISTED), (granted, None)):
        own.stop()
        own.grant_rosters(change)
        times = made.connections()
        own.start()
        made.wait_connected(times + 1)
        with (
            SlixmppClient(loop, own, f"{own.address('alice')}/own", made.jid) as alice,
            SlixmppClient(loop, own, f"{own.address('bob')}/own", made.jid) as bob,
        ):
            answer = items(bob, node)
            if wanted is None:
                done(answer)
            else:
                assert refused(answer) == wanted
            done(alice.ask("set", publish(node, item("x"))))
            again = alice.ask("set", create(f"{node}/2", **FRIENDS))
            if wanted is None:
                done(again)
                bob.message(node)
            else:
                assert refused(again) == UNSUPPORTED
    assert made.stop() == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="aioxmpp does not run there")
@pytest.mark.row("S4", "I6")
def test_aioxmpp_hears_that_it_is_in_no_such_group(
    loop: Loop,
    server: XmppServer,
    component: ComponentProcess,
    alice: SlixmppClient,
    node: str,
) -> None:
    import aioxmpp.errors
    import aioxmpp.pubsub.xso

    from tests.helpers.aioxmpp_client import AioxmppClient

    done(alice.ask("set", create(node, **FRIENDS)))
    put(alice, server.address("dave"))
    dave = AioxmppClient(loop, server, "dave", component.jid)
    try:
        for ask in (dave.subscribe, dave.get_items):
            with pytest.raises(aioxmpp.errors.XMPPAuthError) as caught:
                ask(node)
            told = caught.value.application_defined_condition
            assert isinstance(told, aioxmpp.pubsub.xso.NotInRosterGroup)
        put(alice, server.address("dave"), "kin")
        dave.subscribe(node)
        done(alice.ask("set", publish(node, item("a"))))
        dave.signal("on_item_published", node)
    finally:
        dave.close()
