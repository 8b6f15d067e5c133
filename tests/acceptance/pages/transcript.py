"""What a console block says: commands behind ``$``, and below each what it prints."""

from __future__ import annotations

import doctest
from dataclasses import dataclass, field

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass
class Step:
    """A command and the lines below it; ``...`` among them stands for anything."""

    command: str
    shown: list[str] = field(default_factory=list)

    def agrees_with(self, output: str) -> bool:
        """Whether the page promises nothing else than what was printed."""
        wanted = "\n".join(self.shown) + "\n"
        return not self.shown or doctest.OutputChecker().check_output(wanted, output, _FLAGS)


def steps_of(source: str) -> list[Step]:
    """The steps of a console block; a line that begins with ``>`` continues the command."""
    steps: list[Step] = []
    for line in source.splitlines():
        if line.startswith(("$ ", "# ")):
            steps.append(Step(line[2:]))
        elif line.startswith("> ") and steps and not steps[-1].shown:
            steps[-1].command += "\n" + line[2:]
        elif line.strip():
            assert steps, f"a console block begins with its output: {line}"
            steps[-1].shown.append(line)
    return steps
