"""A new plugin's distribution, written from the files in ``plugin_template``."""

from __future__ import annotations

import importlib.util
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from string import Template

from eventworker.cli.arguments import UsageError
from eventworker.cli.options import distributions
from eventworker.errors import EventworkerError

TEMPLATE = Path(__file__).parent / "plugin_template"
_SUFFIX = ".tmpl"

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
#: Longest name and package: tables and indexes are called after them, and PostgreSQL takes 63
#: characters; and no line of the template may grow over 100.
_LONGEST_NAME, _LONGEST_PACKAGE = 24, 38
#: What stands beside the package in its distribution.
_TAKEN_BESIDE = {"setup", "tests"}


@dataclass(frozen=True, slots=True)
class NewPlugin:
    """What is called how.

    :param name: the plugin's name, for its entry point and ``[plugin:NAME]``.
    :param package: its import package; the distribution is called after it, as PEP 503 spells it.
    :param author: for the distribution's metadata.
    """

    name: str
    package: str
    author: str

    @classmethod
    def called(cls, name: str, package: str | None = None, author: str | None = None) -> NewPlugin:
        """The plugin of that name, with what is not given taken from the name.

        :raises UsageError: in one line, when something cannot be called so.
        """
        if len(name) > _LONGEST_NAME or not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} cannot be a plugin's name: it begins with a letter and has lower-case "
                f"letters, digits, and single - or _ between them, at most {_LONGEST_NAME} "
                "characters, such as mail or chat-sync"
            )
        made = cls(
            name,
            f"eventworker_{name.replace('-', '_')}" if package is None else package,
            f"{name} developers" if author is None else author,
        )
        made._check_package()
        if not made.author.strip() or not made.author.isprintable():
            raise UsageError("the author is a line of text")
        made._check_installed()
        return made

    def _check_package(self) -> None:
        if (
            len(self.package) > _LONGEST_PACKAGE
            or not _NAME.fullmatch(self.package)
            or "-" in self.package
            or keyword.iskeyword(self.package)
            or self.package in _TAKEN_BESIDE
        ):
            raise UsageError(
                f"{self.package!r} cannot be a package's name: it begins with a letter and has "
                f"lower-case letters, digits and _, at most {_LONGEST_PACKAGE} characters, is no "
                "word of Python's and neither setup nor tests"
            )

    def _check_installed(self) -> None:
        if owner := distributions().get(self.name):
            raise UsageError(
                f"a plugin {self.name} is installed already, by {owner}; choose another name"
            )
        if importlib.util.find_spec(self.package) is not None:
            raise UsageError(
                f"there is a package {self.package} already; choose another with --package"
            )
        try:
            distribution(self.distribution)
        except PackageNotFoundError:
            return
        raise UsageError(
            f"a distribution {self.distribution} is installed already; choose another package "
            "with --package"
        )

    @property
    def distribution(self) -> str:
        return self.package.replace("_", "-")

    @property
    def worker(self) -> str:
        """The name of its class."""
        return "".join(map(str.capitalize, re.split("[-_]", self.name))) + "Worker"

    def files(self) -> Iterator[tuple[Path, str]]:
        """Each file of the distribution: its place in it and its text."""
        words = {
            "name": self.name,
            "package": self.package,
            "distribution": self.distribution,
            "worker": self.worker,
            "table": f"{self.package}_entry",
            "rule": "=" * len(self.distribution),
            # ConfigParser, which reads setup.cfg, takes % as the start of a reference.
            "author": self.author.strip().replace("%", "%%"),
        }
        for source in sorted(TEMPLATE.rglob(f"*{_SUFFIX}")):
            first, *rest = source.relative_to(TEMPLATE).with_suffix("").parts
            place = Path(self.package if first == "package" else first, *rest)
            yield place, Template(source.read_text(encoding="utf-8")).substitute(words)

    def write(self, directory: Path) -> list[Path]:
        """Write the distribution into a new folder; returns the files.

        :raises UsageError: when the folder exists.
        :raises EventworkerError: when it cannot be written.
        """
        written = []
        try:
            directory.mkdir(parents=True)
            for place, text in self.files():
                path = directory / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                written.append(path)
        except FileExistsError:
            raise UsageError(f"{directory} exists; choose another with --directory") from None
        except OSError as error:
            raise EventworkerError(
                f"{error.filename} cannot be written: {error.strerror}"
            ) from None
        return written
