"""The life of a sandbox: put the locks on, wait for one job, do it, tell how it ended.

Every run pays for what is imported here, so what few of them need is imported by those. Most read
their item, which is XML; that module is loaded while nobody waits.
"""

from __future__ import annotations

import contextlib
import os
import sys
import types
import xml.etree.ElementTree  # noqa: F401
from typing import Any

from .loading import NotLoaded, load
from .locks import Refused, put_on
from .pipe import Pipe
from .proxies import Client, Host, Item

#: Characters of what is told of an error.
_ERROR, _TRACEBACK = 4000, 16000
#: Folders of the code that calls a hook.
_LIBRARY = os.path.dirname(os.__file__)
_LEADING = (os.path.dirname(__file__), f"{_LIBRARY}/asyncio", f"{_LIBRARY}/importlib")


def main() -> None:
    """Ends the process."""
    pipe = Pipe.taken()
    start = pipe.read()
    if start is None:
        os._exit(0)
    try:
        put_on(start["locks"])
    except Refused as error:
        pipe.write({"refused": str(error)})
        os._exit(1)
    sys.path[:0] = start["path"]
    pipe.write({"ready": os.getpid()})
    job = pipe.read()
    if job is None:
        os._exit(0)
    pipe.write(_ended(job, pipe))
    # Threads and whatever else the hook has left do not keep it alive.
    os._exit(0)


def _ended(job: dict[str, Any], pipe: Pipe) -> dict[str, Any]:
    """How it ended: ``done``; or ``load`` or ``raised`` with error and traceback."""
    how = "done"
    error: BaseException | None = None
    try:
        try:
            hook = load(job)
        except NotLoaded as problem:
            how, error = "load", problem
        else:
            _call(hook, job, pipe)
    except BaseException as problem:
        how, error = "raised", problem
    _flush()
    if error is None:
        return {"ended": how}
    return {"ended": how, **_described(error)}


def _call(hook: Any, job: dict[str, Any], pipe: Pipe) -> None:
    host, client = Host(job["config"]), Client(job["owner"], pipe)
    item = Item(job["item"])
    result = hook(host, client, item)
    if hasattr(result, "__await__"):
        import asyncio

        asyncio.run(_awaited(result))


async def _awaited(result: Any) -> None:
    await result


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the hook may have closed it
            stream.flush()


def _described(error: BaseException) -> dict[str, str]:
    try:
        import traceback

        cause = error.__cause__ if isinstance(error, NotLoaded) and error.__cause__ else error
        text = "".join(traceback.format_exception_only(cause)).strip().splitlines()[-1]
        if cause is not error:
            text = f"{error}: {text}"
        elif isinstance(error, NotLoaded):
            text = str(error)
        shown = cause.with_traceback(_own(cause.__traceback__)) if cause else None
        trace = "".join(traceback.format_exception(shown))
    except Exception:  # its text may fail, too
        text, trace = type(error).__name__, ""
    return {"error": text[:_ERROR], "traceback": trace[-_TRACEBACK:]}


def _own(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Without the frames that lead to the hook."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_LEADING):
        trace = trace.tb_next
    return trace
