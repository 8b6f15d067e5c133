"""``python -m examples.tracker.demo``: the whole path on one machine, without a broker.

Starts the tracker and ``storyboard-worker-daemon`` on one SQLite file with the embedded queue, uses
the API as three people would, and prints each event, each plugin's outcome and each notification as
they happen.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from eventworker.db import build_engine
from examples.tracker.stage import Client, DemoFailed, command, free_port, has_command, run, tail
from examples.tracker.stage import running as running_process
from examples.tracker.watch import Watcher

#: Notifications that the scenes below must lead to; see :func:`play`.
EXPECTED_NOTIFICATIONS = 10
#: Seconds from the start until everything has to be handled.
TIME_LIMIT = 60.0

CONFIG = """\
[DEFAULT]
enable_notifications = True

[notifications]
driver = sql

[database]
connection = {url}

[plugins]
resource_classes = user:examples.tracker.models:User

"""
#: Who is told of what, by the rules of the tracker's tables.
SUBSCRIPTION = Path(__file__).with_name("subscription.conf")


def main() -> int:
    """Run the demonstration; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.tracker.demo", description=__doc__)
    parser.add_argument(
        "--once",
        action="store_true",
        help="end when everything is handled; exit code 0 only if it was",
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="eventworker-demo-") as folder:
        try:
            return _demonstrate(Path(folder), options.once)
        except DemoFailed as error:
            print(f"\nThis did not work: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nEnded.")
            return 130 if options.once else 0


def _demonstrate(folder: Path, once: bool) -> int:
    deadline = time.monotonic() + TIME_LIMIT
    database = folder / "tracker.sqlite"
    url = f"sqlite:///{database}"
    config = folder / "eventworker.conf"
    config.write_text(CONFIG.format(url=url) + SUBSCRIPTION.read_text())
    logs = {name: folder / f"{name}.log" for name in ("setup", "tracker", "daemon")}
    print(f"One SQLite file is database and queue: {database}")
    run([command("eventworker"), "--config-file", str(config), "db", "upgrade"], logs["setup"])
    if has_command("eventworker-audit"):
        run([command("eventworker-audit"), "upgrade", "--config-file", str(config)], logs["setup"])
    port = free_port()
    tracker = [sys.executable, "-m", "examples.tracker", "--port", str(port), "--database", url]
    daemon = [
        command("storyboard-worker-daemon"),
        "--config-file",
        str(config),
        "--worker-count",
        "2",
    ]
    with contextlib.ExitStack() as stack:
        serving = stack.enter_context(running_process(tracker, logs["tracker"]))
        client = Client(port)
        client.wait(serving, logs["tracker"])
        print(f"The tracker answers at http://127.0.0.1:{port}/v1")
        working = stack.enter_context(running_process(daemon, logs["daemon"]))
        engine = build_engine(url)
        stack.callback(engine.dispose)
        watcher = _wait_for_plugins(engine, working, logs["daemon"], deadline)
        play(client, lambda: _wait_until_handled(watcher, logs["daemon"], deadline))
        if watcher.notifications != EXPECTED_NOTIFICATIONS:
            raise DemoFailed(
                f"{watcher.notifications} notifications instead of {EXPECTED_NOTIFICATIONS}"
            )
        print(
            f"\n{watcher.events} events, each handled once by each plugin; "
            f"{watcher.notifications} notifications."
        )
        if once:
            return 0
        _invite(port, config)
        while working.poll() is None and serving.poll() is None:
            watcher.look()
            time.sleep(0.1)
        raise DemoFailed(f"a process ended by itself:\n{tail(logs['daemon'])}")


def _wait_for_plugins(engine: Engine, daemon: Any, log: Path, deadline: float) -> Watcher:
    watcher = Watcher(engine)
    while not (names := watcher.learn_plugins()):
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise DemoFailed(f"storyboard-worker-daemon does not start:\n{tail(log)}")
        time.sleep(0.05)
    print(f"storyboard-worker-daemon runs the plugins {', '.join(names)}\n")
    return watcher


def play(client: Client, handled: Callable[[], None]) -> None:
    """Three people at work: Ann writes, Bob and Eve follow, and not everybody may see everything.

    :param handled: waits until everything so far is handled.
    """
    ann, bob, eve = (
        client.ask("POST", "/v1/users", {"name": name})["id"] for name in ("ann", "bob", "eve")
    )
    story = client.ask("POST", "/v1/stories", {"title": "The roof leaks"}, ann)["id"]
    handled()  # who follows a story before its first event is handled would be told of that one
    for user in (bob, eve):
        follow = {"user_id": user, "target_type": "story", "target_id": story}
        client.ask("POST", "/v1/subscriptions", follow, user)
    print("Bob and Eve follow the story now.")
    task = client.ask("POST", "/v1/tasks", {"story_id": story, "title": "Find the hole"}, ann)["id"]
    client.ask("PATCH", f"/v1/tasks/{task}", {"status": "inprogress", "assignee_id": bob}, bob)
    client.ask("POST", f"/v1/stories/{story}/comments", {"content": "It is the chimney"}, bob)
    handled()
    client.ask("PUT", f"/v1/stories/{story}", {"title": "The chimney leaks"}, ann)
    client.ask("DELETE", f"/v1/tasks/{task}", user=ann)
    handled()
    house = client.ask("POST", "/v1/projects", {"name": "House"}, ann)["id"]
    lock = {"title": "The lock is broken", "private": True}
    secret = client.ask("POST", "/v1/stories", lock, ann)["id"]
    handled()
    permission = {"user_id": bob, "target_type": "story", "target_id": secret}
    client.ask("POST", "/v1/permissions", permission, ann)
    for user in (bob, eve):
        follow = {"user_id": user, "target_type": "project", "target_id": house}
        client.ask("POST", "/v1/subscriptions", follow, user)
    print("Bob and Eve follow the project House; its story 2 is private, and only Bob may see it.")
    task = {"story_id": secret, "project_id": house, "title": "Change the lock"}
    client.ask("POST", "/v1/tasks", task, ann)
    client.ask("PUT", f"/v1/stories/{secret}", {"title": "The lock is stuck"}, ann)
    handled()


def _wait_until_handled(watcher: Watcher, log: Path, deadline: float) -> None:
    while True:
        watcher.look()
        missing = watcher.unfinished()
        if watcher.events and not missing:
            watcher.look()  # the notifications of what was done a moment ago
            return
        if time.monotonic() > deadline:
            raise DemoFailed(f"not handled: {', '.join(missing) or 'anything'}\n{tail(log)}")
        time.sleep(0.05)


def _invite(port: int, config: Path) -> None:
    address = f"http://127.0.0.1:{port}/v1"
    eventworker = f"{command('eventworker')} --config-file {config}"
    print(
        f"""
Now you, in another terminal; what comes of it appears here:

  curl -X POST {address}/stories -H 'X-User-Id: 1' -d '{{"title": "Mine"}}'
  curl -X POST {address}/stories/1/comments -H 'X-User-Id: 2' -d '{{"content": "Hello"}}'
  curl -X PATCH {address}/stories/1 -H 'X-User-Id: 3' -d '{{"title": "Ours"}}'
  curl {address}/notifications?user_id=2

  {eventworker} plugins list
  {eventworker} deliveries list

Ctrl-C ends everything.
"""
    )


if __name__ == "__main__":
    raise SystemExit(main())
