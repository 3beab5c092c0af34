"""Scores and clicks of the challenges against what their own evaluators gave, to 1e-9 and voxel by voxel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from compare_challenges import differences

GOLDEN = json.loads((Path(__file__).parent / "golden" / "challenges.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("number", [int(number) for number in GOLDEN["2024"]])
def test_a_case_is_scored_and_clicked_as_published(number: int, tmp_path: Path) -> None:
    assert {figure: by for figure, by in differences(GOLDEN, number, tmp_path) if by > 1e-9} == {}


def test_the_golden_figures_hold_what_is_odd() -> None:
    """Nothing is proven by cases that are all alike."""
    runs = GOLDEN["2025"].values()
    assert any(score[0] != score[0] for score in GOLDEN["2024"].values()), "a class that neither has"
    assert any(run["DSC_1"] == 0 < run["DSC_6"] for run in runs), "no box"
    assert any(run["DSC_6"] == 1 and len(run["clicks"][0]["fg"]) < 5 for run in runs), "nothing wrong any more"
    assert any(run["NSD_2"] == 0 < run["DSC_2"] for run in runs), "too little overlap for a surface"
    assert any(GOLDEN["2025 halved"][number] != run for number, run in GOLDEN["2025"].items()), "half the resolution"
