"""Sources, split, views and the store of embeddings."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from training_support import SIDE, views

from MedSAMSegmentLib.errors import Cancelled, InputError, UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.read_segmentation import read_segmentation
from MedSAMSegmentLib.training.sources import (
    TrainingSource,
    find_sources,
    hash_files,
    read_labelled,
    require_label,
    resample_mask,
)
from MedSAMSegmentLib.training.split import given_split, split_by_patient
from MedSAMSegmentLib.training.store import FEATURES, INDEX, TARGETS, ViewStore, fill_store, open_store
from MedSAMSegmentLib.training.views import OTHER, VIEWS, network_target, slice_views, thin_out, useful_slices

WritePatient = Callable[..., Path]


def test_a_folder_gives_its_images_with_segmentations(tmp_path: Path, write_patient: WritePatient) -> None:
    for name in ("anna", "bert"):
        write_patient(tmp_path, name)
    shutil.copy(tmp_path / "anna.nrrd", tmp_path / "nobody.nrrd")
    sources = find_sources(tmp_path)
    assert [(s.patient, s.image.name, s.reference.name) for s in sources] == [
        ("anna", "anna.nrrd", "anna.seg.nrrd"),
        ("bert", "bert.nrrd", "bert.seg.nrrd"),
    ]


def test_a_manifest_names_patients(tmp_path: Path, write_patient: WritePatient) -> None:
    for name in ("a1", "a2", "b"):
        write_patient(tmp_path, name)
    manifest = tmp_path / "m.csv"
    manifest.write_text(
        "patient,image,reference,window\nanna,a1.nrrd,a1.seg.nrrd,\nanna,a2.nrrd,a2.seg.nrrd,40/400\nbert,b.nrrd,b.seg.nrrd,\n",
        encoding="utf-8",
    )
    sources = find_sources(manifest)
    assert [s.patient for s in sources] == ["anna", "anna", "bert"]
    assert [s.window for s in sources] == ["auto", "40/400", "auto"]
    lines = [json.dumps({"id": "x", "image": "b.nrrd", "reference": "b.seg.nrrd"})]
    (tmp_path / "m.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert [s.patient for s in find_sources(tmp_path / "m.jsonl")] == ["x"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("anna,none.nrrd,a.seg.nrrd,", "none.nrrd does not exist"),
        ("anna,a.nrrd,,", "line 2: the reference is missing"),
        ("anna,,a.seg.nrrd,", "line 2: the image is missing"),
        ("anna,a.nrrd,a.seg.nrrd,bright", "line 2: The window 'bright' is not known"),
        ("anna,a.nrrd,a.seg.nrrd,\nbert,a.nrrd,a.seg.nrrd,", "the image belonged to anna before"),
        ('anna,"a', "line"),
        ("", "has no rows"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, write_patient: WritePatient, row: str, reason: str) -> None:
    write_patient(tmp_path, "a")
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"patient,image,reference,window\n{row}\n", encoding="utf-8")
    with pytest.raises(InputError, match=reason):
        find_sources(manifest)


def test_a_label_is_found_by_name_or_number_and_else_the_names_are_said(
    tmp_path: Path, write_patient: WritePatient
) -> None:
    write_patient(tmp_path, "a")
    sources = find_sources(tmp_path)
    require_label(sources, "ball")
    with pytest.raises(InputError, match=r"Did you mean 'Ball'\? There are: Ball, Rest"):
        require_label(sources, "bal")
    assert read_labelled(sources[0], ["other"]) is None
    one, both = read_labelled(sources[0], ["BALL"]), read_labelled(sources[0], ["ball", "rest"])
    assert one is not None
    assert both is not None
    assert 0 < one.mask_zyx.sum() < both.mask_zyx.sum()


def test_a_challenge_file_holds_image_and_labels(tmp_path: Path) -> None:
    labels = np.zeros((4, 30, 30), np.uint8)
    labels[1:3, 8:20, 8:20] = 2
    np.savez(tmp_path / "case.npz", imgs=labels * 90, gts=labels, spacing=np.array([1.0, 1.0, 2.0]))
    (source,) = find_sources(tmp_path)
    found = read_labelled(source, ["2"])
    assert found is not None
    assert np.array_equal(found.mask_zyx, labels == 2)
    assert useful_slices(found) == [1, 2]


def test_a_segmentation_on_another_grid_is_resampled() -> None:
    mask = np.zeros((4, 8, 8), bool)
    mask[1:3, 2:6, 2:6] = True
    coarse = VolumeGeometry.from_spacing(mask.shape, (2.0, 2.0, 2.0))
    matrix = np.array(coarse.ijk_to_lps)
    matrix[:3, :3] /= 2
    matrix[:3, 3] -= 0.5
    fine = VolumeGeometry((8, 16, 16), matrix)
    found = resample_mask(mask, coarse, fine)
    assert np.array_equal(found, mask.repeat(2, 0).repeat(2, 1).repeat(2, 2))


def sources_of(*patients: str) -> list[TrainingSource]:
    return [TrainingSource(p, Path(f"{p}{n}.nrrd"), Path(f"{p}{n}.seg.nrrd")) for p in patients for n in range(2)]


@pytest.mark.parametrize(("count", "kept"), [(2, 1), (5, 1), (10, 2), (3, 1)])
def test_no_patient_is_on_both_sides(count: int, kept: int) -> None:
    sources = sources_of(*(f"p{n}" for n in range(count)))
    split = split_by_patient(sources, 0.2, seed=3)
    patients = split.patients()
    assert not set(patients["training"]) & set(patients["validation"])
    assert len(patients["validation"]) == kept
    assert len(split.training) + len(split.validation) == len(sources)
    assert split == split_by_patient(sources, 0.2, seed=3)


def test_the_seed_draws_the_split_and_one_patient_is_not_split() -> None:
    sources = sources_of(*(f"p{n}" for n in range(8)))
    drawn = {tuple(split_by_patient(sources, 0.25, seed).patients()["validation"]) for seed in range(20)}
    assert len(drawn) > 5
    alone = split_by_patient(sources_of("p"), 0.5, 0)
    assert not alone.is_validated
    assert len(alone.training) == 2
    assert not split_by_patient(sources, 0.0, 0).is_validated


def test_a_patient_on_both_sides_is_refused() -> None:
    with pytest.raises(UsageError, match="b would be trained on and tested with"):
        given_split(sources_of("a", "b"), sources_of("b"))


def test_slices_are_thinned_evenly() -> None:
    assert thin_out([3, 0, 5], 100) == [[0, 1, 2], [], [0, 1, 2, 3, 4]]
    found = thin_out([100, 10, 1], 22)
    assert sum(map(len, found)) <= 23
    assert found[0] == sorted(set(found[0]))
    assert found[0][0] < 6
    assert found[0][-1] > 94
    assert found[2] == [0]


def test_views_show_the_object(tmp_path: Path, write_patient: WritePatient) -> None:
    write_patient(tmp_path, "a")
    labelled = read_labelled(find_sources(tmp_path)[0], ["Ball"])
    assert labelled is not None
    found = list(slice_views(labelled, useful_slices(labelled), VIEWS))
    assert len(found) == len(useful_slices(labelled)) * 5
    whole, mirrored, closer, window, other = found[:5]
    assert [view.view for view in found[:5]] == list(VIEWS)
    assert np.array_equal(mirrored.image, whole.image[:, ::-1])
    assert np.array_equal(mirrored.mask, whole.mask[:, ::-1])
    assert np.array_equal(window.mask, whole.mask)
    assert not np.array_equal(window.image, whole.image)
    assert closer.mask.sum() == whole.mask.sum()
    assert closer.image.size < whole.image.size
    assert not np.array_equal(other.image, whole.image)
    assert other.image.shape == whole.image.shape
    for view in found:
        assert view.image.dtype == np.uint8
        assert view.view == OTHER or view.image[view.mask].mean() > view.image[~view.mask].mean()
    again = list(slice_views(labelled, useful_slices(labelled), VIEWS))
    assert all(np.array_equal(one.image, other.image) for one, other in zip(found, again, strict=True))


def test_a_target_lies_in_the_top_left_corner() -> None:
    mask = np.ones((20, 10), bool)
    target = network_target(mask, (16, 8), 16)
    assert target[:, :8].all()
    assert not target[:, 8:].any()


class Counting:
    """An encoder that counts, and is told to stop."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, image: np.ndarray) -> np.ndarray:
        self.count += 1
        return np.full((2, 3), image.mean(), np.float32)


