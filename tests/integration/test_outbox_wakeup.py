"""PostgreSQL's wake-up costs the request nothing, and its loss costs one poll."""

import time
from collections.abc import Callable

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from eventworker import outbox
from eventworker.transports.sql import SqlTransport
from eventworker.transports.waiting import Lookout
from tests.helpers.databases import make_tables
from tests.helpers.deliveries import take
from tests.helpers.events import make_event
from tests.servers import PostgresServer, wait_until

END_LISTENERS = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE query LIKE 'LISTEN%' AND datname = current_database()"
)


def record(engine: Engine) -> None:
    with Session(engine) as session:
        outbox.record(session, make_event())
        session.commit()


def test_a_lost_listener_costs_one_poll_and_is_made_again(postgres_engine: Engine) -> None:
    subscription = SqlTransport(postgres_engine, poll_interval=0.2).subscribe(5)
    assert subscription.receive(0.3) is None
    with postgres_engine.connect() as connection:
        assert connection.scalar(END_LISTENERS) == 1
    record(postgres_engine)
    take(subscription)[0].ack()
    record(postgres_engine)
    take(subscription)[0].ack()
    subscription.close()


def test_events_of_an_application_without_wake_ups_are_found_by_the_poll(
    postgres_engine: Engine,
) -> None:
    subscription = SqlTransport(postgres_engine, poll_interval=0.1).subscribe(5)
    assert subscription.receive(0.2) is None
    with postgres_engine.begin() as connection:  # a connection rings no bell
        outbox.record(connection, make_event())
    take(subscription)[0].ack()
    subscription.close()


def test_a_request_does_not_wait_for_its_bell(
    own_postgres_server: Callable[..., PostgresServer],
    new_engine: Callable[[str], Engine],
) -> None:
    """The database goes away after the commit: the bell fails, the request does not notice."""
    server = own_postgres_server()
    engine = make_tables(new_engine(server.createdb()))
    record(engine)
    session = Session(engine)
    outbox.record(session, make_event())
    session.commit()
    server.stop(immediately=True)
    started = time.monotonic()
    session.close()
    assert time.monotonic() - started < 5
    lookout = Lookout(engine, 1.0)
    lookout.wait(0.1)  # the database is away; the poll goes on
    server.start()

    def records_again() -> bool:
        try:
            record(engine)
        except Exception:
            return False
        return True

    wait_until(records_again, 20)
    lookout.close()
