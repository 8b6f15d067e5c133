"""An XMPP server, the component in its process, and clients."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventworker import migrations
from eventworker.db import build_engine
from tests.helpers.slixmpp_client import SlixmppClient
from tests.helpers.xmpp import ComponentProcess, Loop
from tests.servers import XmppServer

MakeComponent = Callable[..., ComponentProcess]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What needs an XMPP server is tried with Prosody, and with ejabberd among the long tests,
    those marked ``ejabberd`` each time."""
    if "xmpp_kind" in metafunc.fixturenames:
        marks = [] if metafunc.definition.get_closest_marker("ejabberd") else [pytest.mark.long]
        kinds = ["prosody", pytest.param("ejabberd", marks=marks)]
        metafunc.parametrize("xmpp_kind", kinds, scope="session")


@pytest.fixture(scope="session")
def xmpp_server(request: pytest.FixtureRequest, xmpp_kind: str) -> XmppServer:
    """The session's XMPP server of a kind. Tests that stop one use `own_xmpp_server`."""
    server: XmppServer = request.getfixturevalue(f"{xmpp_kind}_server")
    return server


@pytest.fixture
def own_xmpp_server(request: pytest.FixtureRequest, xmpp_kind: str) -> Callable[..., XmppServer]:
    """Starts one for this test alone."""
    start: Callable[..., XmppServer] = request.getfixturevalue(f"own_{xmpp_kind}_server")
    return start


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with eventworker's tables: copying it is faster than making it."""
    path = tmp_path_factory.mktemp("template") / "pubsub.sqlite"
    engine = build_engine(f"sqlite:///{path}")
    migrations.upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def new_component(tmp_path_factory: pytest.TempPathFactory, template: Path) -> MakeComponent:
    """Makes a component, with the arguments of ComponentProcess; who asks for it starts it."""

    def make(server: XmppServer, **options: object) -> ComponentProcess:
        folder = tmp_path_factory.mktemp("component")
        url = f"sqlite:///{shutil.copy(template, folder)}"
        return ComponentProcess(folder, url, server, **options)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def component(xmpp_server: XmppServer, new_component: MakeComponent) -> Iterator[ComponentProcess]:
    """The session's component. Its admin is dave."""
    admins = {"admins": xmpp_server.address("dave")}
    with new_component(xmpp_server, pubsub=admins) as process:
        yield process


@pytest.fixture
def make_component(new_component: MakeComponent) -> Iterator[MakeComponent]:
    """The same for this test alone, after which it is ended."""
    made: list[ComponentProcess] = []

    def make(server: XmppServer, **options: object) -> ComponentProcess:
        made.append(new_component(server, **options))
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
    loop: Loop, xmpp_server: XmppServer, component: ComponentProcess
) -> Iterator[Callable[[str], SlixmppClient]]:
    """The session's clients, by account; each connects when it is first asked for."""
    made: dict[str, SlixmppClient] = {}

    def client(account: str) -> SlixmppClient:
        if account not in made:
            jid = f"{xmpp_server.address(account)}/tests"
            made[account] = SlixmppClient(loop, xmpp_server, jid, component.jid)
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
