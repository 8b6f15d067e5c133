"""A plugin that adds effects and performs them, and a look at what is not done."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, update

from eventworker import effects
from eventworker.db import clock, short_transaction
from eventworker.effects import Effect
from eventworker.effects.table import effect_table
from eventworker.event import Event
from tests.helpers.databases import rows
from tests.helpers.plugins import Body, Plugin


def add(*payloads: Any) -> Body:
    """A body that adds these effects."""

    def body(session: Any, _event: Event) -> None:
        for payload in payloads:
            effects.add(session, payload)

    return body


class Mailer(Plugin):
    """Keeps each effect that it is given, and then does what the test says."""

    def __init__(
        self,
        body: Body | None = None,
        act: Callable[[Effect], None] | None = None,
        name: str = "mailer",
    ) -> None:
        super().__init__(name, body)
        self.act = act
        self.performed: list[Effect] = []

    def perform(self, effect: Effect) -> None:
        self.performed.append(effect)
        if self.act is not None:
            self.act(effect)

    @property
    def payloads(self) -> list[Any]:
        return [effect.payload for effect in self.performed]

    @property
    def keys(self) -> list[str]:
        return [effect.key for effect in self.performed]


def waiting(engine: Engine) -> list[Any]:
    """The rows of effects that are not done."""
    return rows(engine, effect_table)


def make_due(engine: Engine) -> None:
    with short_transaction(engine) as connection:
        connection.execute(update(effect_table).values(due_at=clock(-1.0)))
