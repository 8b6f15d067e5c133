"""Secret values: where an option takes one from, and that no text of ours repeats it.

What has once been read as a secret stays one for the life of the process, whatever configuration it
came from. A log record, an exception of a plugin's and a driver's error know nothing of
configurations, so this is the one thing here that is kept per process and not passed along.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from oslo_config import types

HIDDEN = "***"
#: Defaults, names of ours and the placeholder of our examples: to hide them would hide nothing, and
#: garble every other line.
_NO_SECRETS = frozenset({"guest", "storyboard", "eventworker", "PASSWORD"})
#: A shorter one is found in too many words to be looked for.
_SHORTEST = 4
#: A secret is a line or a key, so a larger file is another file.
_LARGEST = 64 * 1024

_known: set[str] = set()
_pattern: re.Pattern[str] | None = None

_URL_PASSWORD = re.compile(r"\w://[^:/@\s]*:(?P<password>(?!PASSWORD@)[^@\s]*)@")
_QUERY_PASSWORD = re.compile(r"[?&]\w*pass\w*=(?P<password>[^&\s]+)")


def remember(value: str) -> None:
    """Hide this value, in any of its usual spellings, in all texts from now on."""
    global _pattern
    if len(value) < _SHORTEST or value in _NO_SECRETS:
        return
    spellings = {value, quote(value, safe=""), quote(value), quote_plus(value)}
    spellings |= {repr(value)[1:-1], json.dumps(value)[1:-1]}
    if spellings <= _known:
        return
    _known.update(spellings)
    # The longest first, as one may be the beginning of another.
    _pattern = re.compile("|".join(map(re.escape, sorted(_known, key=len, reverse=True))))


def remember_url(url: str) -> None:
    """Hide the passwords in a URL."""
    for password in passwords_in(url):
        remember(unquote(password))
        remember(password)


def passwords_in(url: str) -> list[str]:
    """The user's password in a URL, and those among its parameters, as they are written there."""
    patterns = (_URL_PASSWORD, _QUERY_PASSWORD)
    return [each["password"] for pattern in patterns for each in pattern.finditer(url)]


def hidden(text: str) -> str:
    """The text with every known secret, and every password in a URL, as ``***``."""
    if _pattern is not None:
        text = _pattern.sub(HIDDEN, text)
    if "://" in text:
        text = _URL_PASSWORD.sub(
            lambda found: found[0].replace(f":{found['password']}@", f":{HIDDEN}@"), text
        )
    return text


def reference(text: str) -> tuple[str, str] | None:
    """What ``file:PATH`` or ``env:NAME`` refers to, as (kind, path or name); None for a value."""
    kind, colon, rest = text.partition(":")
    return (kind, rest) if colon and kind in ("file", "env") else None


def resolved(text: str) -> str:
    """The value that an option's text stands for.

    :raises ValueError: when the file or the variable is not there, with what to do.
    """
    found = reference(text)
    if found is None:
        return text
    kind, name = found
    if kind == "env":
        if name not in os.environ:
            raise ValueError(f"env:{name}: there is no environment variable {name}")
        return os.environ[name]
    return _content(name)


def _content(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            content = file.read(_LARGEST + 1)
        text = content.decode("utf-8")
    except OSError as error:
        raise ValueError(f"file:{name}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"file:{name}: is not UTF-8") from None
    if len(content) > _LARGEST:
        raise ValueError(f"file:{name}: has more than {_LARGEST} bytes")
    # One newline, as an editor or echo adds it; a second one would be the secret's own.
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"file:{name}: is empty")
    return text


class Secret(types.ConfigType):
    """The type of a secret option: a value, ``file:PATH`` or ``env:NAME``.

    :param inner: what the value has to be besides.
    :param url: the secret is the password inside of a URL, and not all of it.
    """

    def __init__(self, inner: Any = None, url: bool = False) -> None:
        self.inner = types.String() if inner is None else inner
        self.url = url
        super().__init__(type_name=getattr(self.inner, "type_name", "string value"))

    def __call__(self, value: Any) -> Any:
        if not isinstance(value, str):
            return self.inner(value)
        text = resolved(value)
        remember_url(text)
        if not self.url:
            remember(text)
        try:
            return self.inner(text)
        except ValueError:
            # Its reason quotes the value.
            raise ValueError(f"what stands there is no {self.type_name}") from None

    def __repr__(self) -> str:
        return f"Secret({self.inner!r})"

    def __eq__(self, other: object) -> bool:
        # Equal to the type without us, too: a plugin that registers its option itself, as those of
        # StoryBoard do, means the same option.
        same = other.inner if isinstance(other, Secret) else other
        return bool(self.inner == same)

    __hash__ = None  # type: ignore[assignment]

    def _formatter(self, value: Any) -> str:
        return str(self.inner._formatter(value))
