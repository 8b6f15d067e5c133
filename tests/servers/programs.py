"""The server programs that `make servers` found."""

import json
from dataclasses import dataclass
from pathlib import Path

RECORD = Path(__file__).parents[2] / ".servers.json"


@dataclass(frozen=True)
class Programs:
    paths: dict[str, str]
    env: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.paths[name]


def programs_of(server: str) -> Programs:
    """An absent server fails the tests that need it; skipping them would hide it."""
    try:
        found = json.loads(RECORD.read_text())[server]
    except FileNotFoundError:
        raise FileNotFoundError(f"{RECORD.name} is not there: run `make servers` first") from None
    except KeyError:
        raise KeyError(f"{RECORD.name} does not have {server}: run `make servers` again") from None
    return Programs(found["paths"], found["env"])
