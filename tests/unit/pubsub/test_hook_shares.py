"""How workers are shared between the owners of hooks."""

import pytest

from eventworker.pubsub.hooks import shares
from eventworker.pubsub.hooks.shares import Shares

ITSELF, ANN, BEN = "pubsub.localhost", "ann@example.org", "ben@example.org"


def exhausted(made: Shares) -> list[str]:
    with made.claiming() as owners:
        return owners


def begin(made: Shares, *owners: str) -> None:
    with made.claiming():
        for owner in owners:
            made.begin(owner)


def test_nobody_but_the_service_keeps_all_workers_busy() -> None:
    made = Shares(ITSELF, 3)
    begin(made, ANN, ITSELF)
    assert exhausted(made) == []
    begin(made, ANN, BEN)
    assert exhausted(made) == [ANN]
    begin(made, ITSELF, ITSELF)
    assert exhausted(made) == [ANN]
    made.end(ANN)
    assert exhausted(made) == []


def test_one_worker_by_itself_is_for_everybody() -> None:
    made = Shares(ITSELF, 1)
    begin(made, ANN)
    made.end(ANN)
    assert exhausted(made) == []


def test_runs_are_counted_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(shares.time, "monotonic", lambda: now)
    made = Shares(ITSELF, 8, per_minute=3)
    for later in (0, 10, 20):
        now = 1000.0 + later
        begin(made, ANN, BEN if later else ITSELF)
        made.end(ANN)
    assert exhausted(made) == [ANN]
    now = 1059.9
    assert exhausted(made) == [ANN]
    now = 1060.0
    assert exhausted(made) == []
    begin(made, BEN)
    assert exhausted(made) == [BEN]
    now = 2000.0
    assert exhausted(made) == []
