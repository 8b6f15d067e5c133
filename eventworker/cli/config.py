"""``eventworker config``: a sample, and a look at the configuration before the daemon takes it."""

from __future__ import annotations

import argparse
import sys

from oslo_config import cfg, generator

from eventworker.cli import check, conf, logs, output
from eventworker.cli.arguments import Verbs, add_group, add_verb


def add(verbs: Verbs) -> None:
    """The verbs of ``eventworker config``."""
    group = add_group(verbs, "config", "print a sample configuration, or check one")
    add_verb(
        group,
        "sample",
        _sample,
        help="print a sample configuration file",
        more="It has every option with its meaning and its default, those of the installed plugins "
        "included.",
        example="eventworker config sample > eventworker.conf",
    )
    checking = add_verb(
        group,
        "check",
        _check,
        help="check the configuration",
        more="Values, the database's driver, the classes it names, the retention times. Exit code "
        "2 if the daemon would refuse it. Unknown options are only warned of, since an "
        "application's file has many.",
        example="eventworker --config-file /etc/storyboard/storyboard.conf config check --connect",
    )
    checking.add_argument(
        "--connect", action="store_true", help="also connect to the database and to the broker"
    )


def _sample(arguments: argparse.Namespace) -> int:
    wanted = cfg.ConfigOpts()
    generator.register_cli_opts(wanted)
    wanted(
        ["--namespace=eventworker", "--namespace=eventworker.plugins", "--wrap-width=79"],
        default_config_files=[],
        default_config_dirs=[],
    )
    generator.generate(wanted, output_file=sys.stdout)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    read = conf.read(arguments.config_file, arguments.config_dir)
    findings = check.Findings()
    check.values(read, findings)
    if not findings.errors:
        logs.setup_command(read, arguments.debug)
        plugins = check.everything(read, findings)
        if arguments.connect:
            check.connections(read, plugins, findings)
    files = list(read.config_file or []) + list(read.config_dir or [])
    if arguments.output == "json":
        found = {"files": files, "errors": findings.errors, "warnings": findings.warnings}
        output.say("", found, "json")
    else:
        print(f"files: {', '.join(files) or 'none, all options have their defaults'}")
        for kind, texts in (("error", findings.errors), ("warning", findings.warnings)):
            for text in texts:
                print(f"{kind}: {logs.escaped(text)}")
        print(
            "the configuration cannot be used" if findings.errors else "the configuration is good"
        )
    return 2 if findings.errors else 0
