"""An application's own functions in place of the plugin's, by the names in the configuration.

Each is called with the event and with what the plugin would do, and returns what is done instead::

    def event_type(event, word): return f"{word} in the tracker"
    def info(event, info): return {**info, "link": event.path}
    def receivers(event, query): return select(users.c.id.label("user_id")).union(query)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sqlalchemy import CompoundSelect, Select

from eventworker.errors import ConfigError
from eventworker.event import Event
from eventworker.workers.subscription.receivers import USER, Query


class Functions:
    """The three functions; one that is not configured leaves things as they are.

    :param options: values of the plugin's options.
    :param group: name of their group, for the errors.
    :raises ConfigError: when one cannot be imported.
    """

    def __init__(self, options: Any, group: str) -> None:
        self._named = {
            name: _imported(options[name], f"[{group}] {name}")
            for name in ("event_type_by", "info_by", "receivers_by")
        }
        self._options = options
        self._group = group

    @property
    def choose_receivers(self) -> bool:
        """Whether the receivers are the application's choice."""
        return self._named["receivers_by"] is not None

    def event_type(self, event: Event, word: str) -> str:
        """The event type; empty if nobody is to be told.

        :raises ConfigError: when the function returns something else.
        """
        answer = self._answer("event_type_by", event, word)
        if answer is not None and not isinstance(answer, str):
            raise self._error("event_type_by", answer, "a text, or None for nobody")
        return answer or ""

    def info(self, event: Event, info: dict[str, Any]) -> dict[str, Any]:
        """The facts of the notification.

        :raises ConfigError: when the function returns something else.
        """
        answer = self._answer("info_by", event, info)
        if not isinstance(answer, dict):
            raise self._error("info_by", answer, "a dict")
        return answer

    def receivers(self, event: Event, query: Query | None) -> Query | None:
        """The query for those who would be told, as far as they may see it.

        :raises ConfigError: when the function returns something else.
        """
        answer = self._answer("receivers_by", event, query)
        if answer is None:
            return None
        if not isinstance(answer, Select | CompoundSelect) or list(
            answer.selected_columns.keys()
        ) != [USER]:
            raise self._error(
                "receivers_by", answer, f"a SELECT with one column, {USER}, or None for nobody"
            )
        return answer

    def _answer(self, name: str, event: Event, default: Any) -> Any:
        function = self._named[name]
        return default if function is None else function(event, default)

    def _error(self, name: str, answer: Any, wanted: str) -> ConfigError:
        return ConfigError(
            f"[{self._group}] {name}: {self._options[name]} returned a "
            f"{type(answer).__name__}; it has to return {wanted}"
        )


def _imported(path: str | None, option: str) -> Any:
    if not path:
        return None
    module, _, name = path.partition(":")
    try:
        function = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{option}: {path} cannot be imported: {error}; write package.module:function"
        ) from error
    if not callable(function):
        raise ConfigError(f"{option}: {path} is no function")
    return function
