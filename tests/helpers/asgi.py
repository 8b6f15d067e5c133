"""Small ASGI applications, and a request to one as a server makes it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Sent = list[dict[str, Any]]
JSON = [(b"content-type", b"application/json")]


def scope_of(method: str, path: str, *headers: tuple[bytes, bytes], **more: Any) -> Scope:
    asked = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    return {**asked, "query_string": b"", "root_path": "", **more}


def answering(status: int, body: Any = None) -> Callable[..., Awaitable[None]]:
    """An application that always answers this, as JSON in two pieces."""
    sent = json.dumps(body).encode()

    async def app(_scope: Scope, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": JSON})
        await send({"type": "http.response.body", "body": sent[:3], "more_body": True})
        await send({"type": "http.response.body", "body": sent[3:]})

    return app


async def serve(app: Any, scope: Scope, sent: Sent | None = None) -> Sent:
    """One request; ``sent`` gets its messages even if the application raises."""
    messages: Sent = [] if sent is None else sent

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        messages.append(message)

    await app(scope, receive, send)
    return messages


def ask(app: Any, method: str, path: str, *headers: tuple[bytes, bytes], **more: Any) -> Sent:
    """One request in an event loop of its own."""
    return asyncio.run(serve(app, scope_of(method, path, *headers, **more)))
