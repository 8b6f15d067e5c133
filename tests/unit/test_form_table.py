"""The table of the fields of nodes and subscriptions."""

from __future__ import annotations

import csv
from pathlib import Path

from eventworker.pubsub import NodeConfig, SubscribeOptions
from eventworker.pubsub.forms import fields_of

EFFECTS = Path(__file__).parents[2] / "docs" / "form-fields.csv"


def test_the_docs_say_of_each_field_what_it_does() -> None:
    with EFFECTS.open(newline="") as file:
        told = [tuple(row) for row in csv.reader(file)][1:]
    forms = (NodeConfig, SubscribeOptions)
    fields = [each.key for form in forms for each in fields_of(form)]
    assert sorted(name for name, _ in told) == sorted(fields)
    assert [name for name, does in told if not does.endswith(".")] == []
