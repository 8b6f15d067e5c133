"""An XMPP server with the roster of alice, as far as one over a bare connection can be one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

from eventworker.pubsub.jid import bare
from tests.helpers.fake_xmpp_server import Connection
from tests.helpers.pubsub_xml import create, generic, tag
from tests.servers import wait_until

ROSTER = "jabber:iq:roster"
FRIENDS = {"access_model": "roster", "roster_groups_allowed": "friends"}
UNLISTED, UNSUPPORTED = "not-in-roster-group", "unsupported-access-model"
MAX_BYTES = 20000
ALICE, BOB = "alice@localhost/x", "bob@localhost/x"
CONTACT = "<item jid='bob@localhost' subscription='both'><group>friends</group></item>"
numbers = itertools.count(1)


def grant(line: Connection, kind: str = "get", version: int = 2, sender: str = "localhost") -> None:
    line.send(
        f"<message from='{sender}' to='pubsub.localhost'>"
        f"<privilege xmlns='urn:xmpp:privilege:{version}'><perm access='message' type='outgoing'/>"
        f"<perm access='roster' type='{kind}'/></privilege></message>"
    )


class Server:
    """What is asked and answered over one connection to the component.

    :ivar roster: what is in alice's.
    """

    def __init__(self, line: Connection) -> None:
        self.line = line
        self.roster = CONTACT
        self.fails: Callable[[str], str] | None = None
        self._answered: set[str] = set()

    def questions(self, owner: str = "alice@localhost") -> list[str]:
        """The ids of the component's questions for a roster."""
        about = rf"from='pubsub.localhost' to='{owner}' id='(q-\w+)' type='get'"
        return re.findall(rf"<iq {about}><query xmlns='{ROSTER}'/>", self.line.text())

    def question(self, number: int) -> str:
        """The id of the so-manieth question, when it has been asked."""
        found = self.questions
        wait_until(lambda: len(found()) >= number, 10, lambda: self.line.text()[-2000:])
        return found()[number - 1]

    def reply(self, key: str, inside: str, sender: str = "alice@localhost") -> None:
        """Answer a question with a roster that has this in it."""
        self._answered.add(key)
        self.line.send(
            f"<iq type='result' id='{key}' from='{sender}' to='pubsub.localhost'>"
            f"<query xmlns='{ROSTER}'>{inside}</query></iq>"
        )

    def reply_to_all(self) -> None:
        """Answer all questions that wait for it."""
        for key in self.questions():
            if key not in self._answered and self.fails is None:
                self.reply(key, self.roster)
            elif key not in self._answered:
                self._answered.add(key)
                self.line.send(self.fails(key))  # type: ignore[misc]

    def send(self, sender: str, kind: str, payload: str) -> str:
        """Send a request; returns its id."""
        key = f"k{next(numbers)}-"
        self.line.send(
            f"<iq type='{kind}' id='{key}' from='{sender}' to='pubsub.localhost'>{payload}</iq>"
        )
        return key

    def answer(self, key: str) -> str:
        """What a request is answered with, while questions for rosters are answered."""
        found = re.compile(rf"<iq [^>]*id='{key}'[^>]*(/>|[^/]>.*?</iq>)", re.DOTALL)

        def look() -> re.Match[str] | None:
            self.reply_to_all()
            return found.search(self.line.text())

        answered = wait_until(look, 10, lambda: self.line.text()[-2000:])
        assert answered is not None
        return answered.group()

    def ask(self, sender: str, kind: str, payload: str) -> str:
        """What a request comes to: ``done``, or why it is refused."""
        answer = self.answer(self.send(sender, kind, payload))
        if "type='result'" in answer:
            return "done"
        return next(each for each in (UNLISTED, UNSUPPORTED) if f"<{each}" in answer)

    def make(self, node: str | None = None) -> str:
        """alice makes a node for her friends."""
        return self.ask(ALICE, "set", create(node or f"{next(numbers)}", **FRIENDS))

    def look(self, sender: str = BOB) -> str:
        """Somebody looks at alice's node."""
        return self.ask(sender, "get", generic(tag("items", "news")))

    def told(self, jid: str) -> list[str]:
        """The items of which this account was told."""
        message = rf"<message [^>]*to='{bare(jid)}'.*?</message>"
        messages = re.findall(message, self.line.text(), re.DOTALL)
        return [name for each in messages for name in re.findall("<item id='([^']*)'", each)]

    def wait_for(self, text: str) -> None:
        """Return when the component has sent this, while questions for rosters are answered."""
        self.wait_until(lambda: text in self.line.text())

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Return when it is so, while questions for rosters are answered."""

        def look() -> bool:
            self.reply_to_all()
            return condition()

        wait_until(look, 10, lambda: self.line.text()[-2000:])


def error(key: str, inside: str) -> str:
    return f"<iq type='error' id='{key}' from='alice@localhost' to='pubsub.localhost'>{inside}</iq>"


def condition(key: str, name: str) -> str:
    words = f"<{name} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
    return error(key, f"<error type='auth'>{words}</error>")
