"""Whether what a page writes into a configuration file exists."""

from __future__ import annotations

import re
from functools import cache

from eventworker.cli.options import list_opts, list_plugin_opts

_GROUP = re.compile(r"\[(?P<name>[^\]]+)\]\s*\Z")
_OPTION = re.compile(r"#?(?P<name>\w+)\s*=")


def unknown_options(text: str) -> list[str]:
    """Each ``[group] option`` of a configuration file's text that eventworker does not have."""
    group, wrong = "", []
    for line in text.splitlines():
        if match := _GROUP.match(line):
            group = match["name"]
        elif match := _OPTION.match(line):
            if match["name"] not in _known(group):
                wrong.append(f"[{group}] {match['name']}")
        elif line.strip() and not line.startswith((" ", "\t", "#")):
            wrong.append(line)
    return wrong


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
