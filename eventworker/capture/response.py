"""What a response tells of the request's success, read while it passes by."""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from eventworker.capture.paths import PathRules, ResourcePath, id_of

#: A JSON body is kept up to this many bytes to find the new resource's id in it.
MAX_BODY = 1024 * 1024


class Response:
    """Status and headers of a response, and a copy of its body where that is worth keeping.

    :param keep_body: whether a JSON body is kept; a chunk is passed on at once either way.
    :ivar has_begun: something has gone out, so the client may have seen the status.
    """

    def __init__(self, keep_body: bool) -> None:
        self._keep_body = keep_body
        self._body: bytearray | None = None
        self._headers: dict[str, str] = {}
        self.status: int | None = None
        self.has_begun = False

    def started(self, status: int | None, headers: Iterable[tuple[str, str]]) -> None:
        """The application has said what it answers; a second time, with an error, counts."""
        self.status = status
        self._headers = {name.lower(): value for name, value in headers}
        self._body = bytearray() if self._keep_body and self._is_plain_json() else None

    def saw(self, chunk: bytes) -> None:
        """A piece of the body has passed."""
        self.has_begun = self.has_begun or bool(chunk)
        if self._body is not None:
            self._body += chunk
            if len(self._body) > MAX_BODY:
                self._body = None

    def created_id(self, rules: PathRules, target: ResourcePath) -> int | str | None:
        """The id of the resource that was made: the JSON body's ``id``, else the Location's."""
        found = self._id_in_body()
        return self._id_in_location(rules, target) if found is None else found

    def _is_plain_json(self) -> bool:
        kind = self._headers.get("content-type", "").partition(";")[0].strip().lower()
        is_json = kind == "application/json" or kind.endswith("+json")
        return is_json and self._headers.get("content-encoding", "identity") == "identity"

    def _id_in_body(self) -> int | str | None:
        if not self._body:
            return None
        try:
            value = json.loads(self._body)
        except (ValueError, RecursionError):
            return None
        found = value.get("id") if isinstance(value, dict) else None
        # By the path's rule for both: later requests will name the same resource by its path.
        return id_of(str(found)) if type(found) in (int, str) else None

    def _id_in_location(self, rules: PathRules, target: ResourcePath) -> int | str | None:
        location = self._headers.get("location")
        if not location:
            return None
        try:
            named = rules.parse(unquote(urlsplit(location).path))
        except ValueError:
            return None
        if named is None or named.resource != target.resource:
            return None
        if target.sub_resource is None:
            return named.resource_id
        same = named[:3] == target[:3]
        return named.sub_resource_id if same else None
