"""Files with secrets in them that everybody on the host may read."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oslo_config import cfg

from eventworker.cli import conf as configuration
from eventworker.secret import Secret, passwords_in, reference


def warnings(conf: cfg.ConfigOpts) -> Iterator[str]:
    """A line for each such file: a configuration file with a secret in plain, or a secret's own.

    That the group may read it is how services share a file, and is not warned of.
    """
    secrets = _secrets(conf)
    for path in configuration.files(conf):
        plain = list[str]()
        for section, name, value in _assignments(path):
            opt = secrets.get((section.lower(), name))
            if opt is None:
                continue
            found = reference(value)
            if found is None and _is_secret(opt, value):
                plain.append(f"[{section}] {name}")
            elif found is not None and found[0] == "file" and _is_open(Path(found[1])):
                yield _line(Path(found[1]), f"[{section}] {name}")
        if plain and _is_open(path):
            yield _line(path, ", ".join(plain))


def _line(path: Path, what: str) -> str:
    return f"{path} holds {what} and may be read by everybody on this host; run: chmod o-r {path}"


def _assignments(path: Path) -> Iterator[tuple[str, str, str]]:
    """Section, option and value."""
    for section, assigned in configuration.sections(path).items():
        for name, values in assigned.items():
            for value in values:
                yield section, name.replace("-", "_"), value


def _secrets(conf: cfg.ConfigOpts) -> dict[tuple[str, str], cfg.Opt]:
    """The secret options by group and name, of all that are registered."""
    return {
        (group.lower(), name): opt
        for group, name in configuration.options(conf)
        if (opt := configuration.option(conf, group, name)).secret
    }


def _is_secret(opt: Any, value: str) -> bool:
    """Whether this value gives anything away: a URL may have no password in it."""
    is_url = isinstance(opt.type, Secret) and opt.type.url
    return bool(value) and (not is_url or bool(passwords_in(value)))


def _is_open(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False  # who reads it has the words for it
