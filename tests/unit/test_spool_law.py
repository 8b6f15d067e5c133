"""The law of the spool: whatever the target does and whenever the process dies, each event that was
put in is delivered or put aside, and first deliveries are in the order of putting in."""

import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from eventworker.capture.spool import waiting
from eventworker.capture.spool.alarm import Alarm
from eventworker.capture.spool.rounds import Rounds
from eventworker.capture.spool.store import Store
from eventworker.errors import TransportError, TransportUnavailable, Unpublishable
from eventworker.transport import Message
from tests.helpers.events import make_message, number_of
from tests.helpers.spools import Gate

#: Put so many in; deliver a round in which the target takes so many and is gone then; the same, but
#: the process dies before it can write that down; begin anew, as another process does.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 5)),
        st.tuples(st.just("deliver"), st.integers(0, 8)),
        st.tuples(st.just("deliver and die"), st.integers(0, 8)),
        st.tuples(st.just("begin anew"), st.just(0)),
    ),
    max_size=15,
)


class Death(Exception):
    """The process ends here."""


class Fickle(Gate):
    """Takes ``room`` messages of a call, and refuses every seventh for good."""

    def __init__(self) -> None:
        super().__init__()
        self.room = 0
        self.dies = False

    def publish(
        self, messages: Sequence[Message], timeout: float = 30.0
    ) -> list[TransportError | None]:
        results: list[TransportError | None] = []
        for place, message in enumerate(messages):
            if place >= self.room:
                results.append(TransportUnavailable("gone"))
            elif number_of(message.body) % 7 == 6:
                results.append(Unpublishable("a seventh"))
            else:
                self.taken.append(message)
                results.append(None)
        if self.dies:
            raise Death
        return results


@settings(max_examples=40, deadline=None)
@given(steps)
def test_nothing_is_lost_and_order_is_kept_whatever_happens(script: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.spool"
        target, put = Fickle(), 0
        store = Store(path)
        rounds = Rounds(store, Alarm(path), target)

        def deliver(room: int, dies: bool = False) -> None:
            target.room, target.dies = room, dies
            try:
                while rounds.once():
                    pass
            except (TransportUnavailable, Death):
                pass

        for what, count in [*script, ("begin anew", 0), ("deliver", 1000)]:
            if what == "put":
                some = [make_message(resource_id=put + each) for each in range(count)]
                put += count
                store.write(lambda connection, some=some: waiting.append(connection, some))  # type: ignore[misc]
            elif what == "deliver":
                deliver(count)
            else:
                if what == "deliver and die":
                    deliver(count, dies=True)
                store.close()
                store = Store(path)
                rounds = Rounds(store, Alarm(path), target)
        with closing(store):
            assert_law(target.numbers, put, store)


def assert_law(delivered: list[int], put: int, store: Store) -> None:
    expected = [number for number in range(put) if number % 7 != 6]
    assert list(dict.fromkeys(delivered)) == expected
    found: dict[str, Any] = store.read(waiting.summary)
    assert (found["waiting"], found["refused"]) == (0, put - len(expected))
