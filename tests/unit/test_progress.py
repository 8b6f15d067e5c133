"""A bar for a terminal, lines for a file, and not too many of either."""

import io

import pytest

from eventworker.cli.progress import Progress, duration


class Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_file_gets_a_line_every_five_seconds() -> None:
    screen, clock = Screen(terminal=False), Clock()
    progress = Progress("published", screen, 4000, clock)
    for tick in range(1, 121):
        clock.now = tick / 10
        progress.at(tick * 10)
    progress.clear()
    assert screen.getvalue().splitlines() == [
        "eventworker: published 500 of 4,000 (12%), 100/s, 35 s left",
        "eventworker: published 1,000 of 4,000 (25%), 100/s, 30 s left",
    ]


def test_a_terminal_gets_a_bar_that_is_drawn_over_and_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    screen, clock = Screen(terminal=True), Clock()
    progress = Progress("published", screen, 200, clock)
    for tick in range(1, 101):
        clock.now = tick / 50
        progress.at(tick)
    drawn = screen.getvalue().split("\r\x1b[K")
    assert len(drawn) <= 21  # ten times a second, and what is before the first
    assert drawn[1] == "[" + "." * 20 + "] published 5 of 200 (2%)"
    assert drawn[-1].startswith("[##########..........] published 100 of 200 (50%), 50/s")
    assert max(len(line) for line in drawn) <= 59
    progress.clear()
    assert screen.getvalue().endswith("\r\x1b[K")
    before = screen.getvalue()
    progress.clear()
    assert screen.getvalue() == before


def test_without_a_total_there_is_neither_a_bar_nor_an_end_in_sight() -> None:
    screen, clock = Screen(terminal=True), Clock()
    progress = Progress("checked", screen, None, clock)
    clock.now = 2.0
    progress.at(5)
    assert screen.getvalue() == "\r\x1b[Kchecked 5, 2.5/s"


def test_nowhere_nothing_is_shown_and_a_total_of_nothing_is_no_trouble() -> None:
    clock = Clock()
    Progress("published", None, 10, clock).at(5)
    screen = Screen(terminal=True)
    progress = Progress("published", screen, 0, clock)
    clock.now = 9.0
    progress.at(0)
    assert "published 0" in screen.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