def fill(folder: Path, encode: Counting, *, key: str = "k", stop_after: int = 99) -> ViewStore:
    made = views(20)
    return fill_store(
        folder,
        key,
        made,
        len(made),
        encode=encode,
        place=lambda mask: mask,
        feature_shape=(2, 3),
        side=SIDE,
        cancel=lambda: encode.count >= stop_after,
    )


def test_encoding_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    whole = fill(tmp_path / "whole", Counting())
    first = Counting()
    with pytest.raises(Cancelled):
        fill(tmp_path / "store", first, stop_after=13)
    second = Counting()
    found = fill(tmp_path / "store", second)
    assert second.count == 20 - 8  # of 13, the last five were not noted yet
    assert found.records == whole.records
    assert np.array_equal(found.features, whole.features)
    assert np.array_equal(found.targets, whole.targets)
    third = Counting()
    fill(tmp_path / "store", third)
    assert third.count == 0


def test_other_data_are_encoded_anew(tmp_path: Path) -> None:
    fill(tmp_path, Counting())
    other = Counting()
    fill(tmp_path, other, key="other")
    assert other.count == 20
    with pytest.raises(InputError, match="no embeddings of these data"):
        open_store(tmp_path, "k")


@pytest.mark.parametrize("name", [FEATURES, TARGETS, INDEX])
@pytest.mark.parametrize("damage", ["cut", "gone", "lies"])
def test_a_damaged_store_is_made_anew(tmp_path: Path, name: str, damage: str) -> None:
    whole = fill(tmp_path / "a", Counting())
    file = tmp_path / "a" / name
    content = file.read_bytes()
    expected = np.array(whole.features)
    del whole
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif name == INDEX:
        file.write_text(json.dumps({**json.loads(content), "seen": "many"}), encoding="utf-8")
    else:
        # A header that announces a thousand times the rows.
        file.write_bytes(content.replace(b"(20, ", b"(99999, ", 1))
    with pytest.raises(InputError):
        open_store(tmp_path / "a", "k")
    encode = Counting()
    assert np.array_equal(fill(tmp_path / "a", encode).features, expected)
    assert encode.count == 20


