"""W3C Trace Context (Recommendation, version 00): which trace a change belongs to.

A trace context is a hint for people who look for a cause. It never decides over an event: what is
out of its grammar is dropped, on reading and on writing, and the event goes on without it.
"""

from __future__ import annotations

import logging
import re

#: Longest value that is kept; the columns are as wide. A ``traceparent`` of version 00 has 55
#: characters, later versions may append to it. Of a ``tracestate`` 512 characters SHOULD be passed
#: on (section 3.3.1.5), and no more are.
MAX_TRACEPARENT, MAX_TRACESTATE = 255, 512
#: A longer one is not looked at: 32 members of the longest key and value, with room for blanks.
_PROHIBITIVE = 32 * 1024
_MOST_MEMBERS = 32
#: Members longer than this are the first to go when there is no room.
_LONG_MEMBER = 128

# Section 3.2: version ff is forbidden, and so are ids of zeros. A later version may have more
# behind the flags, after a dash (section 3.2.4).
_TRACEPARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace_id>(?!0{32})[0-9a-f]{32})"
    r"-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-[\x21-\x7e]*)?"
)
# Section 3.3.1: a key, and a value of printable ASCII without comma, equals sign or last blank.
_MEMBER = re.compile(
    r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)

log = logging.getLogger(__name__)


def valid(traceparent: object, tracestate: object = None) -> tuple[str | None, str | None]:
    """The two values as they may be passed on; None for one that is absent or cannot be read.

    Without a ``traceparent`` that can be read its ``tracestate`` is not looked at; the other way
    round does not hold.
    """
    if traceparent is None:
        return None, None
    if not is_traceparent(traceparent):
        log.debug("dropped a traceparent that is none: %.100r", traceparent)
        return None, None
    return str(traceparent), None if tracestate is None else _state(tracestate)


def is_traceparent(text: object) -> bool:
    """Whether this is a ``traceparent`` of version 00, or of a later one that begins like it."""
    if not isinstance(text, str) or len(text) > MAX_TRACEPARENT:
        return False
    found = _TRACEPARENT.fullmatch(text)
    return found is not None and (found["version"] != "00" or found["more"] is None)


def trace_id(traceparent: str | None) -> str | None:
    """The trace's id, 32 hexadecimal digits, of a valid ``traceparent``."""
    return None if traceparent is None else traceparent[3:35]


def _state(text: object) -> str | None:
    members = None
    if isinstance(text, str) and len(text) <= _PROHIBITIVE:
        # Empty members are allowed, and blanks around each; neither means anything.
        members = [member for each in text.split(",") if (member := each.strip(" \t"))]
    if members is None or len(members) > _MOST_MEMBERS or not all(map(_MEMBER.fullmatch, members)):
        log.debug("dropped a tracestate that is none: %.100r", text)
        return None
    return _shortened(members) or None


def _shortened(members: list[str]) -> str:
    """Whole members only: long ones go first, then the last (section 3.3.1.5)."""
    while len(state := ",".join(members)) > MAX_TRACESTATE:
        longest = [index for index, each in enumerate(members) if len(each) > _LONG_MEMBER]
        members.pop(longest[-1] if longest else -1)
    return state
