"""The database of a verb."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from oslo_config import cfg
from sqlalchemy import Engine, exc

from eventworker import migrations
from eventworker.db import configured_engine, first_line, translated
from eventworker.errors import DatabaseError
from eventworker.outbox.wakeup import bell_of


@contextmanager
def engine_of(conf: cfg.ConfigOpts, *, tables: bool = True) -> Iterator[Engine]:
    """The engine that the configuration names, for the length of the block.

    :param tables: make sure first that eventworker's tables are there.
    :raises DatabaseError: for any error of the database inside the block, in one line.
    """
    engine = configured_engine(conf.database)
    try:
        if tables:
            migrations.check(engine)
        yield engine
    except exc.SQLAlchemyError as error:
        ours = translated(error)
        if not isinstance(ours, DatabaseError):
            ours = DatabaseError(first_line(error))
        raise ours from error
    finally:
        bell_of(engine).close()
        engine.dispose()
