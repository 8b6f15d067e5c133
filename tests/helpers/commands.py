"""Running `eventworker` in the test's own process."""

import io
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from unittest import mock

from sqlalchemy import Engine

from eventworker.cli.main import main


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Stdin(io.TextIOWrapper):
    """Standard input with these bytes; a terminal if it is said to be one."""

    def __init__(self, data: bytes, terminal: bool) -> None:
        super().__init__(io.BufferedReader(io.BytesIO(data)))  # type: ignore[arg-type]
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Commands:
    """Runs verbs with one configuration file."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        path.write_text(text)

    @classmethod
    def of(cls, engine: Engine, folder: Path) -> Self:
        """With a configuration that names this database, which is the queue, too."""
        url = engine.url.render_as_string(hide_password=False)
        text = f"[database]\nconnection = {url}\n[notifications]\ndriver = sql\n"
        return cls(folder / "eventworker.conf", text)

    def __call__(self, *words: str, stdin: bytes = b"", terminal: bool = False) -> Result:
        return run("--config-file", str(self.path), *words, stdin=stdin, terminal=terminal)


def run(*words: str, stdin: bytes = b"", terminal: bool = False) -> Result:
    out, err = io.StringIO(), io.StringIO()
    with (
        restored_logging(),
        redirect_stdout(out),
        redirect_stderr(err),
        mock.patch("sys.stdin", Stdin(stdin, terminal)),
    ):
        try:
            code = main(words)
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


@contextmanager
def restored_logging(
    names: Sequence[str] = ("", "eventworker.audit", "stevedore"),
) -> Iterator[None]:
    """Undoes what a command did to logging, so that its streams are not written to any more."""
    loggers = [logging.getLogger(name or None) for name in names]
    before = [(each, each.level, list(each.handlers), each.propagate) for each in loggers]
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, level, handlers, propagate in before:
            for added in [each for each in logger.handlers if each not in handlers]:
                logger.removeHandler(added)
                added.close()
            logger.setLevel(level)
            logger.propagate = propagate
