"""Names of nodes, made of what an event says of its resource."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter

from eventworker.errors import ConfigError
from eventworker.event import Event

_WORDS = ("resource", "resource_id", "sub_resource", "sub_resource_id", "method")
#: Stands for what an event does not have.
_NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Template:
    """The name of a node, with words in braces for what differs from event to event."""

    parts: tuple[tuple[str, str | None], ...]

    @classmethod
    def of(cls, text: str, option: str) -> Template:
        """Read a template.

        :param option: where it stands, for the error.
        :raises ConfigError: when it names what an event does not have.
        """
        try:
            parsed = list(Formatter().parse(text))
        except ValueError as error:
            raise ConfigError(f"{option}: {text!r}: {error}") from None
        for _, word, style, conversion in parsed:
            if word is not None and (word not in _WORDS or style or conversion):
                raise ConfigError(f"{option}: {text!r}: {{{word}}} is none of {', '.join(_WORDS)}")
        return cls(tuple((before, word) for before, word, _, _ in parsed))

    def name(self, event: Event) -> str:
        """The name for this event."""
        return "".join(before + _value(event, word) for before, word in self.parts)


def _value(event: Event, word: str | None) -> str:
    if word is None:
        return ""
    value = getattr(event, word)
    return _NOTHING if value is None or value == "" else str(value)
