"""Each input that a fuzzer has ever broken something with, and each that it begins with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.__main__ import CORPUS
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_that_is_known_breaks_the_law(name: str) -> None:
    known = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    for data in [b"", *TARGETS[name].seeds, *known]:
        TARGETS[name].check(data)


def test_the_corpus_is_small() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert len(files) <= 200
    assert sum(path.stat().st_size for path in files) < 200_000
    assert {path.parent.name for path in files} <= set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_no_damage_to_a_sound_input_breaks_the_law(name: str) -> None:
    """A fuzzer of a few milliseconds, for those who have none installed."""

    @given(st.sampled_from(TARGETS[name].seeds), st.data())
    def damaged(seed: bytes, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(seed)))
        gone = data.draw(st.integers(0, 4))
        words = st.sampled_from([word.encode() for word in TARGETS[name].words])
        added = data.draw(st.binary(max_size=4) | words)
        TARGETS[name].check(seed[:place] + added + seed[place + gone :])

    damaged()
