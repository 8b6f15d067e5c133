"""Try each mutant: patch a copy, run the faults that it names, and expect a verdict of guilt.

A patch says in its head what it breaks and which tests are to convict it. A run that fails for any
other reason than lost, duplicated, phantom or disordered effects does not count.
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
_CRIMES = ("lost", "duplicated", "phantom", "inversions")


@dataclass(frozen=True)
class Mutant:
    """One patch.

    :ivar breaks: what it does, in a line.
    :ivar tests: what pytest is to run.
    """

    name: str
    patch: Path
    breaks: str
    tests: list[str]

    @classmethod
    def read(cls, patch: Path) -> Mutant:
        head = patch.read_text().partition("\n--- ")[0]
        breaks = re.search(r"^Breaks: (.*)$", head, re.MULTILINE)
        tests = re.findall(r"^Convicted-by: (.*)$", head, re.MULTILINE)
        if breaks is None or not tests:
            raise SystemExit(f"{patch.name} lacks a line that begins with Breaks: or Convicted-by:")
        return cls(patch.stem, patch, breaks[1], tests)


def try_out(mutant: Mutant, folder: Path) -> str:
    """The verdict on a mutant, or an empty text if none was reached."""
    table = folder / f"{mutant.name}.csv"
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    options = [f"--mutant={mutant.patch}", f"--faults-csv={table}"]
    log = folder / f"{mutant.name}.log"
    with log.open("wb") as output:
        subprocess.run([*command, *options, *mutant.tests], stdout=output, stderr=output)
    if not table.exists():
        print(log.read_text(errors="replace")[-4000:])
        return ""
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            if found := [f"{crime} {row[crime]}" for crime in _CRIMES if int(row[crime])]:
                return f"{row['fault']} {row['test']}: {', '.join(found)}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="only these, such as M1; all if none is named")
    wanted = parser.parse_args().names
    mutants = [Mutant.read(patch) for patch in sorted(HERE.glob("M*.patch"))]
    chosen = [each for each in mutants if not wanted or each.name.partition("-")[0] in wanted]
    convicted = 0
    with tempfile.TemporaryDirectory(prefix="eventworker-mutants-") as folder:
        for mutant in chosen:
            verdict = try_out(mutant, Path(folder))
            convicted += bool(verdict)
            print(f"{mutant.name}: {mutant.breaks}\n    {verdict or 'NOT FOUND OUT'}", flush=True)
    print(f"{convicted} of {len(chosen)} mutants convicted")
    return 0 if convicted == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
