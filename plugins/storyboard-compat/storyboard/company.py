"""Who else claims to be the package ``storyboard``.

Two distributions with one import package overwrite each other's files without a word from pip, and
what is imported then is a mixture of both.
"""

from __future__ import annotations

import re
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions

OURS = "storyboard-compat"


def company() -> list[str]:
    """Names of the other installed distributions that are, or provide, ``storyboard``."""
    names = {_normal(name or "") for name in packages_distributions().get("storyboard", [])}
    with suppress(PackageNotFoundError):
        names.add(_normal(distribution("storyboard").metadata["Name"]))
    return sorted(names - {OURS})


def refuse_company() -> None:
    """Do nothing where we are alone.

    :raises ImportError: naming the other distributions and the way out.
    """
    if others := company():
        raise ImportError(
            f"{OURS} stands in for the package 'storyboard' and cannot share an environment with "
            f"{', '.join(others)}; uninstall one of them: pip uninstall {others[0]}, then "
            f"pip install --force-reinstall --no-deps {OURS}",
            name="storyboard",
        )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
