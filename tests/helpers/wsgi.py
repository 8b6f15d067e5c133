"""Small WSGI applications, and a request to one as a server makes it."""

import json
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

Answer = tuple[str, list[tuple[str, str]], bytes]
JSON = [("Content-Type", "application/json; charset=utf-8")]


def answering(status: str, headers: list[tuple[str, str]] | None = None, body: Any = b"") -> Any:
    """An application that always answers this."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = [] if status.startswith("204") else headers or [("Content-Type", "text/plain")]

    def app(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response(status, kind)
        return [sent] if sent else []

    return app


def ask(app: Any, method: str, path: str, **environ: str) -> Answer:
    """One request, as a server makes it, checked by the standard's own checker."""
    asked: dict[str, Any] = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path}
    asked["QUERY_STRING"] = ""
    setup_testing_defaults(asked)
    asked.update(environ)
    got: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        got[:] = [status, headers]
        return written.append

    chunks: Any = validator(app)(asked, start_response)
    try:
        written.extend(chunks)
    finally:
        chunks.close()
    return got[0], got[1], b"".join(written)
