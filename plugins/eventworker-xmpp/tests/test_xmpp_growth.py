"""Elements that grow when they are written."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

import pytest
from eventworker_xmpp.markup import TooLong, written
from eventworker_xmpp.names import ATOM
from eventworker_xmpp.notifications import Writer
from eventworker_xmpp.paging import fitting
from eventworker_xmpp.parsing import parsed

from eventworker.pubsub.config import SubscribeOptions
from eventworker.pubsub.deliveries import Addressee, Delivery
from eventworker.pubsub.notices import Word

AT = datetime(2026, 1, 1, tzinfo=UTC)
_URI = "u" * 50_000
_ATTRIBUTE = "a:b{}=''"
#: Declared once, and said again for each of those that have it: 100 MB of 70 kB.
SWOLLEN = [
    f"<p xmlns:a='{_URI}'>{'<a:b/>' * 2000}</p>",
    f"<p xmlns:a='{_URI}' {' '.join(map(_ATTRIBUTE.format, range(2000)))}/>",
    f"<p xmlns:a='{_URI}'>{'<a:b>x</a:b>y' * 2000}</p>",
]


@pytest.fixture(params=SWOLLEN, ids=["elements", "attributes", "text"])
def swollen(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_is_within_its_length_is_written_as_without_one() -> None:
    one = parsed("<a xmlns='urn:a' xmlns:b='urn:b' b:c='1'>x<d xmlns=''/>y<b:e>z</b:e></a>")
    whole = written(one)

    assert written(one, most=len(whole)) == whole
    with pytest.raises(TooLong):
        written(one, most=len(whole) - 1)


@pytest.mark.row("T5")
def test_an_element_that_grows_by_its_namespaces_is_not_written_to_its_end(swollen: str) -> None:
    one = parsed(swollen)
    tracemalloc.start()
    try:
        with pytest.raises(TooLong):
            written(one, most=65536)
        assert len(fitting([Element("a"), one], 100_000)) == 1
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.row("T7")
def test_a_message_has_no_body_that_makes_it_too_large() -> None:
    entry = f"<entry xmlns='{ATOM}'><title>{'&amp;' * 1000}</title></entry>"
    for number in (1, 3, 4, 5, 20, 40):
        content = {"items": [{"id": str(n), "payload": entry} for n in range(number)]}
        delivery = Delivery(1, 1, "n", Word.ITEMS, content, ("n",), None, AT, 1)
        addressee = Addressee("ann@example.org", options=SubscribeOptions(include_body=True))
        messages = Writer("pubsub.example.org", True, 25_000).messages(delivery)
        made = [message.to(addressee, True) for message in messages]
        assert max(map(len, made)) <= 25_000
        assert (b"<body>" in made[0]) == (number < 3)


@pytest.mark.row("T5")
def test_an_item_that_grows_by_its_namespaces_is_told_without_its_payload(swollen: str) -> None:
    content = {"items": [{"id": "1", "payload": swollen}]}
    delivery = Delivery(1, 1, "n", Word.ITEMS, content, ("n",), None, AT, 1)

    (message,) = Writer("pubsub.example.org", True, 256 * 1024).messages(delivery)

    assert b"<item id='1'/>" in message.content
