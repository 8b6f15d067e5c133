"""What pubsub-publish makes of an event: the name of a node, and the payload of an item."""

import json
from xml.etree import ElementTree

import pytest
from hypothesis import given

from eventworker import cloudevents
from eventworker.errors import ConfigError, EncodeError
from eventworker.event import Event
from eventworker.pubsub.contents import JSON_NAMESPACE
from eventworker.pubsub.worker.naming import Template
from eventworker.pubsub.worker.rendering import ATOM, atom, cloudevent, with_images
from tests.helpers.events import events, make_event


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{resource}/{resource_id}", "story/42"),
        ("{resource}", "story"),
        ("all", "all"),
        ("{method}:{sub_resource}/{sub_resource_id}", "PUT:comment/-"),
        ("{{{resource}}}", "{story}"),
        ("", ""),
    ],
)
def test_a_template_is_filled_in_with_what_the_event_has(text: str, name: str) -> None:
    event = make_event(method="PUT", resource="story", resource_id=42, sub_resource="comment")
    assert Template.of(text, "node").name(event) == name


@pytest.mark.parametrize("text", ["{author_id}", "{resource.__class__}", "{", "{resource!r}", "{}"])
def test_a_template_with_other_words_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^\[x\] node: "):
        Template.of(text, "[x] node")


def event_in(text: str | None) -> Event:
    assert text is not None
    return cloudevents.decode(text.encode())


@given(events)
def test_a_cloudevent_in_its_container_is_read_back_as_the_event(event: Event) -> None:
    try:
        payload = cloudevent(event)
    except EncodeError:
        return
    container = ElementTree.fromstring(payload)
    assert container.tag == f"{{{JSON_NAMESPACE}}}json"
    read = event_in(container.text)
    assert read.encode() == event.encode()
    assert read.id == event.id


@given(events)
def test_an_atom_entry_has_the_cloudevent_as_its_content(event: Event) -> None:
    try:
        payload = atom(event)
    except EncodeError:
        return
    entry = ElementTree.fromstring(payload)
    assert entry.tag == f"{{{ATOM}}}entry"
    assert entry.findtext(f"{{{ATOM}}}id") == f"urn:uuid:{event.id}"
    assert event_in(entry.findtext(f"{{{ATOM}}}content")).encode() == event.encode()


def test_an_atom_entry_says_what_happened_when_and_by_whom() -> None:
    event = make_event(method="DELETE", resource="story", resource_id="a/b & <c>", author_id=7)
    entry = ElementTree.fromstring(atom(event))
    assert entry.findtext(f"{{{ATOM}}}title") == "story/a/b & <c> deleted"
    assert entry.findtext(f"{{{ATOM}}}author/{{{ATOM}}}name") == "7"
    assert entry.findtext(f"{{{ATOM}}}updated", "").startswith(str(event.time.date()))


def test_images_are_left_out_or_cut_to_what_has_changed() -> None:
    before, after = {"id": 1, "title": "a", "text": "b"}, {"id": 1, "title": "c", "text": "b"}
    event = make_event(resource_before=before, resource_after=after)
    assert with_images(event, "all") is event
    changed = with_images(event, "changed")
    assert (changed.resource_before, changed.resource_after) == ({"title": "a"}, {"title": "c"})
    nothing = with_images(event, "none")
    assert (nothing.resource_before, nothing.resource_after) == (None, None)


def test_json_in_a_payload_has_no_markup_of_its_own() -> None:
    event = make_event(resource_after={"text": "</json><evil/>&amp;]]>"})
    container = ElementTree.fromstring(cloudevent(event))
    assert len(container) == 0
    assert json.loads(container.text or "")["data"]["resource_after"] == event.resource_after
