"""From a job to something that can be called."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

#: ``ast.PyCF_ALLOW_TOP_LEVEL_AWAIT``, without the rest of that module.
_ALLOW_TOP_LEVEL_AWAIT = 0x2000
#: Host, client and item.
_ARGUMENTS = 3
_TAKES_MORE = 0x04  # inspect.CO_VARARGS
#: Called with host, client and item; what it returns is awaited if it can be.
Hook = Callable[[Any, Any, Any], Any]


class NotLoaded(Exception):
    """There is no hook to call; ``__cause__`` says why where that is an error of its own."""


def load(job: Mapping[str, Any]) -> Hook:
    """The hook of a job.

    :param job: ``type``; ``arg``: a module's name, a file's path, or code; ``source``: what is in
        the file.
    :raises NotLoaded: also for an error in its own code.
    """
    return _LOADERS[job["type"]](job)


def _module(job: Mapping[str, Any]) -> Hook:
    return _hook_of(_guarded(lambda: importlib.import_module(job["arg"])), job["arg"])


def _file(job: Mapping[str, Any]) -> Hook:
    module = types.ModuleType("hook")
    module.__file__ = job["arg"]
    # Classes find their module there, for example when they become dataclasses.
    sys.modules["hook"] = module

    def run() -> types.ModuleType:
        exec(compile(job["source"], job["arg"], "exec"), module.__dict__)  # noqa: S102
        return module

    return _hook_of(_guarded(run), job["arg"])


def _code(job: Mapping[str, Any]) -> Hook:
    code = _guarded(lambda: compile(job["arg"], "<hook>", "exec", _ALLOW_TOP_LEVEL_AWAIT))

    def hook(host: Any, client: Any, item: Any) -> Any:
        names = {"__name__": "hook", "host": host, "client": client, "item": item}
        function = types.FunctionType(code, names)
        return function()

    return hook


def _guarded(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except MemoryError:
        raise
    except (Exception, SystemExit) as error:
        raise NotLoaded("it cannot be loaded") from error


def _hook_of(module: types.ModuleType, name: str) -> Hook:
    hook = getattr(module, "hook", None)
    if hook is None:
        raise NotLoaded(f"{name} has no function hook(host, client, item)")
    if not callable(hook):
        raise NotLoaded(f"hook in {name} is a {type(hook).__name__}, which cannot be called")
    if isinstance(hook, types.FunctionType) and not _fits(hook):
        raise NotLoaded(f"hook in {name} does not take (host, client, item)")
    return hook  # type: ignore[no-any-return]


def _fits(function: types.FunctionType) -> bool:
    """Whether it can be called with three arguments."""
    code = function.__code__
    least = code.co_argcount - len(function.__defaults__ or ())
    required = code.co_kwonlyargcount - len(function.__kwdefaults__ or {})
    most = _ARGUMENTS if code.co_flags & _TAKES_MORE else code.co_argcount
    return least <= _ARGUMENTS <= most and required == 0


_LOADERS: dict[str, Callable[[Mapping[str, Any]], Hook]] = {
    "python": _module,
    "python_file": _file,
    "python_code": _code,
}
