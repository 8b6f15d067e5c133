"""What a script that measures one thing found, as a file for ``python -m benchmarks.report``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

Row = Mapping[str, str | float]


def write(file: Path, script: str, rows: Sequence[Row]) -> None:
    """Write what `script` found.

    :param script: the name of its table, which becomes ``script.csv``.
    :param rows: title of a column to its cell, in the same order in each row; a number is written
        with three digits at least, and the title names its unit.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    found = {"script": script, "rows": [dict(row) for row in rows]}
    file.write_text(json.dumps(found, indent=1) + "\n")
