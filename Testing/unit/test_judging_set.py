"""The judging set: its halves are fixed by the names, and what is written is what is judged."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

BENCH = str(Path(__file__).resolve().parents[1] / "bench")
sys.path.insert(0, BENCH)
try:
    import collect_cases
    import judging_set
finally:
    sys.path.remove(BENCH)


def an_object(first: int, last: int, slices: int = 100) -> collect_cases.Found:
    image = np.random.default_rng(0).integers(-1000, 2000, (slices, 12, 10)).astype(np.int16)
    reference = np.zeros(image.shape, bool)
    reference[first : last + 1, 3:8, 2:7] = True
    return collect_cases.Found("an-object", "CT organ", "CT", image, reference, (3.0, 0.5, 0.7), "made up")


@pytest.mark.parametrize(("name", "tuned"), [("mni-brain", False), ("lung2-tumour", True), ("left-lung", True)])
def test_the_halves_are_fixed(name: str, tuned: bool) -> None:
    """These three were computed when the set was made: a rule that moves a case between the halves fails here."""
    assert judging_set.is_tuned(name) is tuned


@pytest.mark.parametrize(("name", "judged"), [("mni-brain", False), ("left-lung", False), ("lung2-tumour", True)])
def test_the_third_is_fixed(name: str, judged: bool) -> None:
    assert judging_set.in_third(name) is judged


def test_the_known_cases_are_tuned() -> None:
    assert len(judging_set.KNOWN) == 16
    assert all(judging_set.is_tuned(name) for name in judging_set.KNOWN)


def test_a_case_comes_back_as_it_was_found(tmp_path: Path) -> None:
    found = an_object(40, 50, 60)
    collect_cases.write(found, tmp_path)
    collect_cases.write(replace(found, name="left-lung", image=np.stack([found.image] * 3, -1)), tmp_path)
    case, colour = judging_set.load_cases(tmp_path)
    assert (case.name, case.kind, case.modality, case.source) == ("an-object", "CT organ", "CT", "made up")
    np.testing.assert_array_equal(case.image, found.image)
    np.testing.assert_array_equal(case.reference, found.reference)
    assert case.reference.dtype == bool
    assert case.geometry.shape_zyx == found.reference.shape
    assert case.geometry.spacing_zyx == pytest.approx(found.spacing)
    assert colour.image.shape == (*found.reference.shape, 3)
    assert not case.is_flat
    half = [case.name for case in judging_set.load_cases(tmp_path, tuned=case.is_tuned)]
    assert half == (["an-object", "left-lung"] if case.is_tuned else ["an-object"])


@pytest.mark.parametrize(
    ("extent", "kept"),
    [((40, 49), (28, 61)), ((3, 12), (0, 24)), ((20, 69), (15, 74)), ((0, 99), (20, 79))],
    ids=["margin", "at the end", "less margin", "too long"],
)
def test_a_volume_is_cropped_round_the_object(extent: tuple[int, int], kept: tuple[int, int]) -> None:
    found = an_object(*extent)
    got = collect_cases.cropped(found)
    np.testing.assert_array_equal(got.image, found.image[kept[0] : kept[1] + 1])
    np.testing.assert_array_equal(got.reference, found.reference[kept[0] : kept[1] + 1])


def test_lungs_that_touch_come_apart() -> None:
    both = np.zeros((6, 30, 60), bool)
    both[:, 5:25, 5:28] = both[:, 5:25, 30:55] = True
    both[2:4, 14:16, 28:30] = True
    right, left = collect_cases.one_lung(both, 0), collect_cases.one_lung(both, -1)
    assert right[:, :, :28].sum() == both[:, :, :28].sum()
    assert left[:, :, 30:].sum() == both[:, :, 30:].sum()
    assert right.sum() + left.sum() == both.sum()


def test_what_is_missing_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(collect_cases, "SHARED", tmp_path / "nothing")
    names = {found.name for found in collect_cases.collect(tmp_path)}
    assert names == {"right-lung", "left-lung", "thoracic-spine", "lumbar-spine", "cervical-spine"}
    lines = capsys.readouterr().out
    for missing in ("torso-spleen", "skin", "nuclei", "lesion-000001", "sarcoma-001-pt"):
        assert f"left out: {missing} " in lines
