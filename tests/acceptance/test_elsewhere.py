"""kill -9 between the commit in another database and the one in the main database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventworker.inbox.elsewhere import OtherDatabase
from tests.acceptance.probe import TABLE, Probe, once
from tests.acceptance.site import Site
from tests.helpers.events import make_event
from tests.servers import wait_until

Opened = Callable[[str], Probe]


@pytest.fixture
def open_other(tmp_path: Path) -> Iterator[Opened]:
    """Makes the other database's tables as its operator would; shows what is in it."""
    opened: list[Probe] = []

    def make(url: str) -> Probe:
        other = OtherDatabase(url, "ledger")
        other.create_table()
        other.close()
        opened.append(Probe(url, tmp_path / "other"))
        opened[-1].execute(TABLE)
        return opened[-1]

    yield make
    for probe in opened:
        probe.close()


def died_between_the_commits(site: Site, other: Probe) -> None:
    site.configure(
        plugins={"only": "alpha, ledger"}, plugin_ledger={"other": other.url, "obeys": "killed"}
    )
    daemon = site.start(workers=1)
    (event,) = site.send(make_event(resource="killed"))
    innocent = site.send(make_event(), make_event())

    daemon.says("killed by signal SIGKILL")
    assert other.effects()[str(event.id), "ledger"] == 1, "it died before the commit over there"
    wait_until(lambda: site.probe.calls()[str(event.id), "ledger"] == 2, 30, "no second call")
    site.wait_for([event, *innocent], "alpha", "ledger")
    site.stop_all()
    assert other.effects() == once([event, *innocent], "ledger")
    assert site.probe.effects() == once([event, *innocent], "alpha", "ledger")
    assert site.probe.deliveries() == {}


def test_the_effect_in_a_sqlite_file_beside_postgresql_is_there_once(
    site: Site, open_other: Opened, tmp_path: Path
) -> None:
    died_between_the_commits(site, open_other(f"sqlite:///{tmp_path}/other.sqlite"))


def test_the_effect_in_postgresql_beside_a_sqlite_file_is_there_once(
    make_site: Callable[..., Site], sqlite_database: str, postgres_url: str, open_other: Opened
) -> None:
    died_between_the_commits(make_site(sqlite_database), open_other(postgres_url))
