"""Logging as the configuration says: lines for people, or one JSON object per line.

What a log call is about is passed as ``extra={"event": ..., "plugin": ...}`` and shown as
``[event=... plugin=...]`` in text and as keys of the object in JSON. Whatever the text comes from,
it stays on its line, control characters are escaped, and no known secret is in it.
"""

from __future__ import annotations

import json
import logging
import logging.config
import logging.handlers
import os
import re
import sys
import threading
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from oslo_config import cfg

from eventworker.errors import ConfigError
from eventworker.secret import hidden

#: Logger of what operators change.
AUDIT = "eventworker.audit"
_HANDLER = "eventworker"
MAX_MESSAGE = 16 * 1024
MAX_FIELD = 1024
MAX_LINES = 200


def setup(conf: cfg.ConfigOpts, stream: TextIO | None = None, program: str = "eventworker") -> None:
    """Send the process's log where ``conf`` says; may be called again after a reload.

    A log file that was moved away by a rotation is opened anew with the next line.

    :param stream: used where no log file is configured; None for standard error.
    :param program: names the file in ``log_dir`` when ``log_file`` is empty.
    :raises ConfigError: when the file cannot be written or a level is none.
    """
    if conf.log_config_append:
        _use_file_config(conf.log_config_append)
        return
    levels = library_levels(conf)
    handler = _handler(conf, stream, program)
    handler.setFormatter(JSONFormatter() if conf.use_json else TextFormatter(conf.log_date_format))
    root = logging.getLogger()
    _replace_handler(root, handler)
    root.setLevel(logging.DEBUG if conf.debug else logging.INFO)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)


def setup_command(conf: cfg.ConfigOpts, debug: bool) -> None:
    """Logging of a command: warnings to standard error, and what an operator changed to the log.

    The log is the configured file if it is there and may be written; it is never made here, where
    it would belong to whoever ran the command. Otherwise changes go to standard error, too.
    """
    formatter = TextFormatter(conf.log_date_format)
    to_user = logging.StreamHandler(sys.stderr)
    to_user.setFormatter(formatter)
    to_user.setLevel(logging.DEBUG if debug else logging.WARNING)
    path = _log_path(conf, "storyboard-worker-daemon")
    kept: logging.Handler = logging.StreamHandler(sys.stderr)
    if path is not None and path.is_file() and os.access(path, os.W_OK):
        kept = logging.handlers.WatchedFileHandler(path, encoding="utf-8")
    kept.setFormatter(JSONFormatter() if conf.use_json else formatter)
    audit = logging.getLogger(AUDIT)
    audit.setLevel(logging.INFO)
    audit.propagate = False
    _replace_handler(audit, kept)
    # What cannot be loaded, or is not at the broker yet, is in the verbs' own output.
    for library in ("pika", "stevedore"):
        logging.getLogger(library).setLevel(logging.DEBUG if debug else logging.CRITICAL)
    root = logging.getLogger()
    root.setLevel(logging.DEBUG if debug else logging.WARNING)
    _replace_handler(root, to_user)


def _replace_handler(logger: logging.Logger, handler: logging.Handler) -> None:
    for old in [old for old in logger.handlers if old.get_name() == _HANDLER]:
        logger.removeHandler(old)
        old.close()
    handler.set_name(_HANDLER)
    logger.addHandler(handler)


def _use_file_config(path: str) -> None:
    try:
        logging.config.fileConfig(path, disable_existing_loggers=False, encoding="utf-8")
    except Exception as error:  # whatever the file makes logging construct
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"[DEFAULT] log_config_append: {path} cannot be used: {reason}") from None


def traceback_of(error: BaseException) -> str:
    """A traceback for standard error, as the log would have it."""
    text = "".join(traceback.format_exception(error)).rstrip("\n")
    return "\n".join(escaped(line) for line in _shortened(text))


