"""The framework's own work, where the database has a limit for statements."""

import pytest
from sqlalchemy import Engine

from eventworker.db import short_transaction
from eventworker.errors import DatabaseUnavailable

SLOW = {
    "postgresql": ("SET LOCAL statement_timeout = 50", "SELECT pg_sleep(20)"),
    "mariadb": (
        "SET STATEMENT max_statement_time = 0.05 FOR"
        " SELECT count(*) FROM information_schema.columns a, information_schema.columns b"
        ", information_schema.columns c",
    ),
}


def run(engine: Engine) -> None:
    with short_transaction(engine) as connection:
        for statement in SLOW[engine.dialect.name]:
            connection.exec_driver_sql(statement)


@pytest.mark.parametrize("kind", ["postgres", "maria"])
def test_a_statement_that_is_cut_off_is_tried_again_later(
    request: pytest.FixtureRequest, kind: str
) -> None:
    """It was kept waiting by others; a process that ended for it would be of no help."""
    with pytest.raises(DatabaseUnavailable, match=r"not now: .*time"):
        run(request.getfixturevalue(f"{kind}_engine"))
