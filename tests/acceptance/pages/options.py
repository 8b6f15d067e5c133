"""Whether what a page writes into a configuration file exists."""

from __future__ import annotations

import re
from functools import cache

from eventworker.cli.options import list_opts, list_plugin_opts

_GROUP = re.compile(r"\[(?P<name>[^\]]+)\]\s*\Z")
_OPTION = re.compile(r"#?(?P<name>\w+)\s*=\s*(?P<value>.*)")


def unknown_options(text: str, group: str = "") -> list[str]:
    """Each ``[group] option`` of a configuration file's text that eventworker does not have.

    :param group: that lines before the first group belong to.
    """
    wrong = []
    for line in text.splitlines():
        if match := _GROUP.match(line):
            group = match["name"]
        elif match := _OPTION.match(line):
            if match["name"] not in _known(group):
                wrong.append(f"[{group}] {match['name']}")
        elif line.strip() and not line.startswith((" ", "\t", "#")):
            wrong.append(line)
    return wrong


def last_group(text: str) -> str:
    """The group that the text ends in; empty if it names none."""
    names = [match["name"] for line in text.splitlines() if (match := _GROUP.match(line))]
    return names[-1] if names else ""


def values_of(text: str) -> dict[str, list[str]]:
    """What a part of a configuration file says, by the option's name, whatever its group."""
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        if match := _OPTION.match(line):
            values.setdefault(match["name"], []).append(match["value"].strip())
    return values


@cache
def _known(group: str) -> frozenset[str]:
    """The options of a group; those of every plugin and every lane count for any of them."""
    kind = group.partition(":")[0]
    wanted = {group, f"{kind}:name"} if ":" in group else {group}
    return frozenset(
        option.dest
        for name, options in [*list_opts(), *list_plugin_opts()]
        for option in options
        if name in wanted
    )
