"""A page of the documentation as a sequence of blocks of code, in the order that it is read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from sybil import Document, Region
from sybil.parsers.rest.lexers import DirectiveInCommentLexer, DirectiveLexer

ROOT = Path(__file__).parents[3]
_SHOWN = DirectiveLexer(r"(code-block|code|sourcecode)")
#: Comments to a reader of the page: preparations that would only distract there.
_HIDDEN = DirectiveInCommentLexer(r"hidden-code-block")
#: A comment before a block, with the reason why no machine can try it.
_SKIPPED = re.compile(r"^[ \t]*\.\. not tried: (?P<reason>\S.*)\n\s*\Z", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code.

    :param caption: the file that it stands for, such as ``eventworker.conf``; empty if none.
    :param line: of the page, at which its first line stands.
    :param untried: why it cannot be tried; empty for most.
    """

    language: str
    source: str
    line: int
    options: dict[str, str] = field(default_factory=dict)
    untried: str = ""

    @property
    def caption(self) -> str:
        # Only Sphinx knows captions. A README is read without it, and gives the file as the name.
        return self.options.get("caption") or self.options.get("name", "")


def pages() -> list[Path]:
    """Every page that somebody may follow, from the root of the repository."""
    found = [ROOT / "README.rst", *ROOT.glob("docs/**/*.rst")]
    found += [*ROOT.glob("plugins/**/README.rst"), *ROOT.glob("examples/**/README.rst")]
    return sorted(path for path in found if not {"_build", "build"} & set(path.parts))


def blocks_of(path: Path) -> list[Block]:
    """The blocks of a page, from top to bottom."""
    document = Document.parse(str(path))
    regions = [region for lexer in (_SHOWN, _HIDDEN) for region in lexer(document)]
    return [
        _block(document.text, region) for region in sorted(regions, key=lambda each: each.start)
    ]


def _block(text: str, region: Region) -> Block:
    lexemes = region.lexemes
    directive = text[region.start : region.end]
    first = next((line for line in lexemes["source"].splitlines() if line.strip()), "")
    inside = directive.find(first.strip())
    skipped = _SKIPPED.search(text[: region.start])
    return Block(
        language=(lexemes["arguments"] or "").strip(),
        source=lexemes["source"],
        line=text.count("\n", 0, region.start + inside) + 1,
        options=lexemes["options"],
        untried=skipped["reason"] if skipped else "",
    )
