"""The command line that the small examples have in common."""

from __future__ import annotations

import argparse


def arguments(name: str, what: str) -> argparse.Namespace:
    """``--port`` and ``--database``, of ``python -m examples.NAME``."""
    parser = argparse.ArgumentParser(prog=f"python -m examples.{name}", description=what)
    parser.add_argument("--port", type=int, default=8080, help="TCP port (default: %(default)s)")
    parser.add_argument(
        "--database",
        default="sqlite:///notes.sqlite",
        help="SQLAlchemy URL of a SQLite file with eventworker's tables (default: %(default)s)",
    )
    return parser.parse_args()
