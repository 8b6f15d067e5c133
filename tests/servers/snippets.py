"""What a page of the documentation shows, for servers that are set up as the page says."""

import re
import textwrap
from pathlib import Path

_BLOCK = re.compile(
    r"^\.\. code-block:: \S+\n   :caption: (?P<caption>.+)\n\n(?P<source>(?:   .*\n|\n)+)",
    re.MULTILINE,
)


def snippet(page: Path, caption: str) -> str:
    """The one block of code of this caption."""
    found = [each for each in _BLOCK.finditer(page.read_text()) if each["caption"] == caption]
    assert len(found) == 1, f"{page.name} has {len(found)} blocks {caption}"
    return textwrap.dedent(found[0]["source"]).strip("\n") + "\n"
