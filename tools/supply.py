"""What a release is made of: ``python -m tools.supply lock | sbom | audit``.

``lock`` pins what eventworker needs at run time, with its drivers, to versions and hashes in
``requirements.lock``. ``sbom`` lists the lock as CycloneDX JSON in ``dist/`` and needs no network.
``audit`` writes that list, too, and asks a service what is known against the locked versions.

Exit codes of ``audit``: 0 nothing is known; 1 something is; 3 nothing could be said, or not of
all of it. pip-audit itself ends with 0 where its service knows none of the packages.
"""

from __future__ import annotations

import argparse
import configparser
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
EXTRAS = ("postgresql", "mariadb")
CLEAN, VULNERABLE, UNKNOWN = 0, 1, 3

HEADER = """\
# What eventworker needs at run time, with its drivers; written by `make lock`.
# pip install --require-hashes -r requirements.lock && pip install --no-deps eventworker
"""


def lock() -> int:
    """Write the lock anew. Of a version, the hashes of all its files are in it, and no address."""
    extras = [f"--extra={name}" for name in EXTRAS]
    written = LOCK.with_suffix(".new")
    done = _run(
        *("piptools", "compile", "--quiet", "--generate-hashes", "--allow-unsafe", *extras),
        *("--strip-extras", "--no-header", "--no-annotate", "--no-emit-options"),
        *("--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host"),
        *("--upgrade", f"--output-file={written}", "setup.cfg"),
    )
    if done.returncode == 0:
        LOCK.write_text(HEADER + written.read_text())
    written.unlink(missing_ok=True)
    return done.returncode


def sbom(folder: Path = ROOT / "dist") -> Path:
    """List what is locked as CycloneDX JSON; the same lock gives the same bytes."""
    name, version, license = _metadata()
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}.cdx.json"
    options = ("--output-reproducible", "--of", "JSON", "-o", str(path))
    done = _run("cyclonedx_py", "requirements", *options, str(LOCK))
    if done.returncode:
        raise SystemExit(done.returncode)
    bill = json.loads(path.read_text())
    purl = f"pkg:pypi/{name}@{version}"
    bill["metadata"]["component"] = {
        "type": "library",
        "bom-ref": purl,
        "purl": purl,
        "name": name,
        "version": version,
        "licenses": [{"license": {"id": license}}],
    }
    needs = sorted(component["bom-ref"] for component in bill["components"])
    bill["dependencies"] = [{"ref": purl, "dependsOn": needs}, *({"ref": each} for each in needs)]
    path.write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n")
    return path


def audit() -> int:
    """Say what is known against the locked versions; see the module for the exit code."""
    print(f"wrote {sbom().relative_to(ROOT)}")
    done = _run(
        *("pip_audit", "--requirement", str(LOCK), "--require-hashes", "--disable-pip"),
        *("--progress-spinner=off", "--format=json"),
        capture=True,
    )
    code, text = verdict(done.stdout, done.stderr)
    print(text, file=sys.stderr if code else sys.stdout)
    return code


def verdict(report: str, errors: str) -> tuple[int, str]:
    """Exit code and words for what pip-audit has printed."""
    try:
        found: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        lines = errors.strip().splitlines() or ["it said nothing"]
        return UNKNOWN, f"audit: the vulnerability service could not be asked: {lines[-1]}"
    known = [
        f"{each['name']} {each['version']}: {one['id']}, mended in "
        f"{', '.join(one['fix_versions']) or 'no version'}"
        for each in found
        for one in each.get("vulns", ())
    ]
    if known:
        return VULNERABLE, "\n".join(known)
    unasked = [each["name"] for each in found if "skip_reason" in each]
    if unasked or not found:
        return UNKNOWN, (
            f"audit: of {len(unasked)} of {len(found)} packages the vulnerability service says "
            f"nothing, so this is no clean bill: {', '.join(unasked)}"
        )
    return CLEAN, f"audit: nothing is known against {len(found)} packages"


def _metadata() -> tuple[str, str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg")
    return parser["metadata"]["name"], parser["metadata"]["version"], parser["metadata"]["license"]


def _run(*module: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *module]
    return subprocess.run(command, cwd=ROOT, capture_output=capture, text=True, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description="The supply chain of a release.")
    parser.add_argument("what", choices=("lock", "sbom", "audit"))
    what = parser.parse_args().what
    if what == "sbom":
        print(f"wrote {sbom().relative_to(ROOT)}")
        return 0
    return lock() if what == "lock" else audit()


if __name__ == "__main__":
    raise SystemExit(main())
