"""The example applications as processes, and the bulk work that is done beside the tracker."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import NullPool, create_engine
from sqlalchemy.orm import sessionmaker

from eventworker.capture.sqlalchemy import capture
from examples.tracker.app import RESOURCES
from examples.tracker.models import Story
from tests.acceptance.installation import ROOT, Installation, clean_environment
from tests.servers import wait_until
from tests.servers.ports import HOST, accepts_connections, free_ports

CLIENTS = 4
BULK = 500


def tracker(installation: Installation, folder: Path, url: str) -> AbstractContextManager[int]:
    """The example tracker; its port."""
    return example("tracker", installation, folder, url)


@contextmanager
def example(
    name: str, installation: Installation, folder: Path, url: str, **env: str
) -> Iterator[int]:
    """One of the examples, run with the installed eventworker; its port."""
    # The examples are no distribution, and the rest of the source tree must not be found with them.
    path = folder / "path"
    path.mkdir()
    (path / "examples").symlink_to(ROOT / "examples")
    (port,) = free_ports(1)
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(installation.bin / "python", "-m", f"examples.{name}"),
                *("--port", str(port), "--database", url),
            ],
            cwd=folder,
            env={**clean_environment(), "PYTHONPATH": str(path), **env},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(
            lambda: accepts_connections(port) or process.poll() is not None, 30, log.read_text
        )
        assert process.poll() is None, log.read_text()
        yield port
    finally:
        process.terminate()
        process.wait(20)


def ask(connection: HTTPConnection, method: str, path: str, body: Any) -> Any:
    connection.request(method, path, msgspec.json.encode(body), {"X-User-Id": "1"})
    response = connection.getresponse()
    answer = response.read()
    assert response.status < 400, f"{method} {path}: {response.status} {answer!r}"
    return msgspec.json.decode(answer) if answer else None


def use_api(port: int, stories: int) -> int:
    """Make a user and stories, change and comment on each; the number of events."""

    def one_client(number: int) -> None:
        with closing(HTTPConnection(HOST, port, timeout=30)) as connection:
            for index in range(number, stories, CLIENTS):
                story = ask(connection, "POST", "/v1/stories", {"title": f"Story {index} ž"})
                path = f"/v1/stories/{story['id']}"
                ask(connection, "PUT", path, {"title": f"Story {index}, changed"})
                ask(connection, "POST", f"{path}/comments", {"content": "seen"})

    with closing(HTTPConnection(HOST, port, timeout=30)) as connection:
        ask(connection, "POST", "/v1/users", {"name": "ann"})
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one_client, range(CLIENTS)))
    return 3 * stories + 1


def work_in_bulk(url: str, stories: int) -> int:
    """What a script of the application does in large transactions; the number of events."""
    # The thread that wakes the consumers may come for a connection after the last commit.
    engine = create_engine(url, poolclass=NullPool)
    sessions = sessionmaker(engine)
    capture(sessions, RESOURCES, source="tracker")
    for start in range(0, stories, BULK):
        with sessions() as session, session.begin():
            session.add_all(
                Story(title=f"Bulk {number}") for number in range(start, min(start + BULK, stories))
            )
    return stories
