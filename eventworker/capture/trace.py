"""The trace that a request belongs to: the headers of W3C Trace Context, looked at lightly.

https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import re

#: Section 3.2.2. Version ff is forbidden; a later version than 00 may have more behind the flags.
_PARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    r"(?P<more>-[\x21-\x7e]*)?"
)
#: Section 3.3: a list of key=value, of which 512 characters have to be passed on.
_MEMBER = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256}")
MAX_PARENT = 255
MAX_STATE = 512


def trace_context(parent: str | None, state: str | None) -> tuple[str | None, str | None]:
    """``traceparent`` and ``tracestate`` of a request; None for what is absent or malformed.

    A state without a valid parent belongs to nothing (section 3.3.1.1), and is dropped as a whole
    if one of its members is malformed or if it is too long.
    """
    parent = parent.strip(" \t") if parent else None
    if parent is None or not _is_parent(parent):
        return None, None
    members = [member.strip(" \t") for member in (state or "").split(",")]
    joined = ",".join(filter(None, members))
    is_good = len(joined) <= MAX_STATE and all(_MEMBER.fullmatch(m) for m in members if m)
    return parent, joined if joined and is_good else None


def _is_parent(text: str) -> bool:
    found = _PARENT.fullmatch(text) if len(text) <= MAX_PARENT else None
    return found is not None and (found["version"] != "00" or found["more"] is None)
