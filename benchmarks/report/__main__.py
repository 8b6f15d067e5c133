"""Makes tables and plots of what ``python -m benchmarks`` and its scripts wrote with ``--out``.

``python -m benchmarks.report RESULTS.json... --to docs/performance`` reads all the files together
and writes a table (.csv) and a plot (.svg) for each scenario that they have. What was not measured
is left out, and what is in the folder of it stays. Figures are medians of the rounds; ratios are to
the fastest peer of the same round; a run that failed is counted as failed and has no figures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import tables
from benchmarks.report.results import Mixture, load


def main(arguments: Sequence[str] | None = None) -> int:
    """Write and say what was written; 1 if the files do not belong together."""
    assert __doc__ is not None
    first, _, rest = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report",
        description=first,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS.json")
    parser.add_argument(
        "--to", type=Path, required=True, metavar="FOLDER", help="is made if need be"
    )
    parser.add_argument("--png", action="store_true", help="the plots as PNG, too, to look at them")
    options = parser.parse_args(arguments)
    try:
        results = load(options.results)
    except Mixture as error:
        print(error, file=sys.stderr)
        return 1
    # Of the extra "bench"; the tables do without.
    from benchmarks.report import plots

    files = tables.write(tables.build(results), options.to)
    files += plots.draw(results, options.to)
    if options.png:
        files += plots.draw(results, options.to, "png")
    for file in files:
        print(file)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
