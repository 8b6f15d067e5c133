"""Fuzz all targets for a while, sharing the time: ``python -m tests.fuzz --seconds 600``.

What a target has learned is kept under ``.fuzz``, for the next run. ``tests/fuzz/corpus/TARGET``
has a few inputs of each that got somewhere new; one that breaks a law goes there, too, and is to be
committed with the fix. ``tests/unit/test_fuzz_corpus.py`` tries all of them in every run.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
LEARNED = ROOT / ".fuzz"
#: Bytes of an input; megabytes of a process; seconds for one input.
_LONGEST, _MEMORY, _PATIENCE = 4096, 1024, 10
#: Seconds for a start and an end on a busy machine, beside the share.
_GRACE = 300


@dataclass(frozen=True)
class Result:
    """How one target did.

    :ivar runs: inputs that were tried.
    :ivar failures: files with inputs that broke the law.
    """

    name: str
    runs: int
    failures: tuple[Path, ...]
    log: str


def fuzz(name: str, seconds: int) -> Result:
    """One target, until the time is over or an input breaks its law."""
    learned, crashes = LEARNED / name, CORPUS / name
    for folder in (learned, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].seeds:
        (learned / f"seed-{hashlib.sha1(seed).hexdigest()}").write_bytes(seed)
    words = LEARNED / f"{name}.dict"
    escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in TARGETS[name].words)
    words.write_text("".join(f'"{word}"\n' for word in escaped))
    before = set(crashes.iterdir())
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.one", name),
            *(f"-max_total_time={seconds}", f"-max_len={_LONGEST}", f"-timeout={_PATIENCE}"),
            *(f"-rss_limit_mb={_MEMORY}", f"-dict={words}", f"-artifact_prefix={crashes}/"),
            "-print_final_stats=1",
            *(str(learned), str(crashes)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds + _GRACE,
        check=False,
    )
    log = done.stdout.decode(errors="replace")
    # crash-..., timeout-..., oom-...: the others have been put there by hand.
    new = tuple(sorted(path for path in set(crashes.glob("*-*")) - before))
    if done.returncode and not new:
        raise RuntimeError(f"the fuzzer of {name} ended with {done.returncode}:\n{log[-4000:]}")
    return Result(name, _runs(log), new, log)


def _runs(log: str) -> int:
    found = [line for line in log.splitlines() if line.startswith("stat::number_of_executed_units")]
    return int(found[-1].split()[-1]) if found else 0


def fuzz_all(seconds: int, names: list[str]) -> Iterator[Result]:
    """Each target for its share of the time, at least a second."""
    for name in names:
        yield fuzz(name, max(1, seconds // len(names)))


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the readers of a stranger's bytes.")
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    arguments = parser.parse_args()
    broken = 0
    for result in fuzz_all(arguments.seconds, arguments.targets or list(TARGETS)):
        broken += len(result.failures)
        count = len(result.failures)
        print(f"{result.name}: {result.runs:,} inputs, {count} broke the law", flush=True)
        if result.failures:
            print(result.log[-3000:], *result.failures, sep="\n", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
