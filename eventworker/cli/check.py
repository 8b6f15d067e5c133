"""What ``eventworker config check`` looks at."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from oslo_config import cfg

from eventworker import config, links, migrations
from eventworker.capture.paths import singular_of
from eventworker.cli import conf as configuration
from eventworker.cli import logs, readable
from eventworker.cli.database import engine_of
from eventworker.cli.options import list_service_opts
from eventworker.db import configured_engine
from eventworker.engine.loader import Discovery, Loaded, check_databases, discover
from eventworker.engine.preflight import check_retention, check_sizes
from eventworker.errors import ConfigError, EventworkerError
from eventworker.plugin import resource_class
from eventworker.pubsub import options as pubsub
from eventworker.pubsub.hooks import options as hooks

#: What makes settings of a group's values.
_SETTINGS: dict[str, Callable[[cfg.ConfigOpts], object]] = {
    pubsub.GROUP: pubsub.settings_of,
    hooks.GROUP: hooks.hook_settings_of,
}


@dataclass(slots=True)
class Findings:
    """What the daemon would refuse, and what is merely odd."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def error(self, text: str) -> None:
        """Note an error, once."""
        if text not in self.errors:
            self.errors.append(text)

    def warn_of_broken(self, found: Discovery) -> None:
        """Note the plugins whose events would wait, each once."""
        for name, reason in found.broken.items():
            text = f"plugin {name} cannot be loaded: {reason}"
            if text not in self.warnings:
                self.warnings.append(text)

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Note the error that ends the block."""
        try:
            yield
        except EventworkerError as error:
            self.error(str(error))


def values(conf: cfg.ConfigOpts, findings: Findings) -> None:
    """Every registered option has a value of its type."""
    for error in configuration.value_errors(conf):
        findings.error(str(error))


def everything(conf: cfg.ConfigOpts, findings: Findings) -> Discovery:
    """All that can be seen without a connection; the values are good. Returns the plugins."""
    if not conf.enable_notifications:
        findings.warnings.append(
            "[DEFAULT] enable_notifications is False: the daemon will end at once"
        )
    found, refused = Discovery(), list[str]()
    with findings.collecting():
        found = discover(conf, refused=lambda error: refused.append(str(error)))
    findings.warn_of_broken(found)
    findings.warnings.extend(found.warnings)
    for each in found.loaded:
        findings.warnings.extend(_odd_names(each))
    for lane in found.lanes | found.effect_lanes:
        config.lane_group(conf, lane)
    pubsub.register(conf)
    hooks.register(conf)
    for group, opts in list_service_opts():
        conf.register_opts(opts, group=group)
    values(conf, findings)  # once more: the groups of plugins and lanes are known now
    for group, settings_of in _SETTINGS.items():
        if not any(f"[{group}]" in error for error in findings.errors):
            with findings.collecting():
                settings_of(conf)
    for text in refused:
        # Of a value it says the same, with its place before it.
        if not any(error.endswith(text) for error in findings.errors):
            findings.error(text)
    findings.warnings.extend(_unknown(conf))
    findings.warnings.extend(links.warnings(conf))
    findings.warnings.extend(readable.warnings(conf))
    for link in links.links(conf):
        with findings.collecting():
            link.check(conf.security.require_tls)
    with findings.collecting():
        configured_engine(conf.database).dispose()
    for name in conf.plugins.resource_classes:
        with findings.collecting():
            resource_class(conf, name)
    with findings.collecting():
        check_retention(conf, found)
    with findings.collecting():
        logs.library_levels(conf)
    if conf.notifications.driver == "rabbit":
        from eventworker.transports.rabbit.settings import connection_parameters, settings_from

        with findings.collecting():
            connection_parameters(settings_from(conf), "check")
    return found


def _odd_names(loaded: Loaded) -> Iterator[str]:
    """Hints only: an application may call its resources as it likes."""
    both = (loaded.declared.resources, loaded.narrowing.resources)
    for name in sorted(frozenset().union(*(names for names in both if names))):
        usual = "/".join(singular_of(part) for part in name.lower().split("/"))
        if usual != name:
            yield (
                f"plugin {loaded.name} wants the resource {name}; resources are usually singular "
                f"and in small letters: {usual}?"
            )


def connections(conf: cfg.ConfigOpts, found: Discovery, findings: Findings) -> None:
    """The database can be reached and has its tables, and those that the plugins need; so can the
    broker, if one is configured. Where a link may not be used, nothing is tried."""
    try:
        links.check(conf)
    except ConfigError:
        return  # it is among the findings
    with findings.collecting(), engine_of(conf, tables=False) as engine:
        migrations.check(engine)
        check_sizes(conf, engine)
        check_databases(found, engine)
        findings.warn_of_broken(found)
    if conf.notifications.driver == "rabbit":
        from eventworker.transports.rabbit.probe import probe
        from eventworker.transports.rabbit.settings import settings_from

        with findings.collecting():
            probe(settings_from(conf))


def _unknown(conf: cfg.ConfigOpts) -> Iterator[str]:
    known: dict[str, set[str]] = {}
    for group, name in configuration.options(conf):
        known.setdefault(group.lower(), set()).add(name)
    for path in configuration.files(conf):
        for section, assigned in configuration.sections(path).items():
            if section.lower() not in known:
                yield f"{path}: [{section}] is no section of eventworker's{_hint(section)}"
                continue
            for name in assigned:
                if name.replace("-", "_") not in known[section.lower()]:
                    yield f"{path}: [{section}] {name} is no option of eventworker's"


def _hint(section: str) -> str:
    kind, _, name = section.lower().partition(":")
    if kind == "plugin":
        return f", as no plugin {name} is loaded here"
    if kind == "lane":
        return f", as no plugin loaded here has the lane {name}"
    return ""
