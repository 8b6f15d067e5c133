"""Puts the events that come as lines of JSON into the queue, one by one."""

from __future__ import annotations

import json
import sys

from worker import work

for line in sys.stdin:
    work(json.loads(line))