def guard_tracebacks() -> None:
    """Have the interpreter print what nobody caught, in any thread, as the log would have it."""

    def unhandled(_kind: Any, error: BaseException, _trace: Any) -> None:
        print(traceback_of(error), file=sys.stderr)

    def unhandled_in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and args.exc_type is not SystemExit:
            unhandled(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = unhandled
    threading.excepthook = unhandled_in_thread


def library_levels(conf: cfg.ConfigOpts) -> dict[str, int]:
    """Logger to level, from ``default_log_levels``.

    :raises ConfigError: when an entry is no such pair.
    """
    return dict(_level_pair(pair) for pair in conf.default_log_levels)


def _level_pair(pair: str) -> tuple[str, int]:
    name, _, level = pair.partition("=")
    number = logging.getLevelNamesMapping().get(level.strip().upper())
    if number is None:
        raise ConfigError(
            f"[DEFAULT] default_log_levels: {pair!r} is no logger=LEVEL; write pika=WARNING"
        )
    return name.strip(), number


def _handler(conf: cfg.ConfigOpts, stream: TextIO | None, program: str) -> logging.Handler:
    path = _log_path(conf, program)
    if path is None:
        return logging.StreamHandler(stream or sys.stderr)
    try:
        return logging.handlers.WatchedFileHandler(
            path, encoding="utf-8", errors="backslashreplace"
        )
    except OSError as error:
        raise ConfigError(
            f"[DEFAULT] log_file: {path} cannot be written: {error.strerror}"
        ) from None


def _log_path(conf: cfg.ConfigOpts, program: str) -> Path | None:
    name = conf.log_file or (f"{program}.log" if conf.log_dir else None)
    return None if name is None else Path(conf.log_dir or "", name)


#: C0, DEL and C1 controls; the separators that some viewers take for a line's end; and the
#: characters that turn the direction of writing, so that a line reads other than it is.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


def escaped(text: str) -> str:
    """``text`` on one line: control characters as ``\\xNN`` or ``\\uNNNN``."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _capped(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the log call passed as ``extra``, without what is None."""
    return {
        name: value
        for name, value in record.__dict__.items()
        if name not in _STANDARD and value is not None
    }


class TextFormatter(logging.Formatter):
    """``2026-11-21 07:00:00 INFO logger [key=value ...] message``; tracebacks are indented."""

    def __init__(self, date_format: str) -> None:
        super().__init__(datefmt=date_format)

    def format(self, record: logging.LogRecord) -> str:
        about = " ".join(f"{name}={_word(value)}" for name, value in fields(record).items())
        parts = [
            self.formatTime(record, self.datefmt),
            record.levelname,
            escaped(record.name),
            *([f"[{about}]"] if about else []),
            escaped(_capped(hidden(record.getMessage()), MAX_MESSAGE)),
        ]
        # Indented, so that no line of an exception's text can pass for a log line of its own.
        return "\n    ".join([" ".join(parts), *(escaped(line) for line in _details(record))])


class JSONFormatter(logging.Formatter):
    """One object per line: time, level, logger, message, process, the fields, and exception."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _capped(hidden(record.getMessage()), MAX_MESSAGE),
            "process": record.process,
        }
        for name, value in fields(record).items():
            entry[f"{name}_" if name in entry else name] = _plain(value)
        if details := _details(record):
            entry["exception"] = "\n".join(details)
        # ASCII escapes leave no control character but DEL.
        return json.dumps(entry, default=str).replace("\x7f", "\\u007f")


def _word(value: object) -> str:
    text = escaped(_capped(hidden(str(value)), MAX_FIELD))
    if text and not re.search(r"[\s\"=\[\]]", text):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def _plain(value: object) -> object:
    if value is True or value is False or isinstance(value, int | float):
        return value
    return _capped(hidden(str(value)), MAX_FIELD)


def _details(record: logging.LogRecord) -> list[str]:
    """Lines of the traceback and the stack; of a very long one the beginning and the end."""
    text = ""
    if record.exc_info and record.exc_info[0] is not None:
        text = logging.Formatter().formatException(record.exc_info)
    if record.stack_info:
        text = f"{text}\n{record.stack_info}".lstrip("\n")
    return _shortened(text)


def _shortened(text: str) -> list[str]:
    lines = [_capped(line, MAX_FIELD) for line in hidden(text).split("\n")] if text else []
    if len(lines) > MAX_LINES:
        half = MAX_LINES // 2
        lines = [*lines[:half], f"... {len(lines) - 2 * half} lines ...", *lines[-half:]]
    return lines
