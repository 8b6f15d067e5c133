"""The builds that are broken on purpose can be made from the sources as they are."""

from pathlib import Path

import pytest

from tests.acceptance.installation import copy_of_eventworker, patched

PATCHES = sorted((Path(__file__).parents[1] / "faults/mutants").glob("M*.patch"))


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_its_patch_fits(patch: Path, tmp_path: Path) -> None:
    patched(copy_of_eventworker(tmp_path / "copy"), patch)


def test_there_are_nine_of_them() -> None:
    assert [each.stem.partition("-")[0] for each in PATCHES] == [f"M{n}" for n in range(1, 10)]
