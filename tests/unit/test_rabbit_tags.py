"""Acks in few words: what the broker understands is exactly what was settled."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from eventworker.transports.rabbit.tags import Frame, Tags


def delivered(count: int) -> Tags:
    tags = Tags()
    for tag in range(1, count + 1):
        tags.delivered(tag)
    return tags


def test_a_group_in_any_order_is_acked_by_one_frame() -> None:
    tags = delivered(5)
    for tag in (3, 1, 5, 2, 4):
        tags.settle(tag, True)
    assert tags.frames() == [Frame(5, True, True)]
    assert tags.frames() == []


def test_one_that_is_still_in_hand_has_those_behind_it_acked_one_by_one() -> None:
    tags = delivered(5)
    for tag in (1, 2, 5, 4):
        tags.settle(tag, True)
    assert tags.frames() == [Frame(2, True, True), Frame(4, True, False), Frame(5, True, False)]
    tags.settle(3, True)
    assert tags.frames() == [Frame(3, True, False)]


def test_what_is_given_back_is_told_before_an_ack_of_many_comes_over_it() -> None:
    tags = delivered(3)
    tags.settle(1, True)
    tags.settle(3, True)
    tags.settle(2, False)
    assert tags.frames() == [Frame(2, False, False), Frame(3, True, True)]


class ABrokerThatIsTold(RuleBasedStateMachine):
    """A broker as AMQP describes it, beside what the consumer has really settled."""

    def __init__(self) -> None:
        super().__init__()
        self.tags = Tags()
        self.last = 0
        self.in_hand: list[int] = []
        self.settled: dict[bool, set[int]] = {True: set(), False: set()}
        self.waiting: set[int] = set()
        self.understood: dict[bool, set[int]] = {True: set(), False: set()}

    @rule(count=st.integers(1, 8), skipped=st.integers(0, 3))
    def deliver(self, count: int, skipped: int) -> None:
        """pika gives some back by itself while the consumption is being stopped."""
        self.last += skipped
        for _ in range(count):
            self.last += 1
            self.tags.delivered(self.last)
            self.in_hand.append(self.last)
            self.waiting.add(self.last)

    @precondition(lambda self: self.in_hand)
    @rule(data=st.data(), ack=st.sampled_from([True, True, True, False]))
    def settle(self, data: st.DataObject, ack: bool) -> None:
        tag = self.in_hand.pop(data.draw(st.integers(0, len(self.in_hand) - 1)))
        self.tags.settle(tag, ack)
        self.settled[ack].add(tag)

    @precondition(lambda self: self.in_hand)
    @rule(count=st.integers(1, 8))
    def ack_the_first(self, count: int) -> None:
        for tag in self.in_hand[:count]:
            self.tags.settle(tag, True)
            self.settled[True].add(tag)
        del self.in_hand[:count]

    @rule()
    def tell(self) -> None:
        """The connection may end after any frame; until then nothing wrong was said."""
        for tag, ack, multiple in self.tags.frames():
            # A tag that it does not wait for costs the channel.
            assert tag in self.waiting
            meant = {each for each in self.waiting if each <= tag} if multiple else {tag}
            self.waiting -= meant
            self.understood[ack] |= meant
            assert self.understood[ack] <= self.settled[ack]
        assert self.understood == self.settled
        assert self.waiting == set(self.in_hand)


TestABrokerThatIsTold = ABrokerThatIsTold.TestCase
