"""A Prosody, the component in its process, and clients."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventworker import migrations
from eventworker.db import build_engine
from tests.helpers.slixmpp_client import SlixmppClient
from tests.helpers.xmpp import ComponentProcess, Loop
from tests.servers import ProsodyServer

MakeComponent = Callable[..., ComponentProcess]


def database(folder: Path) -> str:
    """The URL of a SQLite database with eventworker's tables."""
    url = f"sqlite:///{folder}/pubsub.sqlite"
    engine = build_engine(url)
    migrations.upgrade(engine)
    engine.dispose()
    return url


@pytest.fixture(scope="session")
def component(
    prosody_server: ProsodyServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComponentProcess]:
    """The session's component. Its admin is dave."""
    folder = tmp_path_factory.mktemp("component")
    admins = {"admins": prosody_server.address("dave")}
    process = ComponentProcess(folder, database(folder), prosody_server, pubsub=admins)
    with process:
        yield process


@pytest.fixture
def make_component(tmp_path: Path) -> Iterator[MakeComponent]:
    """Makes components, which are not started, for this test alone."""
    made: list[ComponentProcess] = []

    def make(server: ProsodyServer, **options: object) -> ComponentProcess:
        folder = tmp_path / f"component-{len(made)}"
        folder.mkdir()
        made.append(ComponentProcess(folder, database(folder), server, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for process in made:
        process.kill()


@pytest.fixture(scope="session")
def loop() -> Iterator[Loop]:
    """Where clients run."""
    with Loop() as running:
        yield running


@pytest.fixture(scope="session")
def slixmpp_clients(
    loop: Loop, prosody_server: ProsodyServer, component: ComponentProcess
) -> Iterator[Callable[[str], SlixmppClient]]:
    """The session's clients, by account; each connects when it is first asked for."""
    made: dict[str, SlixmppClient] = {}

    def client(account: str) -> SlixmppClient:
        if account not in made:
            jid = f"{prosody_server.address(account)}/tests"
            made[account] = SlixmppClient(loop, prosody_server, jid, component.jid)
        return made[account]

    yield client
    for each in made.values():
        each.close()


@pytest.fixture
def alice(slixmpp_clients: Callable[[str], SlixmppClient]) -> SlixmppClient:
    """Who makes nodes in most tests."""
    return slixmpp_clients("alice")


@pytest.fixture
def bob(slixmpp_clients: Callable[[str], SlixmppClient]) -> SlixmppClient:
    """Who subscribes to them."""
    return slixmpp_clients("bob")


@pytest.fixture
def carol(slixmpp_clients: Callable[[str], SlixmppClient]) -> SlixmppClient:
    """Somebody else."""
    return slixmpp_clients("carol")


_numbers = itertools.count(1)


@pytest.fixture
def node() -> str:
    """A name that no node has yet."""
    return f"node/{next(_numbers)} & more"
