"""Permissions and rosters as a server sends them, and as it should not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from eventworker.pubsub.jid import bare
from tests.helpers.fake_xmpp_server import FakeServer
from tests.helpers.pubsub_xml import create, generic, item, publish, subscribe, tag
from tests.helpers.roster_server import (
    ALICE,
    BOB,
    CONTACT,
    FRIENDS,
    MAX_BYTES,
    ROSTER,
    UNLISTED,
    UNSUPPORTED,
    Server,
    condition,
    error,
    grant,
    numbers,
)
from tests.helpers.xmpp import ComponentProcess
from tests.servers import wait_until

MakeComponent = Callable[..., ComponentProcess]


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


@pytest.fixture
def start(fake: FakeServer, make_component: MakeComponent) -> Callable[..., ComponentProcess]:
    """Starts a component of that server, with options."""

    def make(**options: object) -> ComponentProcess:
        xmpp = {"port": fake.port, "secret": "s", "max_stanza_bytes": MAX_BYTES, **options}
        return make_component(None, xmpp=xmpp).start()

    return make


@pytest.fixture
def host(fake: FakeServer, start: Callable[..., ComponentProcess]) -> Server:
    """The server of a component that reads rosters when it has to."""
    start(roster_interval=3600)
    return Server(fake.connection())


@pytest.fixture
def granting(host: Server) -> Server:
    """The same, when it has let the component read them, and alice has a node for her friends."""
    grant(host.line)
    wait_until(lambda: host.make("news") == "done", 10, "it is not heeded")
    assert host.look() == "done"
    return host


@pytest.mark.row("C3")
def test_only_what_the_server_grants_to_read_counts(host: Server) -> None:
    for kind, version, sender in (
        ("both", 2, "example.org"),
        ("both", 2, "alice@localhost"),
        ("both", 2, "localhost/x"),
        ("both", 2, "pubsub.localhost"),
        ("both", 3, "localhost"),
        ("set", 2, "localhost"),
        ("none", 1, "localhost"),
        ("managed_entity", 2, "localhost"),
    ):
        grant(host.line, kind, version, sender)
    assert host.make() == UNSUPPORTED
    for kind, version in (("get", 2), ("both", 2), ("get", 1), ("both", 1)):
        grant(host.line, kind, version)
        wait_until(lambda: host.make() == "done", 10, "it is not heeded")
        grant(host.line, "none", version)
        wait_until(lambda: host.make() == UNSUPPORTED, 10, "it is not withdrawn")


@pytest.mark.row("C3")
def test_a_word_on_permissions_that_leaves_rosters_out_withdraws_them(granting: Server) -> None:
    def word(inside: str, kind: str = "normal") -> None:
        granting.line.send(
            f"<message from='localhost' to='pubsub.localhost' type='{kind}'>"
            f"<privilege xmlns='urn:xmpp:privilege:2'>{inside}</privilege></message>"
        )

    word("<forwarded xmlns='urn:xmpp:forward:0'/>")
    word("")
    word("<perm access='message' type='outgoing'/>", "error")
    word("<perm xmlns='urn:other' access='message' type='outgoing'/>")
    assert granting.look() == granting.make() == "done"
    word("<perm access='message' type='outgoing'/>")
    assert granting.look() == UNLISTED
    wait_until(lambda: granting.make() == UNSUPPORTED, 10, "it is not heeded")


@pytest.mark.row("C3")
def test_a_roster_that_does_not_come_holds_up_no_word_of_the_server(granting: Server) -> None:
    grant(granting.line, "none")
    grant(granting.line)
    granting.question(2)  # is not answered
    grant(granting.line, "none")
    wait_until(lambda: "unsupported-access-model" in unanswered(granting), 10, "it is not heeded")


def unanswered(host: Server) -> str:
    """What a request for a node comes to, while no question is answered."""
    key = host.send(ALICE, "set", create(f"{next(numbers)}", **FRIENDS))
    return host.line.wait_for(f"id='{key}'").partition(f"id='{key}'")[2]


@pytest.mark.row("S4")
def test_of_a_roster_that_no_server_would_send_the_good_part_is_taken(granting: Server) -> None:
    junk = (
        "<item/><item jid=''><group>friends</group></item>"
        "<item jid='eve@localhost/x'><group>friends</group></item>"
        "<item jid='@'><group>friends</group></item>"
        "<item jid='Eve@localhost'><group>friends</group></item>"
        "<item jid='eve@localhost' subscription='remove'><group>friends</group></item>"
        f"<item jid='eve@localhost'><group>{'friends' * 100}</group><group/></item>"
        "<item jid='eve@localhost'><group xmlns='urn:other'>friends</group></item>"
        "<item xmlns='urn:other' jid='eve@localhost'><group>friends</group></item>"
        "<other><item jid='eve@localhost'><group>friends</group></item></other>"
    )
    granting.roster = f"{junk}{CONTACT}{CONTACT}{junk}"
    assert granting.look() == "done"
    assert granting.look("eve@localhost/x") == UNLISTED


@pytest.mark.row("S4")
@pytest.mark.parametrize(
    "fails",
    [
        lambda key: error(key, f"<query xmlns='{ROSTER}'>{CONTACT * 300}</query>"),
        lambda key: error(key, f"<query xmlns='{ROSTER}'>{CONTACT}</query>"),
        lambda key: error(key, "").replace("error", "result"),
        lambda key: condition(key, "item-not-found"),
        lambda key: error(key, ""),
    ],
    ids=["too large", "an error with a roster", "no roster", "an error", "no words"],
)
def test_a_roster_that_cannot_be_read_lets_nobody_in(
    fake: FakeServer, start: Callable[..., ComponentProcess], fails: Callable[[str], str]
) -> None:
    component = start(roster_interval=3600)
    host = Server(fake.connection())
    grant(host.line)
    wait_until(lambda: host.make("news") == "done", 10, "it is not heeded")
    assert host.look() == "done"
    host.fails = fails
    for _ in range(2):
        assert host.look() == UNLISTED
    assert component.text().count("the roster of alice@localhost cannot be read") == 1
    host.fails = None
    assert host.look() == "done"


@pytest.mark.row("S4", "C3")
def test_an_answer_that_reading_is_forbidden_ends_the_permission(granting: Server) -> None:
    granting.fails = lambda key: condition(key, "forbidden")
    assert granting.look() == UNLISTED
    asked = len(granting.questions())
    assert granting.look() == UNLISTED
    assert len(granting.questions()) == asked
    wait_until(lambda: granting.make() == UNSUPPORTED, 10, "it is not heeded")


@pytest.mark.row("S4")
def test_only_whom_it_has_asked_can_answer(granting: Server) -> None:
    asked = len(granting.questions())
    key = granting.send(BOB, "get", generic(tag("items", "news")))
    question = granting.question(asked + 1)
    for sender in ("bob@localhost/x", "bob@localhost", "alice@localhost/x", "localhost"):
        granting.reply(question, CONTACT, sender)
    granting.reply("q-0", CONTACT)
    granting.reply(question, "")
    assert UNLISTED in granting.answer(key)
    granting.reply(question, CONTACT)  # a second time
    granting.roster = ""
    assert granting.look() == UNLISTED


@pytest.mark.row("S4")
def test_a_notification_is_told_after_the_roster_has_been_read(granting: Server) -> None:
    for jid in (ALICE, BOB):
        assert granting.ask(jid, "set", subscribe("news", bare(jid))) == "done"
    for name, inside in (("i0", CONTACT), ("i1", ""), ("i2", CONTACT)):
        asked = len(granting.questions())
        granting.send(ALICE, "set", publish("news", item(name)))
        granting.question(asked + 1)
        assert name not in granting.told(ALICE)
        granting.roster = inside
        granting.wait_until(lambda name=name: name in granting.told(ALICE))  # an owner always is
    granting.wait_until(lambda: "i2" in granting.told(BOB))
    assert granting.told(BOB) == ["i0", "i2"]


@pytest.mark.row("S4")
def test_a_roster_that_changes_is_read_anew_when_the_server_says_so(host: Server) -> None:
    def push(sender: str) -> str:
        roster = f"<query xmlns='{ROSTER}'>{CONTACT}</query>"
        answer = host.answer(host.send(sender, "set", roster))
        return "result" if "type='result'" in answer else "error"

    assert push("alice@localhost") == "error"  # nothing is granted
    grant(host.line)
    wait_until(lambda: host.make("news") == "done", 10, "it is not heeded")
    host.roster = ""
    assert host.look() == UNLISTED  # and no question is open
    asked = len(host.questions())
    host.roster = CONTACT
    assert push("alice@localhost/x") == "error"
    assert push("alice@example.org") == "error"
    assert push("carol@localhost") == "result"  # whose roster nobody needs
    assert push("alice@localhost") == "result"
    listed = "<query xmlns='http://jabber.org/protocol/disco#items'/>"

    def knows() -> bool:
        return "node='news'" in host.answer(host.send(BOB, "get", listed))

    wait_until(knows, 10, "what has changed is not known")
    assert len(host.questions()) == asked + 1
    assert not host.questions("carol@localhost")


@pytest.mark.row("S4")
def test_more_requests_than_may_wait_do_not_keep_the_roster_from_being_heard(
    granting: Server,
) -> None:
    asked = len(granting.questions())
    look = generic(" " * (MAX_BYTES - 500) + tag("items", "news"))
    for number in range(80):  # 64 of the largest stanzas may wait
        about = f"id='m{number}-' from='user{number}@localhost/x' to='pubsub.localhost'"
        granting.line.send(f"<iq type='get' {about}>{look}</iq>")
    granting.question(asked + 1)

    def answered() -> int:
        granting.reply_to_all()
        return len(re.findall(r"<iq [^>]*id='m[0-9]+-'", granting.line.text()))

    wait_until(lambda: answered() == 80, 20, lambda: f"{answered()} are answered")
    assert "<resource-constraint" in granting.line.text()
    assert granting.look() == "done"


@pytest.mark.row("S4")
def test_rosters_are_read_again_and_again(
    fake: FakeServer, start: Callable[..., ComponentProcess]
) -> None:
    start(roster_interval=1)
    host = Server(fake.connection())
    grant(host.line)
    wait_until(lambda: host.make("news") == "done", 10, "it is not heeded")
    for number in (1, 2, 3, 4):
        host.question(number)
        host.reply_to_all()


@pytest.mark.row("S4")
def test_notifications_wait_for_a_server_that_grants_again_a_little_later(
    fake: FakeServer, start: Callable[..., ComponentProcess]
) -> None:
    component = start(roster_interval=3600)
    host = Server(fake.connection())
    grant(host.line)
    wait_until(lambda: host.make("news") == "done", 10, "it is not heeded")
    assert host.ask(BOB, "set", subscribe("news", "bob@localhost")) == "done"
    asked = len(host.questions())
    published = host.send(ALICE, "set", publish("news", item("i1")))
    host.line.wait_for(f"id='{published}' type='result'")
    host.send(BOB, "get", generic(tag("items", "news")))
    host.question(asked + 1)  # is not answered
    host.line.send("</stream:stream>")

    host = Server(fake.connection(2))
    assert host.look(ALICE) == "done"
    assert host.make() == UNSUPPORTED
    grant(host.line)
    host.wait_for("<item id='i1' ")
    assert host.look() == "done"  # after what he had asked for before
    assert component.stop() == 0
