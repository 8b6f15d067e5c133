"""`eventworker.testing`: what a test of a plugin sees is what the daemon would have done."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
from oslo_config import cfg
from sqlalchemy import Engine, exc
from sqlalchemy import event as sqlalchemy_event

from eventworker import Event, Reject, Retry, WorkerTaskBase
from eventworker.errors import EncodeError, PluginError
from eventworker.testing import Harness, Outcome, make_event
from tests.helpers.databases import METADATA, Author, break_rule, effects, write

Body = Callable[[Any, Event], None]


class Writer(WorkerTaskBase):
    """Writes its word; then `body`, if there is one."""

    options: ClassVar[list[cfg.Opt]] = [
        cfg.StrOpt("word", default="written"),
        cfg.BoolOpt("wanted", default=True),
    ]
    methods = ("POST",)
    body: Body | None = None

    def enabled(self) -> bool:
        return bool(self.config["plugin:writer"].wanted)

    def handle(self, session: Any, event: Event) -> None:
        write(session, self.config["plugin:writer"].word, event.id)
        if self.body is not None:
            self.body(session, event)


def prepare(engine: Engine) -> None:
    for each in METADATA[1:]:
        each.create_all(engine)


MakeHarness = Callable[..., Harness]


@pytest.fixture
def make_harness() -> Iterator[MakeHarness]:
    with ExitStack() as stack:

        def make(plugin: Any = Writer, body: Body | None = None, **more: Any) -> Harness:
            harness = Harness(plugin, "writer", **{"prepare": prepare, **more})
            harness.plugin.body = body
            return stack.enter_context(harness)

        yield make


def test_the_effect_of_a_delivery_is_committed(
    make_harness: MakeHarness, database_url: str
) -> None:
    harness = make_harness(url=database_url)
    ending = harness.deliver(make_event())
    assert (ending.done, ending.outcome, ending.attempts) == (True, Outcome.DONE, 0)
    assert effects(harness.engine) == ["written"]


def test_a_second_delivery_has_no_second_effect(
    make_harness: MakeHarness, database_url: str
) -> None:
    harness = make_harness(url=database_url)
    harness.deliver_twice(make_event())
    assert (harness.calls, effects(harness.engine)) == (1, ["written"])


def test_delivering_twice_fails_where_the_first_delivery_does(make_harness: MakeHarness) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("broken")

    harness = make_harness(body=fail)
    with pytest.raises(AssertionError, match="the first delivery ended RETRY: RuntimeError: broke"):
        harness.deliver_twice(make_event())


def test_a_redelivered_event_is_handled_from_the_backlog_at_once(make_harness: MakeHarness) -> None:
    harness = make_harness()
    assert harness.deliver(make_event(), redelivered=True).done
    assert (harness.calls, effects(harness.engine)) == (1, ["written"])


def test_options_and_groups_are_the_daemons(make_harness: MakeHarness) -> None:
    harness = make_harness(
        options={"word": "said", "max_attempts": 2},
        groups={"plugins": {"resource_classes": {"user": "tests.helpers.databases:Author"}}},
    )
    assert harness.deliver(make_event()).done
    assert effects(harness.engine) == ["said"]
    assert harness.conf["plugin:writer"].max_attempts == 2


def test_the_author_is_looked_up_as_configured(make_harness: MakeHarness) -> None:
    class Greeter:
        def enabled(self) -> bool:
            return True

        def handle(self, session: Any, author: Any, **_rest: Any) -> None:
            write(session, f"hello {author.name}")

    harness = make_harness(
        Greeter(),
        groups={"plugins": {"resource_classes": {"user": "tests.helpers.databases:Author"}}},
    )
    with harness.engine.begin() as connection:
        connection.execute(Author.__table__.insert().values(id=3, name="Ada"))
    assert harness.deliver(make_event(author_id=3)).done
    assert effects(harness.engine) == ["hello Ada"]


def test_verdicts_show_with_attempts_error_and_delay(make_harness: MakeHarness) -> None:
    verdicts = iter([Retry(30, "not yet"), RuntimeError("boom"), Reject("never")])

    def say(*_: Any) -> None:
        raise next(verdicts)

    harness, event = make_harness(body=say), make_event()
    first = harness.deliver(event)
    assert (first.outcome, first.attempts, first.error) == (Outcome.RETRY, 1, "Retry: not yet")
    assert first.delay == pytest.approx(30, abs=2)

    second = harness.retry(event)
    assert (second.outcome, second.attempts) == (Outcome.RETRY, 2)
    assert second.error == "RuntimeError: boom"

    third = harness.retry(event)
    assert (third.outcome, third.attempts, third.delay) == (Outcome.DEAD, 3, None)
    assert third.error == "rejected: never"
    assert effects(harness.engine) == []
    with pytest.raises(LookupError, match="no attempt is due: the event is DEAD"):
        harness.retry(event)


def test_a_retry_that_succeeds_is_done(make_harness: MakeHarness) -> None:
    def fail_once(*_: Any) -> None:
        if harness.calls == 1:
            raise RuntimeError("boom")

    harness, event = make_harness(body=fail_once), make_event()
    harness.deliver(event)
    assert harness.retry(event).done
    assert effects(harness.engine) == ["written"]


def test_events_that_are_not_wanted_are_skipped_without_a_call(make_harness: MakeHarness) -> None:
    harness = make_harness()
    assert harness.deliver(make_event(method="DELETE")).outcome is Outcome.SKIPPED
    off = make_harness(options={"wanted": False})
    assert off.deliver(make_event()).outcome is Outcome.SKIPPED
    assert harness.calls == off.calls == 0


def test_a_plugin_that_cannot_say_whether_it_is_enabled_is_the_tests_error(
    make_harness: MakeHarness,
) -> None:
    class Unsure(Writer):
        def enabled(self) -> bool:
            raise LookupError("no idea")

    with pytest.raises(LookupError, match="no idea"):
        make_harness(Unsure).deliver(make_event())


def test_a_signature_that_the_daemon_refuses_is_refused(make_harness: MakeHarness) -> None:
    class Wrong(Writer):
        def handle(self, sesion: Any) -> None:  # type: ignore[override]
            pass

    with pytest.raises(PluginError, match="handle\\(\\) demands 'sesion'"):
        make_harness(Wrong)


def test_the_plugin_gets_the_event_as_it_has_travelled(make_harness: MakeHarness) -> None:
    seen: list[Event] = []
    harness = make_harness(body=lambda _session, event: seen.append(event))
    event = make_event(resource_after={"position": (1, 2)}, source="tracker")
    harness.deliver(event)
    (arrived,) = seen
    assert arrived.resource_after == {"position": [1, 2]}
    assert (arrived.id, arrived.source) == (event.id, "tracker")
    with pytest.raises(EncodeError):
        harness.deliver(make_event(resource_after={"due": object()}))


def test_a_swallowed_error_that_dooms_the_transaction_is_seen(
    make_harness: MakeHarness, postgres_url: str
) -> None:
    def swallow(session: Any, _event: Event) -> None:
        with suppress(exc.IntegrityError):
            break_rule(session)

    harness = make_harness(body=swallow, url=postgres_url)
    ending = harness.deliver(make_event())
    assert (ending.outcome, effects(harness.engine)) == (Outcome.RETRY, [])
    assert "TransactionLost" in str(ending.error)


class Mailer:
    """One row and one mail, in an order that it is told."""

    def __init__(self, mail_first: bool) -> None:
        self.mail_first = mail_first
        self.sent: list[str] = []

    def enabled(self) -> bool:
        return True

    def handle(self, session: Any, event: Event) -> None:
        if self.mail_first:
            self.sent.append(str(event.id))
        write(session, "row")
        if not self.mail_first:
            self.sent.append(str(event.id))


def test_a_death_before_the_commit_leaves_what_was_done_outside_alone(
    make_harness: MakeHarness, database_url: str
) -> None:
    mailer, event = Mailer(mail_first=False), make_event()
    harness = make_harness(mailer, url=database_url)
    harness.crash(event)
    assert (effects(harness.engine), mailer.sent) == ([], [str(event.id)])

    assert harness.deliver(event, redelivered=True).done
    assert (effects(harness.engine), mailer.sent) == (["row"], [str(event.id)] * 2)


@pytest.mark.parametrize("mail_first", [False, True])
def test_a_death_at_the_first_write_tells_what_was_done_before_it(
    make_harness: MakeHarness, database_url: str, mail_first: bool
) -> None:
    mailer = Mailer(mail_first)
    harness = make_harness(mailer, url=database_url)
    harness.crash(make_event(), at="write")
    assert bool(mailer.sent) is mail_first
    assert effects(harness.engine) == []
    # The next call is not touched by it.
    assert harness.deliver(make_event()).done


def test_a_crash_that_is_not_reached_is_an_error_of_the_test(make_harness: MakeHarness) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("before")

    with pytest.raises(AssertionError, match="as far as its commit: RuntimeError: before"):
        make_harness(body=fail).crash(make_event())

    class Idle(Writer):
        def handle(self, session: Any, event: Event) -> None:
            pass

    idle, event = make_harness(Idle), make_event()
    with pytest.raises(AssertionError, match="as far as its write"):
        idle.crash(event, at="write")
    idle.deliver(event)
    with pytest.raises(AssertionError, match="done already"):
        idle.crash(event)


def test_the_time_limit_is_the_daemons_and_the_alarm_is_given_back(
    make_harness: MakeHarness,
) -> None:
    rang = threading.Event()
    before = signal.signal(signal.SIGALRM, lambda *_: rang.set())
    timer = signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        harness = make_harness(
            body=lambda *_: time.sleep(30), options={"handler_timeout": 0.1, "max_attempts": 1}
        )
        ending = harness.deliver(make_event())
        assert ending.outcome is Outcome.DEAD
        assert "HandlerTimeout" in str(ending.error)
        assert not rang.is_set()
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] < 60
        signal.raise_signal(signal.SIGALRM)
        assert rang.is_set()
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def test_the_sqlite_file_goes_with_the_harness() -> None:
    with Harness(Writer, "writer", prepare=prepare) as harness:
        file = Path(str(harness.engine.url.database))
        assert file.exists()
    assert not file.exists()


class InOrder(Writer):
    ordered = True


def test_an_ordered_plugin_is_called_in_the_order_of_the_capture(make_harness: MakeHarness) -> None:
    harness = make_harness(InOrder)
    first, second, third = (harness.capture(make_event(resource_id=1)) for _ in range(3))
    assert harness.deliver(third).outcome is Outcome.PENDING
    assert harness.deliver(second).outcome is Outcome.PENDING
    assert harness.calls == 0
    assert harness.deliver(first).done
    assert harness.ending(second).done
    assert harness.ending(third).done
    assert harness._loaded.calls == [first, second, third]


def test_an_ordered_plugin_takes_what_was_not_captured_as_it_comes(
    make_harness: MakeHarness,
) -> None:
    assert make_harness(InOrder).deliver_twice(make_event()).done


def test_what_comes_after_a_failure_waits_for_it(make_harness: MakeHarness) -> None:
    def fail(_session: Any, event: Event) -> None:
        if harness.calls == 1:
            raise Retry(60)

    harness = make_harness(InOrder, body=fail)
    first, second = (harness.capture(make_event(resource_id=1)) for _ in range(2))
    assert harness.deliver(first).outcome is Outcome.RETRY
    assert harness.deliver(second).outcome is Outcome.PENDING
    assert harness.retry(first).done
    harness.retry(second)
    assert harness.ending(second).done


class Shared(Writer):
    """Shares its transactions."""

    transactional = True


class Batching(Shared):
    """Takes several events at once."""

    batches: ClassVar[list[int]] = []

    def handle_batch(self, session: Any, events: list[Event]) -> None:
        self.batches.append(len(events))
        for each in events:
            self.handle(session, each)


def test_events_that_are_delivered_together_share_a_transaction(make_harness: MakeHarness) -> None:
    begun: list[int] = []
    harness = make_harness(Shared)
    harness.deliver(make_event())
    sqlalchemy_event.listen(harness.engine, "commit", lambda _connection: begun.append(1))
    endings = harness.deliver_together(*(make_event() for _ in range(5)))
    assert all(each.done for each in endings)
    assert (len(begun), harness.calls) == (1, 6)
    assert effects(harness.engine) == ["written"] * 6


def test_a_batch_is_counted_by_its_events(make_harness: MakeHarness) -> None:
    harness = make_harness(Batching)
    Batching.batches.clear()
    endings = harness.deliver_together(*(make_event() for _ in range(5)))
    assert all(each.done for each in endings)
    assert (Batching.batches, harness.calls) == ([5], 5)


def test_of_those_that_are_delivered_together_the_bad_one_fails_alone(
    make_harness: MakeHarness,
) -> None:
    events = [make_event() for _ in range(4)]

    def fail(_session: Any, event: Event) -> None:
        if event.id == events[2].id:
            raise ValueError("no")

    for plugin in (Shared, Batching):
        harness = make_harness(plugin, fail)
        endings = harness.deliver_together(*events)
        assert [each.done for each in endings] == [True, True, False, True]
        assert endings[2].error == "ValueError: no"
