"""Markups files, hand-made and written by Slicer's own storage nodes, become prompts on the volume's grid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedSAMSegmentLib.errors import InputError, PromptError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.markups import read_markups
from MedSAMSegmentLib.prompts import Box, Line, Point

GRID = VolumeGeometry.from_spacing((10, 20, 30), (3.0, 2.0, 1.0))


def an_roi(**fields: Any) -> dict[str, Any]:
    return {"type": "ROI", "coordinateSystem": "LPS", "center": [12, 16, 9], "size": [5, 8, 9], **fields}


def points(*positions: tuple[float, float, float], **fields: Any) -> dict[str, Any]:
    return {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "controlPoints": [{"position": list(p)} for p in positions],
        **fields,
    }


@pytest.fixture
def read(tmp_path: Path):
    def read_text(content: object, geometry: VolumeGeometry = GRID) -> list:
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "m.mrk.json").write_text(text)
        return read_markups(tmp_path / "m.mrk.json", geometry)

    return read_text


def test_an_roi_is_the_box_of_the_voxels_inside(read) -> None:
    # x: 9.5..14.5 mm of 1 mm, y: 12..20 of 2 mm (both edges on a centre), z: 4.5..13.5 of 3 mm
    assert read({"markups": [an_roi()]}) == [Box(i=(10, 14), j=(6, 10), k=(2, 4))]


def test_the_file_says_whether_it_is_lps_or_ras(read) -> None:
    ras = an_roi(coordinateSystem="RAS", center=[-12, -16, 9])
    assert read({"markups": [ras]}) == read({"markups": [an_roi()]})


def test_the_orientation_turns_the_corners(read) -> None:
    quarter = an_roi(orientation=[0, -1, 0, 1, 0, 0, 0, 0, 1])
    assert read({"markups": [quarter]}) == [Box(i=(8, 16), j=(7, 9), k=(2, 4))]


def test_an_roi_on_a_flipped_volume_is_sorted(read) -> None:
    matrix = np.diag([-1.0, -2.0, 3.0, 1.0])
    matrix[:3, 3] = (29, 38, 0)
    box = read({"markups": [an_roi()]}, VolumeGeometry((10, 20, 30), matrix))[0]
    assert box == Box(i=(15, 19), j=(9, 13), k=(2, 4))


def test_an_roi_is_clipped_to_the_volume_and_refused_outside(read) -> None:
    assert read({"markups": [an_roi(size=[500, 500, 9])]}) == [Box(i=(0, 29), j=(0, 19), k=(2, 4))]
    with pytest.raises(PromptError, match="outside the volume"):
        read({"markups": [an_roi(center=[500, 0, 0])]})


def test_points_are_positive_unless_they_say_otherwise(read) -> None:
    markup = points((1, 2, 3), (2, 4, 6), (3, 6, 9))
    markup["controlPoints"][1]["label"] = "- bone"
    markup["controlPoints"][2]["description"] = "Negative: vessel"
    assert read({"markups": [markup]}) == [
        Point(1, 1, 1),
        Point(2, 2, 2, positive=False),
        Point(3, 3, 3, positive=False),
    ]


def test_the_numbers_of_a_list_without_a_name_are_no_minus_signs(read) -> None:
    markup = points((1, 2, 3))
    markup["controlPoints"][0]["label"] = "-1"
    assert read({"markups": [markup]}) == [Point(1, 1, 1)]


def test_a_list_named_negative_is_negative(read) -> None:
    assert read({"markups": [points((1, 2, 3), name="neg")]}) == [Point(1, 1, 1, positive=False)]


def test_points_not_selected_or_not_placed_take_no_part(read) -> None:
    markup = points((1, 2, 3), (2, 4, 6), (3, 6, 9))
    markup["controlPoints"][0]["selected"] = False
    markup["controlPoints"][1]["positionStatus"] = "preview"
    assert read({"markups": [markup]}) == [Point(3, 3, 3)]
    with pytest.raises(InputError, match="no placed"):
        read({"markups": [points()]})


def test_a_line_needs_both_ends(read) -> None:
    assert read({"markups": [points((1, 2, 3), (8, 10, 3), type="Line")]}) == [Line((1, 1, 1), (8, 5, 1))]
    with pytest.raises(InputError, match="1 placed ends"):
        read({"markups": [points((1, 2, 3), type="Line")]})


def test_all_markups_of_a_file_are_read_in_order(read) -> None:
    found = read({"markups": [an_roi(), points((1, 2, 3))]})
    assert [type(prompt) for prompt in found] == [Box, Point]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[" * 100_000,
        "null",
        "[]",
        {},
        {"markups": {}},
        {"markups": [3]},
        {"markups": []},
        {"markups": [{"type": "Curve", "controlPoints": []}]},
        {"markups": [{"type": "Fiducial"}]},
        {"markups": [{"type": "Fiducial", "controlPoints": [7]}]},
        {"markups": [points((1, 2))]},
        {"markups": [{"type": "Fiducial", "controlPoints": [{"position": [1, 2, "3"]}]}]},
        {"markups": [{"type": "Fiducial", "controlPoints": [{"position": [1, 2, True]}]}]},
        '{"markups": [{"type": "Fiducial", "controlPoints": [{"position": [1, 2, NaN]}]}]}',
        '{"markups": [{"type": "Fiducial", "controlPoints": [{"position": [1, 2, 1e999]}]}]}',
        '{"markups": [{"type": "Fiducial", "controlPoints": [{"position": [1, 2, 1' + "0" * 400 + "]}]}]}",
        {"markups": [an_roi(size=[0, 8, 9])]},
        {"markups": [an_roi(size=[-5, 8, 9])]},
        {"markups": [an_roi(size="big")]},
        {"markups": [an_roi(center=None)]},
        {"markups": [an_roi(orientation=[1, 0, 0, 1, 0, 0, 0, 0, 1])]},
        {"markups": [an_roi(orientation=[1, 0])]},
        {"markups": [an_roi(coordinateSystem="IJK")]},
        {"markups": [an_roi(coordinateUnits="cm")]},
    ],
)
def test_a_hostile_or_broken_file_is_an_input_error(read, content: object) -> None:
    with pytest.raises(InputError):
        read(content)


def test_a_missing_binary_or_oversized_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_markups(tmp_path / "missing.mrk.json", GRID)
    (tmp_path / "b.mrk.json").write_bytes(b"\xff\xfe\x00" * 50)
    with pytest.raises(InputError, match="not valid JSON"):
        read_markups(tmp_path / "b.mrk.json", GRID)
    with (tmp_path / "large.mrk.json").open("wb") as file:
        file.truncate(64 << 20)
    with pytest.raises(InputError, match="too large"):
        read_markups(tmp_path / "large.mrk.json", GRID)


@pytest.mark.parametrize("coordinate_system", ["RAS", "LPS"])
def test_an_roi_that_slicer_wrote_covers_the_voxels_that_slicer_says_are_inside(
    tmp_path: Path, an_oblique_geometry: VolumeGeometry, coordinate_system: str
) -> None:
    slicer = pytest.importorskip("slicer")
    import vtk

    matrix = an_oblique_geometry.ijk_to_ras
    roi = slicer.vtkMRMLMarkupsROINode()
    frame = vtk.vtkMatrix4x4()
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    centre = matrix[:3, :3] @ (3, 2.5, 2) + matrix[:3, 3]
    for row in range(3):
        for column in range(3):
            frame.SetElement(row, column, axes[row, column])
        frame.SetElement(row, 3, centre[row])
    roi.SetSize(3.5, 3.2, 5.0)
    roi.SetAndObserveObjectToNodeMatrix(frame)
    storage = slicer.vtkMRMLMarkupsROIJsonStorageNode()
    storage.SetCoordinateSystem(1 if coordinate_system == "LPS" else 0)
    storage.SetFileName(str(tmp_path / "r.mrk.json"))
    assert storage.WriteData(roi) == 1
    assert json.loads((tmp_path / "r.mrk.json").read_text())["markups"][0]["coordinateSystem"] == coordinate_system

    (box,) = read_markups(tmp_path / "r.mrk.json", an_oblique_geometry)
    inside = [
        ijk
        for ijk in np.ndindex(7, 6, 5)
        if roi.IsPointInROIWorld(list(matrix[:3, :3] @ np.array(ijk) + matrix[:3, 3]))
    ]
    low, high = np.min(inside, axis=0), np.max(inside, axis=0)
    assert box == Box.from_corners(low.tolist(), high.tolist())
    assert len(inside) == np.prod(box.shape_zyx)


def test_points_and_a_line_that_slicer_wrote_come_back(tmp_path: Path, an_oblique_geometry: VolumeGeometry) -> None:
    slicer = pytest.importorskip("slicer")
    matrix = an_oblique_geometry.ijk_to_ras
    places = [matrix[:3, :3] @ np.array(p) + matrix[:3, 3] for p in ((1, 2, 3), (5, 4, 3))]
    for node, expected in (
        (slicer.vtkMRMLMarkupsFiducialNode(), (Point, Point)),
        (slicer.vtkMRMLMarkupsLineNode(), (Line,)),
    ):
        for place in places:
            node.AddControlPoint(*place)
        storage = slicer.vtkMRMLMarkupsJsonStorageNode()
        storage.SetFileName(str(tmp_path / "p.mrk.json"))
        assert storage.WriteData(node) == 1
        found = read_markups(tmp_path / "p.mrk.json", an_oblique_geometry)
        assert tuple(type(prompt) for prompt in found) == expected
        ends = found[0].points if isinstance(found[0], Line) else found
        for end, wanted in zip(ends, ((1, 2, 3), (5, 4, 3)), strict=True):
            assert (end.i, end.j, end.k) == pytest.approx(wanted, abs=1e-6)
            assert end.positive
