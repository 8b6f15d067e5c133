"""Installs the servers from the distribution's packages, as root, without starting them."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .programs import MissingError

POLICY = Path("/usr/sbin/policy-rc.d")
CREATE_CLUSTER = Path("/etc/postgresql-common/createcluster.conf")
UNITS = {
    "rabbitmq-server": ["rabbitmq-server.service", "epmd.socket", "epmd.service"],
    "postgresql": ["postgresql.service"],
    "prosody": ["prosody.service"],
}


def install(packages: Sequence[str]) -> None:
    """Install what is missing; the host's own services stay as they were: not running."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    # A configuration file that is there already, such as the one made below, stays as it is.
    options = ["DPkg::Lock::Timeout=300", "Dpkg::Options::=--force-confold"]
    apt_get = ["apt-get", "-q", *(word for option in options for word in ("-o", option))]
    # A third-party source that cannot be reached need not matter; the install below decides.
    subprocess.run([*apt_get, "update"], env=environment)
    command = [*apt_get, "install", "--yes", "--no-install-recommends", *packages]
    with _no_service_starts(), _no_main_cluster():
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise MissingError(f"apt-get could not install {' '.join(packages)} (its output is above)")
    _leave_off_at_boot(packages)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian's own switch: maintainer scripts ask policy-rc.d, and 101 means do not start."""
    kept = POLICY.with_name("policy-rc.d.eventworker-kept")
    if kept.exists():  # an earlier run was cut off between the two renames
        kept.replace(POLICY)
    if POLICY.exists() or POLICY.is_symlink():
        POLICY.rename(kept)
    try:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink(missing_ok=True)
        if kept.exists() or kept.is_symlink():
            kept.rename(POLICY)


@contextmanager
def _no_main_cluster() -> Iterator[None]:
    """Tests make clusters of their own; a host's configuration is never touched."""
    if CREATE_CLUSTER.exists():
        yield
        return
    made_folder = not CREATE_CLUSTER.parent.exists()
    CREATE_CLUSTER.parent.mkdir(exist_ok=True)
    CREATE_CLUSTER.write_text("create_main_cluster = false\n")
    try:
        yield
    except BaseException:
        CREATE_CLUSTER.unlink()
        if made_folder and not any(CREATE_CLUSTER.parent.iterdir()):
            CREATE_CLUSTER.parent.rmdir()
        raise


def _leave_off_at_boot(packages: Sequence[str]) -> None:
    """The packages enable their services for the next boot, which a test run did not ask for."""
    if shutil.which("systemctl"):
        for package in packages:
            command = ["systemctl", "disable", "--quiet", *UNITS.get(package, [])]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
