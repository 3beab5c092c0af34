"""What `medsam-segment run` makes of its image and prompts before a model is loaded."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from MedSAMSegmentLib.cli import build_parser, main
from MedSAMSegmentLib.commands import opening
from MedSAMSegmentLib.commands.run import asked_outputs, blank_slices
from MedSAMSegmentLib.errors import InputError, PromptError, UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.segments import SegmentToWrite
from MedSAMSegmentLib.io.write_segmentation import write_segmentation
from MedSAMSegmentLib.prompts import Box, Line, Point
from MedSAMSegmentLib.runs.inputs import RunInputs, read_inputs
from MedSAMSegmentLib.runs.outputs import Outputs

BOX = ("--box", 2, 2, 1, 8, 7, 1)


def options(image: Path, *words: object) -> argparse.Namespace:
    return build_parser().parse_args(["run", str(image), "-o", "out.nrrd", *map(str, words)])


def read(image: Path, *words: object) -> RunInputs:
    found = options(image, *words)
    (found.image,) = found.image
    return read_inputs(found)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """5 slices of 20 rows and 30 columns."""
    array = np.random.default_rng(0).integers(0, 200, (5, 20, 30)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "image.nrrd"))
    return tmp_path / "image.nrrd"


def test_a_challenge_file_may_be_named_in_capitals(tmp_path: Path) -> None:
    boxes = np.array([[1, 2, 0, 8, 9, 1], [3, 3, 0, 99, 8, 7]])
    with (tmp_path / "CASE.NPZ").open("wb") as file:
        np.savez_compressed(file, imgs=np.ones((3, 12, 14), np.uint8), boxes=boxes)
    inputs = read(tmp_path / "CASE.NPZ")
    assert inputs.objects[0] == [Box(i=(1, 8), j=(2, 9), k=(0, 1))]
    assert inputs.notes == (
        "The box of Segment_2 reaches beyond the image and was cut to i 3 to 13, j 3 to 8, k 0 to 2.",
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((*BOX, "--range", 4, 1), "The range runs from 4 to 1"),
        (("--box", 2, 2, 0, 8, 7, 2, "--range", 4, 1), "The range runs from 4 to 1"),
        (("--box", 2, 2, 0, 8, 7, 2, "--range", 7, 9), "The range 7 to 9 lies outside 0 to 4"),
        (("--box", 2, 2, 0, 2, 7, 2), "no area on its slices: i is 2 only"),
        (("--box", 2, 7, 0, 8, 7, 2), "no area on its slices: j is 7 only"),
        (("--box", 2, 7, 0, 8, 9, 0, "--axis", "j"), "no area on its slices: k is 0 only"),
        (("--box", -9, 2, 0, 0, 7, 2), "no area on its slices: i is 0 only"),
    ],
)
def test_a_mistake_is_named_by_its_cause(image: Path, words: tuple[object, ...], sentence: str) -> None:
    with pytest.raises(PromptError, match=sentence):
        read(image, *words)


def test_a_box_may_be_one_slice_thick(image: Path) -> None:
    assert read(image, "--box", 2, 2, 1, 8, 7, 1).objects == [[Box(i=(2, 8), j=(2, 7), k=(1, 1))]]
    assert read(image, "--box", 2, 2, 0, 2, 7, 2, "--axis", "i").objects == [[Box(i=(2, 2), j=(2, 7), k=(0, 2))]]


def test_a_line_may_become_points(image: Path) -> None:
    line = ("--line", 4, 10, 2, 12, 10, 2)
    (three,) = read(image, *line, "--line-as", "three").objects
    assert three == [Point(8, 10, 2), Point(4, 10, 2), Point(12, 10, 2)]
    (centre,) = read(image, *line, "--line-as", "centre", "--negative-point", 1, 1, 2).objects
    assert centre == [Point(8, 10, 2), Point(1, 1, 2, positive=False)]
    (grid,) = read(image, *line, "--line-as", "grid").objects
    assert [(p.i, p.j, p.k) for p in grid] == [(i, j, 2) for j in (6, 10, 14) for i in (4, 8, 12)]
    (across,) = read(image, "--line", 7, 10, 0, 7, 10, 4, "--axis", "i", "--line-as", "three").objects
    assert across == [Point(7, 10, 2), Point(7, 10, 0), Point(7, 10, 4)]


def test_a_painted_line_gives_its_ends(image: Path, tmp_path: Path) -> None:
    """In reference mode the first and the last pixel as they are stored: of a flat line these are not its ends."""
    painted = np.zeros((5, 20, 30), bool)
    painted[3, 5, 15:27] = painted[3, 6, 8:15] = painted[3, 7, 2:8] = True
    geometry = VolumeGeometry.from_spacing((5, 20, 30))
    write_segmentation(tmp_path / "line.nrrd", [SegmentToWrite("line", painted)], geometry)
    drawn = ("--line-mask", tmp_path / "line.nrrd", 3)
    ends = {mode: read(image, *drawn, "--mode", mode).objects[0][0] for mode in ("default", "reference")}
    assert (ends["default"].start, ends["default"].end) == ((26, 5, 3), (2, 7, 3))
    assert (ends["reference"].start, ends["reference"].end) == ((15, 5, 3), (7, 7, 3))


@pytest.mark.filterwarnings("error")
def test_an_roi_of_absurd_numbers_gives_its_sentence_alone(image: Path, tmp_path: Path) -> None:
    roi = tmp_path / "R.mrk.json"
    turned = "[0.6, 0.8, 0, -0.8, 0.6, 0, 0, 0, 1]"
    for number, more in (("1.7e308", ""), ("1.7e308", f', "orientation": {turned}'), ("1e308", "")):
        triple = f"[{number}, {number}, {number}]"
        roi.write_text(f'{{"markups": [{{"type": "ROI", "center": {triple}, "size": {triple}{more}}}]}}')
        with pytest.raises(PromptError) as refusal:
            read(image, "--roi", roi)
        assert len(str(refusal.value)) < 150


def test_slices_in_colour_may_be_frames(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (4, 20, 30, 3)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "rgb.nrrd"))
    inputs = read(tmp_path / "rgb.nrrd", "--axis", "time", "--frame", 2, *BOX)
    assert inputs.volumes[0].time_axis
    assert inputs.objects == [[Box(i=(2, 8), j=(2, 7), k=(2, 2))]]


@pytest.mark.parametrize(
    ("words", "order"),
    [
        ((), [2, 9, 10]),
        (("--mode", "reference"), [10, 2, 9]),
        (("--mode", "reference", "--model", "medsam2"), [10, 2, 9]),
        (("--mode", "reference", "--model", "efficient_medsam2_tiny"), [2, 9, 10]),
    ],
)
def test_in_reference_mode_frames_come_in_the_official_order(
    tmp_path: Path, words: tuple[str, ...], order: list[int]
) -> None:
    for number in (2, 9, 10):
        Image.fromarray(np.full((20, 30), number, np.uint8)).save(tmp_path / f"frame{number}.png")
    inputs = read(tmp_path, "--axis", "time", "--frame", 0, *BOX, *words)
    assert inputs.volumes[0].array_zyx[:, 0, 0].tolist() == order


def test_every_frame_is_a_volume_with_the_same_prompts_and_outputs_of_its_own(image: Path, tmp_path: Path) -> None:
    first = sitk.ReadImage(str(image))
    sitk.WriteImage(sitk.JoinSeries([first + n for n in range(11)]), str(tmp_path / "4d.nii.gz"))
    inputs = read(tmp_path / "4d.nii.gz", "--frame", "all", *BOX)
    assert inputs.every_frame
    assert [int(volume.array_zyx[0, 0, 0]) for volume in inputs.volumes] == [int(first[0, 0, 0]) + n for n in range(11)]
    assert not any(volume.is_time_series for volume in inputs.volumes)
    outputs = asked_outputs(
        options(tmp_path / "4d.nii.gz", "-o", tmp_path / "a.b.SEG.nrrd", "--report", tmp_path / "r.json", *BOX)
    )
    third = outputs.of_frame(2, 11)
    assert third.segmentation == str(tmp_path / "a.b_02.SEG.nrrd")
    assert (third.overlay, third.report) == (None, str(tmp_path / "r_02.json"))
    for words in (("--frame", "all"), ("--frame", "all", "--axis", "time")):
        with pytest.raises(UsageError):
            read(image, *words, *BOX)


def test_a_4d_file_says_that_its_first_frame_alone_is_segmented(image: Path, tmp_path: Path) -> None:
    first = sitk.ReadImage(str(image))
    sitk.WriteImage(sitk.JoinSeries([first, first + 9]), str(tmp_path / "4d.nii.gz"))
    inputs = read(tmp_path / "4d.nii.gz", *BOX)
    assert "4D image: 2 frames in time." in inputs.notes
    assert "Frame 0 alone is segmented; --frame N takes another one, --frame all each by itself." in inputs.notes
    assert not any("alone" in note for note in read(tmp_path / "4d.nii.gz", "--frame", 1, *BOX).notes)


def test_the_slices_of_a_plain_file_may_be_frames_in_time(image: Path, tmp_path: Path) -> None:
    inputs = read(image, "--axis", "time", "--frame", 2, *BOX)
    assert inputs.volumes[0].time_axis
    assert inputs.objects == [[Box(i=(2, 8), j=(2, 7), k=(2, 2))]]
    assert any("taken for frames in time" in note for note in inputs.notes)
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(InputError, match="single image"):
        read(tmp_path / "one.png", "--axis", "time", *BOX)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 200, (20, 30)).astype(np.uint8)).save(tmp_path / "p.png")
    return tmp_path / "p.png"


def test_two_coordinates_are_a_place_on_the_only_slice(picture: Path, image: Path) -> None:
    inputs = read(picture, "--box", 2, 3, 8, 7, "--point", 4, 5, "--line", 2, 2, 9, 9)
    assert inputs.objects == [
        [Box(i=(2, 8), j=(3, 7), k=(0, 0)), Point(4, 5, 0)],
        [Line((2, 2, 0), (9, 9, 0))],
    ]
    assert read(picture, "--box", 2, 3, 0, 8, 7, 0).objects == [[Box(i=(2, 8), j=(3, 7), k=(0, 0))]]
    for words in (("--box", 2, 3, 8, 7), ("--point", 4, 5), ("--line", 2, 2, 9, 9)):
        with pytest.raises(UsageError, match="5 slices"):
            read(image, *words)
    on_frame = read(image, "--axis", "time", "--frame", 3, "--box", 2, 3, 8, 7).objects
    assert on_frame == [[Box(i=(2, 8), j=(3, 7), k=(3, 3))]]


def test_a_name_may_follow_the_numbers_of_a_box() -> None:
    found = build_parser().parse_args(
        ["run", "--box", "1", "-2", "3e0", "4", "a.png", "b.png", "--point", "5", "6", "7", "-o", "o.png"]
    )
    assert found.image == ["a.png", "b.png"]
    assert found.prompts == [("box", [1, -2, 3, 4]), ("point", [5, 6, 7])]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--box", "1", "2", "3"), "--box: 3 numbers were given, it takes 4 or 6"),
        (("--box", "1", "2", "3", "4", "5"), "--box: 5 numbers were given, it takes 4 or 6"),
        (("--point", "1"), "--point: 1 numbers were given, it takes 2 or 3"),
        (("--box-mm", "1", "2", "3", "4"), "--box-mm: 4 numbers were given, it takes 6"),
        (("--axis", "q"), "--axis"),
        (("--bx", "1"), "Did you mean --box?"),
        (("-o", ""), "the path is empty"),
        (("--overlay", " "), "--overlay: the path is empty"),
        (("--mask", "", "3"), "--mask: the path is empty"),
        (("--weights", ""), "--weights: the path is empty"),
    ],
)
def test_a_usage_error_is_one_line_with_the_option(
    image: Path, words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(image), *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.startswith("medsam-segment: ")
    assert len(said.strip().splitlines()) == 1


def test_a_reversed_box_is_put_in_order_and_said(image: Path, picture: Path) -> None:
    inputs = read(image, "--box", 8, 2, 3, 2, 7, 1)
    assert inputs.objects == [[Box(i=(2, 8), j=(2, 7), k=(1, 3))]]
    assert "The corners of the box 8 2 3 2 7 1 were put in order." in inputs.notes
    assert read(picture, "--box", 8, 7, 2, 3).objects == [[Box(i=(2, 8), j=(3, 7), k=(0, 0))]]


def test_points_belong_to_the_object_that_the_help_says(image: Path) -> None:
    point, other = ("--point", 4, 4, 1), ("--negative-point", 20, 15, 1)
    box, second = ("--box", 2, 2, 1, 8, 7, 1), ("--box", 10, 2, 1, 18, 7, 1)
    first, last = Box(i=(2, 8), j=(2, 7), k=(1, 1)), Box(i=(10, 18), j=(2, 7), k=(1, 1))
    here, there = Point(4, 4, 1), Point(20, 15, 1, positive=False)
    assert read(image, *point, *box, *second, *other).objects == [[here, first], [last, there]]
    assert read(image, *point, *other, *box).objects == [[here, there, first]]
    assert read(image, *box, *point, *second).objects == [[first, here], [last]]
    assert read(image, *point, *other).objects == [[here, there]]


@pytest.mark.parametrize("space", ["LPS", "RAS"])
def test_a_box_in_millimetres_goes_through_the_grids_orientation(tmp_path: Path, space: str) -> None:
    volume = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 200, (6, 20, 30)).astype(np.uint8))
    volume.SetDirection([0, 1, 0, -1, 0, 0, 0, 0, -1])
    volume.SetSpacing((0.5, 0.8, 3.0))
    volume.SetOrigin((100, -50, 20))
    sitk.WriteImage(volume, str(tmp_path / "v.nrrd"))
    corners = [np.array(volume.TransformIndexToPhysicalPoint(index)) for index in ((3, 4, 1), (20, 15, 4))]
    if space == "RAS":
        corners = [corner * (-1, -1, 1) for corner in corners]
    words = ("--box-mm", *corners[0], *corners[1])
    assert read(tmp_path / "v.nrrd", *words, "--space", space).objects == [[Box(i=(3, 20), j=(4, 15), k=(1, 4))]]
    with pytest.raises(UsageError, match="--space"):
        read(tmp_path / "v.nrrd", *words)
    with pytest.raises(PromptError, match="not finite"):
        read(tmp_path / "v.nrrd", "--box-mm", "nan", 1, 1, 2, 2, 2, "--space", space)


def test_the_outputs_of_several_images_carry_their_names(tmp_path: Path) -> None:
    plain = Outputs(str(tmp_path / "m.nii.gz"), str(tmp_path / "o.png"), None)
    assert plain.of_image("scans/ct.one.nii.gz").segmentation == str(tmp_path / "m_ct.one.nii.gz")
    assert plain.of_image("scans/patient/").overlay == str(tmp_path / "o_patient.png")
    named = Outputs(str(tmp_path / "{name}_mask.seg.nrrd"), None, None)
    assert named.of_image("a.PNG").segmentation == str(tmp_path / "a_mask.seg.nrrd")


def test_a_name_of_no_known_alphabet_can_be_written(image: Path) -> None:
    assert read(image, *BOX, "--name", os.fsdecode(b"l\xe4sion")).names == ["l?sion"]


def test_slices_of_one_grey_level_are_found_along_any_axis() -> None:
    volume = np.zeros((4, 5, 6), np.uint8)
    volume[1, 2, 3] = 9
    assert blank_slices(volume, 0) == {0, 2, 3}
    assert blank_slices(volume, 2) == {0, 1, 2, 4, 5}
    assert blank_slices(np.broadcast_to(np.array([1, 2, 3], np.uint8), (2, 5, 6, 3)), 0) == {0, 1}


@pytest.mark.parametrize("variable", ["", "openvino"])
def test_a_conversion_is_announced_only_where_it_will_happen(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from MedSAMSegmentLib.inference.engines import openvino_model
    from MedSAMSegmentLib.inference.engines.base import weights_key

    monkeypatch.setenv("MEDSAM_ENGINE", variable)
    monkeypatch.setenv("MEDSAM_MODEL_DIR", str(tmp_path))
    monkeypatch.setenv("MEDSAM_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(openvino_model, "openvino_trouble", lambda: "")
    monkeypatch.setattr(openvino_model, "openvino_version", lambda: "2025.3.0")
    weights = tmp_path / "w.pth"
    assert not opening.converts_first("auto", "cpu", weights)
    weights.write_bytes(b"abc")
    assert opening.converts_first("auto", "cpu", weights)
    assert not opening.converts_first("torch", "cpu", weights)
    (tmp_path / "engines").mkdir()
    key = weights_key("ba7816bf8f01" + "0" * 52)
    (tmp_path / "engines" / f"lite_medsam.{key}.openvino-2025.2.0.xml").touch()
    assert opening.converts_first("auto", "cpu", weights)
    monkeypatch.setattr(openvino_model, "openvino_trouble", lambda: "the package openvino is not installed")
    assert not opening.converts_first("auto", "cpu", weights)
    monkeypatch.setattr(openvino_model, "openvino_trouble", lambda: "")
    monkeypatch.setenv("MEDSAM_ENGINE", "torch")
    assert not opening.converts_first("auto", "cpu", weights)
    monkeypatch.setenv("MEDSAM_ENGINE", "")
    (tmp_path / "engines" / f"lite_medsam.{key}.openvino-2025.3.0.xml").touch()
    assert not opening.converts_first("auto", "cpu", weights)
