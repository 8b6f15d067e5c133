"""On which databases a test runs in each run, and on which in `make long` alone."""

import pytest

#: What one database shows in each run; the statements themselves are tried on all by other tests.
SQLITE_FIRST = pytest.mark.parametrize(
    "sql_site",
    [
        "sqlite_database",
        pytest.param("database", marks=pytest.mark.long),
        pytest.param("maria_database", marks=pytest.mark.long),
    ],
    indirect=True,
)
