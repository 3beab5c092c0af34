"""`cohort prepare`: what lies beside an image becomes its rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from cohort_support import an_ellipsoid, write_image, write_reference

from MedSAMSegmentLib.cli import main
from MedSAMSegmentLib.cohort.manifest import read_manifest
from MedSAMSegmentLib.cohort.preparing import find_rows
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.io.segments import SegmentToWrite
from MedSAMSegmentLib.io.write_segmentation import write_segmentation

ROI = {
    "markups": [
        {
            "type": "ROI", "roiType": "Box", "coordinateSystem": "LPS", "center": [20, 20, 4], "size": [20, 20, 8],
            "orientation": [1, 0, 0, 0, 1, 0, 0, 0, 1],
        }
    ]
}  # fmt: skip


def rows_of(folder: Path) -> list[dict[str, str]]:
    assert main(["cohort", "prepare", str(folder), "-q", "--overwrite"]) == 0
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        found = [{name: cell for name, cell in row.items() if cell} for row in csv.DictReader(file)]
    assert len(read_manifest(folder / "manifest.csv")) == len({row["id"] for row in found})
    return found


def test_markups_are_prompts_and_masks_their_references(tmp_path: Path) -> None:
    write_image(tmp_path / "case 1.nrrd", 1)
    write_reference(tmp_path / "case 1.seg.nrrd", tmp_path / "case 1.nrrd", 1, "tumour")
    (tmp_path / "case 1.mrk.json").write_text(json.dumps(ROI), encoding="utf-8")
    assert rows_of(tmp_path) == [
        {
            "id": "case_1", "image": "case 1.nrrd", "roi": "case 1.mrk.json", "name": "tumour",
            "reference": "case 1.seg.nrrd",
        }
    ]  # fmt: skip


def test_each_markup_is_an_object_of_the_image_with_the_longest_name(tmp_path: Path) -> None:
    for name in ("a", "a_1"):
        write_image(tmp_path / f"{name}.nrrd", 1)
    for name in ("a_liver", "a_1_liver", "a_1.lung", "b"):
        (tmp_path / f"{name}.mrk.json").write_text(json.dumps(ROI), encoding="utf-8")
    assert [(row["id"], row["name"]) for row in rows_of(tmp_path)] == [
        ("a", "liver"),
        ("a_1", "lung"),
        ("a_1", "liver"),
    ]


def test_a_mask_on_many_slices_gives_its_box_and_is_the_reference(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nrrd", 0)
    write_reference(tmp_path / "a_mask.nii.gz", tmp_path / "a.nrrd", 0)
    write_image(tmp_path / "b.nrrd", 0)
    z, y, x = np.nonzero(an_ellipsoid(0))
    box = " ".join(map(str, (x.min(), y.min(), z.min(), x.max(), y.max(), z.max())))
    assert rows_of(tmp_path) == [
        {"id": "a", "image": "a.nrrd", "box": box, "name": "blob", "reference": "a_mask.nii.gz"}
    ]


def test_a_segment_on_one_slice_is_the_prompt(tmp_path: Path) -> None:
    write_image(tmp_path / "a.nrrd", 0)
    mask = an_ellipsoid(0)
    mask[[0, 2]] = False
    geometry = read_volume(tmp_path / "a.nrrd").geometry
    write_segmentation(tmp_path / "a.seg.nrrd", [SegmentToWrite("one", mask)], geometry)
    assert rows_of(tmp_path) == [{"id": "a", "image": "a.nrrd", "mask": "a.seg.nrrd:1", "name": "one"}]


def test_the_manifest_may_lie_elsewhere_and_is_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "lists").mkdir()
    write_image(tmp_path / "images" / "a.nrrd", 0)
    write_image(tmp_path / "images" / "b.nrrd", 0)
    write_reference(tmp_path / "images" / "a_seg.nrrd", tmp_path / "images" / "a.nrrd", 0)
    words = ["cohort", "prepare", str(tmp_path / "images"), "-o", str(tmp_path / "lists" / "m.csv")]
    assert main(words) == 0
    assert "left out, without a prompt beside it: b.nrrd" in capsys.readouterr().out
    assert read_manifest(tmp_path / "lists" / "m.csv")[0].image == "../images/a.nrrd"
    assert main(words) == 3
    assert "is there already" in capsys.readouterr().err


def test_a_challenge_file_without_boxes_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.zeros((3, 16, 16), np.uint8)
    np.savez(tmp_path / "a.npz", imgs=images, boxes=np.array([[2, 2, 0, 9, 9, 2]]))
    np.savez(tmp_path / "b.npz", imgs=images)
    np.savez(tmp_path / "c.npz", imgs=images, boxes=np.zeros((0, 6), int))
    (tmp_path / "d.npz").write_bytes(b"PK")
    assert rows_of(tmp_path) == [{"id": "a", "image": "a.npz"}]
    assert main(["cohort", "prepare", str(tmp_path), "--overwrite"]) == 0
    said = capsys.readouterr().out
    for name in ("b.npz", "c.npz", "d.npz"):
        assert f"left out, without a prompt beside it: {name}" in said
    assert "d.npz is not a sound .npz file" in said
    rows, _ = find_rows(tmp_path, tmp_path, boxes_needed=False)
    assert [row["image"] for row in rows] == ["a.npz", "b.npz", "c.npz", "d.npz"], "training needs the labels alone"


def test_a_folder_without_prompts_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "a.nrrd", 0)
    assert main(["cohort", "prepare", str(tmp_path)]) == 3
    assert "no image with markups or a mask beside it" in capsys.readouterr().err
