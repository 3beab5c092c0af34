"""The tables of the judging set: halves apart, losses against the better of two, ends and words as they are defined."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedSAMSegmentLib.prompts import Box

BENCH = str(Path(__file__).resolve().parents[1] / "bench")
sys.path.insert(0, BENCH)
try:
    import accuracy
    import accuracy_pictures
    import accuracy_tables
finally:
    sys.path.remove(BENCH)


def judged(dice: float) -> dict[str, float]:
    return {"dice": dice, "nsd": dice / 2, "roughness": 0.1}


def a_volume(
    default: float, static: float, handover: float, *, tuned: bool = False, score: float = 0.8, kind: str = "CT organ"
) -> dict[str, Any]:
    runs: dict[str, Any] = {way: judged(value) for way, value in (("static", static), ("handover", handover))}
    runs["default"] = judged(default) | {"slices": [[score - 0.1, default - 0.1], [score + 0.1, default]]}
    runs["boxes"] = judged(0.7)
    runs["ranged"] = runs["open"] = {"dice": default - 0.1, "missed": 2, "too_many": 5}
    return {"kind": kind, "tuned": tuned, "flat": False, "shape": [12, 9, 9], "window": "auto", "runs": runs} | {
        "model": "a model"
    }


def a_picture(default: float, bare: float, *, tuned: bool = False) -> dict[str, Any]:
    runs: dict[str, Any] = {"default": judged(default) | {"slices": [[0.5, default]]}, "bare": judged(bare)}
    runs |= {"wide_default": judged(0.61), "wide_bare": judged(0.6)}
    return {"kind": "X-ray", "tuned": tuned, "flat": True, "shape": [1, 9, 9], "window": "auto", "runs": runs} | {
        "model": "a model"
    }


CASES = {
    "liver": a_volume(0.9, 0.8, 0.85),
    "spine": a_volume(0.6, 0.5, 0.7, score=0.3, kind="CT lesion"),
    "known": a_volume(0.8, 0.82, 0.1, tuned=True),
    "chest": a_picture(0.93, 0.95),
}


def test_a_loss_is_against_the_better_of_static_and_handover() -> None:
    assert accuracy_tables.volume_gain(CASES["liver"]) == pytest.approx(0.05)
    assert accuracy_tables.volume_gain(CASES["spine"]) == pytest.approx(-0.1)
    volumes = {name: case for name, case in CASES.items() if not case["flat"]}
    assert accuracy_tables.losers(volumes, accuracy_tables.volume_gain, 0.01) == ["spine", "known"]
    assert accuracy_tables.losers(volumes, accuracy_tables.volume_gain, 0.05) == ["spine"]


def test_the_halves_are_never_put_together() -> None:
    page = accuracy_tables.all_tables(CASES)
    tuned, untouched = page.split("## Untouched: volumes")
    assert "| known |" in tuned
    assert "**mean of 1**" in tuned
    assert not any(f"| {name} |" in tuned for name in ("liver", "spine", "chest"))
    assert "| known |" not in untouched
    row = next(line for line in untouched.splitlines() if line.startswith("| **mean of 2**"))
    assert row.split(" | ")[3:7] == ["0.750", "0.650", "0.775", "0.700"], "default, static, handover, boxes"
    assert "Most slices too many on a lesion: 5 (1 lesions)." in untouched
    assert "more than 0.01 in 1 of 2 (spine -0.100); more than 0.05 in 1 of 2" in untouched
    assert "| X-ray | 1 | 0.930 | 0.950 | 0.610 | 0.600 |" in untouched


def test_every_row_has_the_columns_of_its_head() -> None:
    blocks = [block for block in accuracy_tables.all_tables(CASES).split("\n\n") if block.startswith("|")]
    assert len(blocks) == 13
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1, block


def test_a_word_comes_from_the_mean_of_the_scores() -> None:
    words = {score: accuracy_tables.word_of(a_volume(0.9, 0.8, 0.8, score=score)) for score in (0.76, 0.7, 0.5)}
    assert words == {0.76: "sure", 0.7: "look", 0.5: "doubtful"}
    page = accuracy_tables.confidence_tables(CASES)
    assert "| sure | 2 | 0.850 | 0.800 | 0.900 |  |" in page
    assert "| doubtful | 2 | 0.765 | 0.600 | 0.930 | spine, chest |" in page


def test_the_rank_correlation_is_pooled_over_slices() -> None:
    rising = a_volume(0.9, 0.8, 0.8)
    assert accuracy_tables.spearman([rising]) == "1.000 (2)"
    falling = a_volume(0.2, 0.8, 0.8, score=0.95)
    assert accuracy_tables.spearman([rising, falling]) == "0.000 (4)", (
        "worked out by hand: the ranks are 1 3 2 4 and 3 4 1 2"
    )
    assert accuracy_tables.spearman([a_picture(0.9, 0.9)]) == "not defined (1)"


def test_the_worst_are_untouched() -> None:
    assert accuracy_tables.worst_untouched(CASES) == ["spine", "liver", "chest"]


@pytest.mark.parametrize(
    ("filled", "expected"), [((4, 8), (0, 0)), ((2, 9), (0, 3)), ((5, 6), (3, 0)), ((3, 5), (3, 1)), (None, (5, 0))]
)
def test_ends_count_missed_and_extra_slices_apart(filled: tuple[int, int] | None, expected: tuple[int, int]) -> None:
    mask = np.zeros((12, 4, 4), bool)
    if filled is not None:
        mask[filled[0] : filled[1] + 1, 1, 1] = True
    assert accuracy.ends(mask, (4, 8)) == expected


def test_boxes_of_the_reference() -> None:
    reference = np.zeros((7, 60, 110), bool)
    reference[1:6, 5:55, 2:102] = True
    reference[3] = False
    reference[3, 20, 20:30] = True  # a row cannot be boxed: the slice beside it is drawn on
    assert accuracy.middle_outline(reference) == Box(i=(2, 101), j=(5, 54), k=(2, 2))
    assert [k for k, _ in accuracy.slice_boxes(reference)] == [1, 2, 4, 5]
    assert accuracy.wider_box(Box(i=(2, 101), j=(5, 54), k=(2, 2)), reference.shape) == Box((0, 105), (3, 56), (2, 2))


def test_a_mask_for_the_pictures_comes_back() -> None:
    mask = np.random.default_rng(0).random((3, 13, 9)) > 0.5
    packed = accuracy.packed_slice(mask, 1)
    assert packed["index"] == 1
    assert np.array_equal(accuracy_pictures.unpacked(packed["bits"], (13, 9)), mask[1])


def test_an_interrupted_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "accuracy.json"
    assert accuracy.read_results(path) == {}
    accuracy.write_results(path, CASES)
    assert accuracy.read_results(path) == CASES
