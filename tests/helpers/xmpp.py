"""The publish-subscribe component as a process, and a loop that XMPP clients run in."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.servers import XmppServer, wait_until

T = TypeVar("T")

COMMANDS = Path(sys.executable).parent
#: Seconds that an answer may take.
PATIENCE = 30.0


class Loop:
    """An event loop in a thread of its own, for clients of tests that are not asynchronous."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def __call__(self, coroutine: Coroutine[Any, Any, T], timeout: float = PATIENCE) -> T:
        """Run it there; returns what it returns."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _value: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self(_cancel_all())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class ComponentProcess:
    """``eventworker-xmpp`` on a database that has its tables.

    :param server: whom it connects to; None: what ``xmpp`` says.
    :param pubsub: further options of the group ``[pubsub]``.
    :param xmpp: those of ``[xmpp]``.
    :param daemon: run the daemon, which runs the component.
    :param more: further groups.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        server: XmppServer | None,
        jid: str = XmppServer.component,
        pubsub: Mapping[str, object] | None = None,
        xmpp: Mapping[str, object] | None = None,
        daemon: bool = False,
        more: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        self.jid = jid
        self._command = "storyboard-worker-daemon" if daemon else "eventworker-xmpp"
        self.url = url
        self.log = folder / "component.log"
        self.config = folder / "component.conf"
        groups: dict[str, Mapping[str, object]] = {
            "DEFAULT": {"enable_notifications": True, "worker_count": 1},
            "notifications": {"driver": "sql"},
            "database": {"connection": url},
            "pubsub": {"service": jid, "creators": "everyone", **(pubsub or {})},
            "xmpp": {
                **({"port": server.component_port, "secret": server.secret} if server else {}),
                "reconnect_delay": 0.2,
                **(xmpp or {}),
            },
            **(more or {}),
        }
        lines = []
        for group, options in groups.items():
            lines.append(f"[{group}]")
            lines += [f"{name} = {value}" for name, value in options.items()]
        self.config.write_text("\n".join(lines) + "\n")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> Self:
        """Start it; returns when it is connected, if it is to wait for that."""
        before = self.connections()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [COMMANDS / self._command, "--config-file", self.config],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if wait:
            self.wait_connected(before + 1)
        return self

    def wait_connected(self, times: int) -> None:
        """Return when it has been connected so often."""
        wait_until(
            lambda: self.connections() >= times or self._has_ended(), 30, lambda: self.text()
        )
        assert self.connections() >= times, self.text()

    def connections(self) -> int:
        """How often it has connected."""
        return self.text().count("connected to 127.0.0.1")

    def text(self) -> str:
        """Its log."""
        return self.log.read_text() if self.log.exists() else ""

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, which it does without complaint; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        code = self.wait()
        assert "Traceback" not in self.text(), self.text()
        return code

    def wait(self) -> int:
        """Its exit code, when it has ended."""
        assert self.process is not None
        code = self.process.wait(PATIENCE)
        self.process = None
        return code

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _value: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.kill()
