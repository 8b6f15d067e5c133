"""What a notification says: its event type, and the short facts beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from eventworker.errors import ConfigError
from eventworker.event import Event
from eventworker.workers.subscription.concern import changed_kind, last_image

_VERBS = {"POST": "created", "DELETE": "deleted"}
_TITLES = ("title", "name")
_LONGEST_TITLE = 255
_MOST_CHANGED = 50

_TYPE_RULE = re.compile(
    r"(?P<method>[A-Za-z]+|\*)\s+(?P<resource>[\w-]+)(?:/(?P<sub_resource>[\w-]+))?\s*:"
    r"\s*(?:\{(?P<key>[^{}]+)\}|(?P<word>[^{}]*))"
)


@dataclass(frozen=True, slots=True)
class TypeRule:
    """The word for a method and what it was done to.

    :param method: ``*`` for every one.
    :param word: empty if nobody is told.
    :param key: take the word from this key of the image instead.
    """

    method: str
    resource: str
    sub_resource: str | None
    word: str
    key: str | None = None


def type_rules(lines: Iterable[str], option: str) -> tuple[TypeRule, ...]:
    """The words as written in the configuration, one rule per line.

    :raises ConfigError: naming the first line that is no rule.
    """
    found = []
    for line in (each.strip() for each in lines):
        match = _TYPE_RULE.fullmatch(line)
        if match is None:
            raise ConfigError(
                f"{option}: {line!r} is no rule; write METHOD RESOURCE:WORD or "
                "METHOD RESOURCE/SUB_RESOURCE:WORD, such as POST story/comment:user_comment"
            )
        found.append(
            TypeRule(
                match["method"].upper(),
                match["resource"],
                match["sub_resource"],
                (match["word"] or "").strip(),
                match["key"],
            )
        )
    return tuple(found)


def event_type(event: Event, rules: Iterable[TypeRule] = ()) -> str:
    """What happened, in one word: that of the first rule that fits, else ``story_created``,
    ``story_changed``, ``comment_deleted``. Empty if nobody is to be told.

    A rule that takes its word from the image does not fit if the image has none there.
    """
    for rule in rules:
        place = rule.resource, rule.sub_resource
        if rule.method in (event.method, "*") and place == (event.resource, event.sub_resource):
            if rule.key is None:
                return rule.word
            word = last_image(event).get(rule.key)
            if isinstance(word, str) and word:
                return word
    return f"{changed_kind(event)}_{_VERBS.get(event.method, 'changed')}"


def info_of(event: Event, changed: Iterable[str]) -> dict[str, Any]:
    """What else there is to say, kept short, since every receiver's row carries it.

    :param changed: names of the properties that differ between the images.
    :returns: ``title`` of what changed, if it has one, ``changed`` for a change, and the
        sub-resource with its id.
    """
    info: dict[str, Any] = {}
    image = last_image(event)
    title = next((image[key] for key in _TITLES if isinstance(image.get(key), str)), None)
    if title is not None:
        info["title"] = title[:_LONGEST_TITLE]
    if event.method not in _VERBS:
        info["changed"] = sorted(changed)[:_MOST_CHANGED]
    if event.sub_resource is not None:
        info["sub_resource"] = event.sub_resource
        info["sub_resource_id"] = event.sub_resource_id
    return info
