"""Reading what a request is about from its path, as StoryBoard does::

[/api]/v1/<resources>[/<id>[/<sub-resources>[/<id>]]]
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,119}")
#: What an :class:`~eventworker.event.Event` takes for an id: no control characters, 255 at most.
_TEXT_ID = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,255}")
_NUMBER = re.compile(r"[0-9]{1,18}")

_IRREGULAR = MappingProxyType(
    {"children": "child", "news": "news", "people": "person", "series": "series"}
)


class ResourcePath(NamedTuple):
    """What a path names. Names are singular; ids are numbers where they are digits."""

    resource: str
    resource_id: int | str | None = None
    sub_resource: str | None = None
    sub_resource_id: int | str | None = None


@dataclass(frozen=True)
class PathRules:
    """How an application lays out its paths.

    :param prefixes: what stands before the resource; the first that fits counts.
    :param singular: plural to singular, where the English rule is wrong; it wins over the rule.
    :param only: the plural names that are resources; None for every name.
    :param actions: verbs that may stand after an id, at the end of a path. The path then names the
        resource, or sub-resource, that they are about. An action on a whole collection is about no
        one resource, so such a path names none.
    """

    prefixes: tuple[str, ...] = ("/api/v1", "/v1")
    singular: Mapping[str, str] = field(default_factory=dict)
    only: frozenset[str] | None = None
    actions: frozenset[str] = frozenset()

    def parse(self, path: str) -> ResourcePath | None:
        """What ``path`` (decoded, without query string) names; None when it is no resource."""
        parts = self._parts(path)
        if parts and parts[-1] in self.actions:
            parts = parts[:-1]
            if len(parts) % 2 == 1:
                return None
        if not parts or len(parts) > 4:
            return None
        names, ids = parts[::2], [id_of(part) for part in parts[1::2]]
        if None in ids or not all(_NAME.fullmatch(name) for name in names):
            return None
        if self.only is not None and names[0] not in self.only:
            return None
        sub_resource = self.singular_of(names[1]) if len(names) == 2 else None
        return ResourcePath(
            self.singular_of(names[0]),
            ids[0] if ids else None,
            sub_resource,
            ids[1] if len(ids) == 2 else None,
        )

    def singular_of(self, plural: str) -> str:
        """The singular of a plural name: the mapping's, else by the English rule."""
        return self.singular.get(plural) or singular_of(plural)

    def _parts(self, path: str) -> list[str] | None:
        for prefix in self.prefixes:
            rest = path.removeprefix(prefix.rstrip("/") + "/")
            if rest != path:
                return rest.removesuffix("/").split("/")
        return None


def singular_of(plural: str) -> str:
    """The English singular of a plural: stories, branches, statuses, project_groups.

    A small rule with small exceptions; what it does not know belongs in :class:`PathRules`.
    """
    stem, underscore, word = plural.rpartition("_")
    return stem + underscore + _singular_word(word)


def _singular_word(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes", "tuses", "ruses", "nuses")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def id_of(text: str) -> int | str | None:
    """An id as it stands in a path: a number if it is digits, else text; None if it is no id."""
    if _NUMBER.fullmatch(text):
        return int(text)
    return text if _TEXT_ID.fullmatch(text) else None
