"""An SQLite database with eventworker's tables, and a plugin configured for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from eventworker_audit import AuditWorker
from eventworker_audit.schema import upgrade
from oslo_config import cfg
from sqlalchemy import Engine

from eventworker import config
from eventworker.db import build_engine, metadata
from eventworker.inbox import claims

MakePlugin = Callable[..., AuditWorker]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/audit.sqlite"


@pytest.fixture
def bare_engine(url: str) -> Iterator[Engine]:
    """The database before the plugin's own migration."""
    engine = build_engine(url)
    metadata.create_all(engine, tables=[claims.inbox_table])
    yield engine
    engine.dispose()


@pytest.fixture
def engine(bare_engine: Engine) -> Engine:
    upgrade(bare_engine)
    return bare_engine


@pytest.fixture
def make_plugin(url: str) -> MakePlugin:
    """Make the plugin as the daemon does, with values for ``[plugin:audit]``."""

    def make(**values: object) -> AuditWorker:
        conf = cfg.ConfigOpts()
        config.register(conf)
        conf([], default_config_files=[], default_config_dirs=[])
        config.plugin_group(conf, "audit", AuditWorker.options)
        conf.set_override("connection", url, group="database")
        for name, value in values.items():
            conf.set_override(name, value, group="plugin:audit")
        return AuditWorker(conf)

    return make
