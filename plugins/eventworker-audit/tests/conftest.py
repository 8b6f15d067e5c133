"""The plugin amid the daemon's parts, on an SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from eventworker_audit import AuditWorker
from eventworker_audit.schema import upgrade
from sqlalchemy import Engine

from eventworker.testing import Harness

MakeHarness = Callable[..., Harness]


@pytest.fixture
def make_harness() -> Iterator[MakeHarness]:
    """Put the plugin into a harness, with values for ``[plugin:audit]``."""
    with ExitStack() as harnesses:

        def make(prepare: Callable[[Engine], None] | None = upgrade, **options: object) -> Harness:
            harness = Harness(AuditWorker, "audit", prepare=prepare, options=options)
            return harnesses.enter_context(harness)

        yield make


@pytest.fixture
def engine(make_harness: MakeHarness) -> Engine:
    """A database with the plugin's table."""
    return make_harness().engine


@pytest.fixture
def bare_engine(make_harness: MakeHarness) -> Engine:
    """A database before the plugin's own migration."""
    return make_harness(prepare=None).engine
