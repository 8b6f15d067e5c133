"""Clients that hear each other across processes: two engines on one database."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from eventworker.pubsub import Item
from tests.helpers.pubsub import entry
from tests.helpers.pubsub_clients import FACES
from tests.servers import wait_until


@pytest.mark.parametrize("face", list(FACES))
def test_what_one_process_publishes_another_one_hears(
    face: str, postgres_engine: Engine, new_engine: Callable[[str], Engine]
) -> None:
    other = new_engine(postgres_engine.url.render_as_string(hide_password=False))
    publisher = FACES[face](postgres_engine, "owner@example.org")
    hearers = [FACES[face](other, "ann@example.org/desk") for _ in range(2)]
    heard: list[list[str]] = [[], []]

    def note(of: list[str]) -> Callable[..., None]:
        def hear(_jid: str, _node: str, item: Item, **_: Any) -> None:
            of.append(item.id)

        return hear

    for hearer, of in zip(hearers, heard, strict=True):
        hearer.on_item_published.connect(note(of))
    publisher.create(None, "news")
    hearers[0].subscribe(None, "news")
    names = [str(number) for number in range(150)]
    with hearers[0], hearers[1]:
        for name in names:
            publisher.publish(None, "news", entry(name), id_=name)
        wait_until(lambda: all(len(of) == len(names) for of in heard), 20, lambda: str(heard))
    assert heard == [names, names]
    for each in (publisher, *hearers):
        each.end()
