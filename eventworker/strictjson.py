"""Strict JSON (RFC 8259): what anybody would read otherwise than we do is refused.

UTF-8 without byte order mark or lone surrogates, no NaN or infinity, no duplicate keys, a limit in
bytes and one in depth. There are two readers. The quick one is msgspec's, which is as strict but
for duplicate keys, and that there are none has then to be proved; whatever it refuses, or cannot
prove, is read by the slow one, which alone says why something is refused.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any

import msgspec

from eventworker.errors import DecodeError

MAX_DEPTH = 64
#: What msgspec raises for bytes that it does not read; bad UTF-8 is a ValueError.
QUICK_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)

_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


def strict_object(body: bytes, max_bytes: int, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Read one JSON object.

    :raises DecodeError: with the reason and the bytes.
    """
    if len(body) > max_bytes:
        raise DecodeError(f"the body has {len(body)} bytes, the limit is {max_bytes}", body)
    value = quick_object(body, max_depth)
    return slow_object(body, max_depth) if value is None else value


def quick_object(body: bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any] | None:
    """The same as :func:`slow_object`, or None where that has to decide."""
    try:
        value = _quick_decoder.decode(body)
        if not isinstance(value, dict) or not _has_no_duplicates(body, value):
            return None
    except QUICK_ERRORS:
        return None
    return None if may_be_deep(body) and _is_deep(value, max_depth) else value


def _has_no_duplicates(body: bytes, value: dict[str, Any]) -> bool:
    """Whether it is certain that the reader dropped no member of an object.

    Every member has a colon behind its key. The other colons are in strings, and stand for
    themselves there unless one is written as ``\\u003a``. So if a member had been dropped, fewer
    colons would be written for what is left: at least that behind its key.
    """
    return b"\\u003" not in body and body.count(b":") == _encode(value).count(b":")


def may_be_deep(body: bytes) -> bool:
    """A cheap look that spares almost every body the walk over its values."""
    return body.count(b"{") + body.count(b"[") > MAX_DEPTH


def _is_deep(value: Any, max_depth: int) -> bool:
    level = [value]
    for _ in range(max_depth - 1):
        level = [
            below
            for item in level
            for below in (item.values() if type(item) is dict else item)
            if type(below) is dict or type(below) is list
        ]
        if not level:
            return False
    return any(level)


def slow_object(body: bytes, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """Read one JSON object of any length by the standard library's reader.

    :raises DecodeError: with the reason and the bytes.
    """
    if body.startswith(codecs.BOM_UTF8):
        raise DecodeError("not strict JSON: it begins with a byte order mark", body)
    try:
        value = _slow_decoder.decode(body.decode("utf-8"))
    except RecursionError:
        # Not a ValueError: a body of 100,000 brackets would otherwise take the process down.
        raise DecodeError(f"nested deeper than {max_depth} levels", body) from None
    except ValueError as error:  # bad UTF-8, bad JSON, a number of 5,000 digits, our own refusals
        raise DecodeError(f"not strict JSON: {error}", body) from None
    if not isinstance(value, dict):
        raise DecodeError(f"a JSON object is expected, not {type(value).__name__}", body)
    if may_be_deep(body) or _SURROGATE_ESCAPE.search(body):
        _check_values(value, body, max_depth)
    return value


def _check_values(value: Any, body: bytes, max_depth: int) -> None:
    level = [value]
    for _ in range(max_depth):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, str) and _LONE_SURROGATE.search(item):
                raise DecodeError("not strict JSON: a lone surrogate", body)
        if not below:
            return
        level = below
    raise DecodeError(f"nested deeper than {max_depth} levels", body)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate keys in an object")
    return result


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large for a number")
    return number


_slow_decoder = json.JSONDecoder(
    object_pairs_hook=_without_duplicates, parse_constant=_no_constant, parse_float=_finite
)
_quick_decoder = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
