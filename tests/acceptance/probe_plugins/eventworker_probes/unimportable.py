"""A module that cannot be imported while the environment says so."""

from __future__ import annotations

import os

from eventworker_probes.probe import Probe

if os.environ.get("PROBE_UNIMPORTABLE"):
    raise ImportError("unimportable lacks a library")


class Unimportable(Probe):
    name = "unimportable"