def test_a_view_that_the_network_would_not_see_is_passed_over(tmp_path: Path) -> None:
    made = views(4)
    made[1].mask[:] = False
    found = fill_store(tmp_path, "k", made, 4, encode=Counting(), place=lambda m: m, feature_shape=(2, 3), side=SIDE)
    assert [record.index for record in found.records] == [0, 2, 3]
    assert len(found) == 3


def test_hashes_follow_the_content(tmp_path: Path, write_patient: WritePatient) -> None:
    write_patient(tmp_path, "a")
    before = hash_files(find_sources(tmp_path))
    write_patient(tmp_path, "a", shift=2)
    after = hash_files(find_sources(tmp_path))
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before)


def test_a_folder_without_segments_says_what_training_takes(tmp_path: Path, write_patient: WritePatient) -> None:
    with pytest.raises(InputError) as caught:
        find_sources(tmp_path)
    assert ".seg.nrrd" in str(caught.value)
    assert "mrk.json" not in str(caught.value)


def test_a_segmentation_that_cannot_be_read_is_named_and_left_out(tmp_path: Path, write_patient: WritePatient) -> None:
    for name in ("anna", "bert", "carl"):
        write_patient(tmp_path, name)
    shutil.copy(tmp_path / "anna.nrrd", tmp_path / "nobody.nrrd")
    (tmp_path / "bert.seg.nrrd").write_bytes(b"NRRD0004\nnonsense")
    (tmp_path / "carl_label.nii.gz").write_bytes(b"\x1f\x8b\x08 cut off")
    said: list[str] = []
    assert [source.reference.name for source in find_sources(tmp_path, said.append)] == [
        "anna.seg.nrrd",
        "carl.seg.nrrd",
    ]
    assert [line.split(" cannot be read")[0] for line in said] == [
        "left out: bert.seg.nrrd",
        "left out: carl_label.nii.gz",
    ]


def test_a_folder_of_which_no_segmentation_can_be_read_says_why(tmp_path: Path, write_patient: WritePatient) -> None:
    for name in ("anna", "bert"):
        write_patient(tmp_path, name)
        (tmp_path / f"{name}.seg.nrrd").write_bytes(b"NRRD0004\nnonsense")
    said: list[str] = []
    with pytest.raises(InputError) as caught:
        find_sources(tmp_path, said.append)
    assert "no segmentation to learn from: 2 cannot be read" in str(caught.value)
    assert "anna.seg.nrrd cannot be read" in str(caught.value)
    assert len(said) == 2


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there a file is not closed by its mode")
def test_a_file_that_may_not_be_read_is_said_to_be_so() -> None:
    # Not in tmp_path, which is closed to other users; the superuser would open the file.
    with tempfile.TemporaryDirectory() as place:
        folder, user = Path(place), os.geteuid()
        folder.chmod(0o755)
        case = folder / "case.npz"
        np.savez(case, imgs=np.zeros((2, 4, 4), np.uint8), gts=np.ones((2, 4, 4), np.uint8))
        (folder / "m.csv").write_text("image\ncase.npz\n", encoding="utf-8")
        case.chmod(0)
        try:
            if user == 0:
                os.seteuid(65534)
            with pytest.raises(InputError, match=r"case\.npz cannot be read: Permission denied"):
                find_sources(folder / "m.csv")
            with pytest.raises(InputError, match=r"case\.npz cannot be read: Permission denied"):
                read_segmentation(case)
        finally:
            if user == 0:
                os.seteuid(0)


def test_what_is_not_validated_says_why() -> None:
    assert split_by_patient(sources_of("a", "b"), 0.2, 0).reason == ""
    assert "one patient alone" in split_by_patient(sources_of("a"), 0.2, 0).reason
    assert "one patient alone" not in split_by_patient(sources_of("a", "b"), 0.0, 0).reason
    assert "kept aside" in split_by_patient(sources_of("a", "b"), 0.0, 0).reason
