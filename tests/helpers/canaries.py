"""Secrets made to be looked for: whatever the tests can read of a run, none may be in it.

canaries = Canaries()
password = canaries.plant("rabbit")
...
canaries.assert_none_in_files(daemon.log)
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import create_engine, inspect, text


class Canaries:
    """The secrets of one run. Whoever finds one is told its name, never the secret."""

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}

    def plant(self, name: str, awkward: str = "/+%@'\"#ß") -> str:
        """A secret that nobody would write by chance.

        :param awkward: characters at its end that URLs, JSON and Python each spell in another way.
        """
        mark = f"c4nary{secrets.token_hex(12)}"
        self._marks[mark] = name
        return f"{mark}{awkward}"

    def found_in(self, content: str) -> list[str]:
        """The names of the secrets in a text, in plain or in base64."""
        return [
            name
            for mark, name in self._marks.items()
            if mark in content or any(each in content for each in _in_base64(mark))
        ]

    def assert_none_in(self, content: str, where: str) -> None:
        """None is in this text."""
        found = self.found_in(content)
        if found:
            lines = [line for line in content.splitlines() if self.found_in(line)]
            shown = lines[0] if lines else ""
            for mark, name in self._marks.items():
                shown = shown.replace(mark, f"<{name}>")
            raise AssertionError(f"{where} tells the secret of {', '.join(found)}: {shown[:500]}")

    def assert_none_in_files(self, *paths: Path) -> None:
        """None is in these files, such as the log of a daemon."""
        for path in paths:
            self.assert_none_in(path.read_text(errors="replace"), str(path))

    def assert_none_in_database(self, url: str) -> None:
        """None is in any column of any table: dead letters, quarantine, outbox."""
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                for table in inspect(connection).get_table_names():
                    quoted = connection.dialect.identifier_preparer.quote(table)
                    rows = connection.execute(text(f"SELECT * FROM {quoted}"))
                    for row in rows:
                        columns = (_readable(value) for value in row)
                        self.assert_none_in("\n".join(columns), f"table {table}")
        finally:
            engine.dispose()

    def assert_none_in_processes(self, pids: Iterable[int]) -> None:
        """None is in the command line or the environment of these processes."""
        for pid in pids:
            for what in ("cmdline", "environ"):
                content = Path(f"/proc/{pid}/{what}").read_text(errors="replace")
                self.assert_none_in(content.replace("\0", "\n"), f"{what} of process {pid}")


def _readable(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _in_base64(mark: str) -> list[str]:
    """The three ways in which base64 spells a text inside of a longer one, without its ends."""
    shifted = (base64.b64encode(b"x" * pad + mark.encode()).decode() for pad in range(3))
    return [each[4:-4] for each in shifted]
