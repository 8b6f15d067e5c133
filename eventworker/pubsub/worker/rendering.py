"""An event as the payload of an item: one XML element."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from msgspec.structs import replace

from eventworker import cloudevents
from eventworker.event import Event
from eventworker.plugin import changed_properties
from eventworker.pubsub.contents import json_as_text, json_container

ATOM = "http://www.w3.org/2005/Atom"
#: What XML 1.0 cannot say (section 2.2). The JSON, which has escapes for it, loses nothing.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")

_WORDS = {"POST": "created", "PUT": "changed", "PATCH": "changed", "DELETE": "deleted"}


def cloudevent(event: Event, **naming: str) -> str:
    """A CloudEvent in the JSON container of XEP-0335, section 3.

    :param naming: ``source`` and ``type_prefix`` of :func:`eventworker.cloudevents.encode`.
    """
    return json_container(_json(event, naming))


def atom(event: Event, **naming: str) -> str:
    """An Atom entry (RFC 4287) with the CloudEvent as its content.

    :param naming: as of :func:`cloudevent`.
    """
    moment = event.time.isoformat().replace("+00:00", "Z")
    title = f"{_place(event)} {_WORDS.get(event.method, event.method)}"
    author = "" if event.author_id is None else str(event.author_id)
    link = "" if not event.url else f"<link href='{_attribute(event.url)}'/>"
    return (
        f"<entry xmlns='{ATOM}'><id>urn:uuid:{event.id}</id><title>{_xml(title)}</title>"
        f"<updated>{moment}</updated><author><name>{_xml(author)}</name></author>{link}"
        f"<content type='application/json'>{json_as_text(_json(event, naming))}</content></entry>"
    )


FORMATS: dict[str, Callable[..., str]] = {"cloudevents": cloudevent, "atom": atom}


def with_images(event: Event, images: str) -> Event:
    """The event with all of its images, with what has changed, or with nothing of them."""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    if images == "all":
        return event
    if images == "changed":
        before, after = changed_properties(event.resource_before, event.resource_after)
    return replace(event, resource_before=before, resource_after=after)


def _json(event: Event, naming: dict[str, str]) -> str:
    return cloudevents.encode(event, **naming).decode()  # type: ignore[arg-type]


def _place(event: Event) -> str:
    parts = [event.resource, event.resource_id, event.sub_resource, event.sub_resource_id]
    return "/".join(str(part) for part in parts if part is not None)


def _xml(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))


def _attribute(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text), {"'": "&apos;"})
