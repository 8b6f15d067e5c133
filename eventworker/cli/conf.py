"""Loading the configuration, so that every mistake in it is one line that says where it is."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from eventworker import config, links
from eventworker.cli import logs
from eventworker.errors import ConfigError

#: Whose configuration is looked for (``/etc/NAME/NAME.conf`` and the like), the first found wins:
#: an installed StoryBoard needs no file of ours.
PROJECTS = ("eventworker", "storyboard")


def add_arguments(parser: argparse._ActionsContainer, default: Any = None) -> None:
    """Give a parser the two options by which a configuration is named."""
    default = [] if default is None else default
    parser.add_argument(
        "--config-file",
        metavar="FILE",
        action="append",
        default=default,
        help="configuration file; may be given several times, later ones win (default: "
        "/etc/eventworker/eventworker.conf, else /etc/storyboard/storyboard.conf)",
    )
    parser.add_argument(
        "--config-dir",
        metavar="DIR",
        action="append",
        default=default,
        help="folder whose *.conf files are read after the configuration files",
    )


def load(
    config_files: Sequence[str] = (),
    config_dirs: Sequence[str] = (),
    projects: Sequence[str] = PROJECTS,
    into: cfg.ConfigOpts | None = None,
) -> cfg.ConfigOpts:
    """The configuration with eventworker's options registered and their values checked.

    Values come, the later winning, from the defaults, the files, and environment variables such as
    ``OS_DATABASE__CONNECTION``.

    :param projects: whose standard places are searched where no files, or no folders, are given.
    :param into: the object to fill; None for a new one.
    :raises ConfigError: in one line, naming file and option.
    """
    conf = read(config_files, config_dirs, projects, into)
    for error in value_errors(conf):
        raise error
    return conf


def of(arguments: argparse.Namespace) -> cfg.ConfigOpts:
    """The configuration that a command line names, with the command's logging set up.

    :raises ConfigError: also for a link that may not be used; nothing is connected to.
    """
    loaded = load(arguments.config_file, arguments.config_dir)
    logs.setup_command(loaded, arguments.debug)
    links.check(loaded)
    return loaded


def read(
    config_files: Sequence[str] = (),
    config_dirs: Sequence[str] = (),
    projects: Sequence[str] = PROJECTS,
    into: cfg.ConfigOpts | None = None,
) -> cfg.ConfigOpts:
    """As :func:`load`, without a look at the values: oslo.config complains at their first use."""
    conf = cfg.ConfigOpts() if into is None else into
    config.register(conf)
    arguments = [f"--config-file={path}" for path in config_files]
    arguments += [f"--config-dir={path}" for path in config_dirs]
    try:
        # oslo.config itself leaves the defaults out where the arguments name something.
        conf(
            args=arguments,
            project=projects[0],
            default_config_files=_first(cfg.find_config_files, projects),
            default_config_dirs=_first(cfg.find_config_dirs, projects),
        )
    except cfg.Error as error:
        raise config.as_config_error(error) from None
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{', '.join(config_files)}: a configuration file is UTF-8") from None
    return conf


def value_errors(conf: cfg.ConfigOpts) -> Iterator[ConfigError]:
    """One error for each registered option whose value cannot be used."""
    for group, name in options(conf):
        try:
            conf[name] if group == "DEFAULT" else conf[group][name]
        except (cfg.Error, ValueError) as error:
            yield _value_error(group, name, error)


def files(conf: cfg.ConfigOpts) -> Iterator[Path]:
    """The files that were read, the later winning."""
    yield from (Path(path) for path in conf.config_file or ())
    for folder in conf.config_dir or ():
        yield from sorted(Path(folder).glob("*.conf"))


def sections(path: Path) -> dict[str, dict[str, list[str]]]:
    """What a file says: group to option to values."""
    found: dict[str, dict[str, list[str]]] = {}
    cfg.ConfigParser(str(path), found).parse()
    return found


def options(conf: cfg.ConfigOpts) -> Iterator[tuple[str, str]]:
    """Group and name of every option that is registered."""
    groups = dict.fromkeys(name for name in conf if _is_group(conf, name))
    yield from (("DEFAULT", name) for name in conf if name not in groups)
    for group in groups:
        yield from ((group, name) for name in conf[group])


def option(conf: cfg.ConfigOpts, group: str, name: str) -> cfg.Opt:
    """The definition of a registered option, for which oslo.config has no public way."""
    return conf._get_opt_info(name, None if group == "DEFAULT" else group)["opt"]


def _is_group(conf: cfg.ConfigOpts, name: str) -> bool:
    try:
        return isinstance(conf[name], cfg.ConfigOpts.GroupAttr)
    except (cfg.Error, ValueError):
        return False


_PLACE = re.compile(r" from LocationInfo\(location=.*?, detail='(?P<place>[^']*)'\) is not valid: ")


def _value_error(group: str, name: str, error: Exception) -> ConfigError:
    if isinstance(error, cfg.NoSuchOptError | cfg.TemplateSubstitutionError):
        # Its text quotes a piece of the value, which may be a password.
        return ConfigError(f"[{group}] {name}: a $ stands for another option; for itself write $$")
    text = " ".join(str(error).split())
    place = ""
    if match := _PLACE.search(text):
        place, text = f"{match['place']}: ", text[match.end() :]
    return ConfigError(f"{place}[{group}] {name}: {text}")


def _first(find: Callable[..., list[str]], projects: Sequence[str]) -> list[str]:
    for project in projects:
        if found := find(project=project, prog=project):
            # With project and prog alike, oslo.config finds the same one twice.
            return list(dict.fromkeys(found))
    return []
