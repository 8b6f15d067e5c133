"""A server outside the database, which counts what it is asked by the key of the request."""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from tests.servers import wait_until


class Sink:
    """Answers every POST, after it has counted it.

    :ivar held: while it is set, requests are counted and get no answer.
    :ivar refusing: so many requests of each key are answered with 500 first.
    """

    def __init__(self) -> None:
        self.held = threading.Event()
        self.refusing = 0
        self._requests: list[tuple[str, dict[str, Any]]] = []
        self._lock = threading.Lock()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sink._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # a dead client
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        key = request.headers["Idempotency-Key"]
        with self._lock:
            self._requests.append((key, body))
            refused = self.keys()[key] <= self.refusing
        while self.held.is_set() and self._thread.is_alive():
            threading.Event().wait(0.01)
        request.send_response(500 if refused else 204)
        request.end_headers()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def keys(self) -> Counter[str]:
        """How often each key came."""
        return Counter(key for key, _ in list(self._requests))

    def pids(self) -> set[int]:
        """The processes that the requests came from."""
        return {body["pid"] for _, body in list(self._requests)}

    def wait_for(self, keys: set[str], timeout: float = 40) -> None:
        """Wait until each of these keys has come."""
        wait_until(
            lambda: keys <= set(self.keys()),
            timeout,
            lambda: f"{len(keys - set(self.keys()))} of {len(keys)} keys have not come",
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.held.clear()
        self._server.shutdown()
        self._server.server_close()
