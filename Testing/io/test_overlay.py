"""The overlay shows the right slices, turned the right way, with the right proportions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MedSAMSegmentLib.errors import OutputError, UsageError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.io.display_orientation import DisplayOrientation, display_orientation
from MedSAMSegmentLib.io.overlay import CAPTION, GAP, PANEL, best_slices, write_overlay
from MedSAMSegmentLib.io.segments import SegmentToWrite

RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def panel(image: np.ndarray, row: int = 0, column: int = 0) -> np.ndarray:
    """The slice's pixels of a square panel, without its caption."""
    top, left = GAP + row * (PANEL + CAPTION + GAP) + CAPTION, GAP + column * (PANEL + GAP)
    return image[top : top + PANEL, left : left + PANEL]


def centre_of(image: np.ndarray, channel: int) -> tuple[float, float]:
    """Row and column, 0..1, of the middle of what is strongly coloured in `channel`."""
    others = [c for c in range(3) if c != channel]
    rows, columns = np.nonzero((image[..., channel] > 180) & (image[..., others] < 80).all(axis=-1))
    return (float(rows.mean()) / image.shape[0], float(columns.mean()) / image.shape[1])


@pytest.fixture
def a_volume() -> np.ndarray:
    return np.full((8, 40, 40), 60, np.uint8)


@pytest.fixture
def two_segments() -> list[SegmentToWrite]:
    one, two = np.zeros((8, 40, 40), bool), np.zeros((8, 40, 40), bool)
    one[2:4, 4:12, 24:36] = True
    two[3:7, 20:36, 4:12] = True
    return [SegmentToWrite("one", one, RED), SegmentToWrite("two", two, GREEN)]


def test_contours_lie_where_the_masks_are(tmp_path: Path, a_volume, two_segments) -> None:
    write_overlay(tmp_path / "o.png", a_volume, two_segments, slices=[3])
    image = panel(picture(tmp_path / "o.png"))
    assert centre_of(image, 0) == pytest.approx((8 / 40, 30 / 40), abs=0.01)
    assert centre_of(image, 1) == pytest.approx((28 / 40, 8 / 40), abs=0.01)
    inside, outside = image[PANEL * 8 // 40, PANEL * 30 // 40], image[PANEL // 2, PANEL // 2]
    assert outside.tolist() == [60, 60, 60]
    assert inside[0] > 80


def test_a_contour_is_a_thin_line_not_a_fill(tmp_path: Path, a_volume, two_segments) -> None:
    write_overlay(tmp_path / "o.png", a_volume, two_segments[:1], slices=[3])
    image = panel(picture(tmp_path / "o.png"))
    strong = ((image[..., 0] > 180) & (image[..., 1] < 80)).sum()
    around = 2 * (8 + 12) * PANEL / 40
    assert around < strong < 4 * around


def test_each_chosen_slice_has_its_panel(tmp_path: Path, a_volume, two_segments) -> None:
    write_overlay(tmp_path / "o.png", a_volume, two_segments, slices=[1, 2, 5, 6], columns=2)
    image = picture(tmp_path / "o.png")
    assert image.shape[1] == 2 * PANEL + 3 * GAP
    reds = [
        bool(((panel(image, r, c)[..., 0] > 180) & (panel(image, r, c)[..., 1] < 80)).any())
        for r in (0, 1)
        for c in (0, 1)
    ]
    assert reds == [False, True, False, False]


def test_thick_slices_keep_their_proportions(tmp_path: Path, two_segments) -> None:
    volume = np.full((8, 40, 40), 200, np.uint8)
    write_overlay(tmp_path / "o.png", volume, two_segments, axis="j", slices=[30], spacing_zyx=(2.0, 1.0, 1.0))
    image = picture(tmp_path / "o.png")[GAP + CAPTION :, GAP : GAP + PANEL]
    bright = np.flatnonzero(image[:, 5].mean(axis=-1) > 150)
    assert bright[-1] - bright[0] + 1 == pytest.approx(PANEL * 16 / 40, abs=1)


def test_an_image_from_feet_to_head_hangs_upright(tmp_path: Path, a_volume, two_segments) -> None:
    """Rows run towards the back and columns to the left in LPS; here both run the other way."""
    flipped = VolumeGeometry((8, 40, 40), np.diag([-1.0, -1.0, 1.0, 1.0]))
    write_overlay(tmp_path / "o.png", a_volume, two_segments, slices=[3], geometry=flipped)
    assert centre_of(panel(picture(tmp_path / "o.png")), 0) == pytest.approx((32 / 40, 10 / 40), abs=0.01)


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (0, DisplayOrientation(False, False, False, "R", "A")),
        (1, DisplayOrientation(False, True, False, "R", "S")),
        (2, DisplayOrientation(False, True, False, "A", "S")),
    ],
)
def test_slices_of_an_lps_volume_hang_as_radiologists_expect(axis: int, expected: DisplayOrientation) -> None:
    assert display_orientation(VolumeGeometry.from_spacing((4, 5, 6)), axis) == expected


def test_a_sagittal_acquisition_is_transposed_when_its_columns_run_to_the_head() -> None:
    matrix = np.zeros((4, 4))
    matrix[2, 0], matrix[1, 1], matrix[0, 2], matrix[3, 3] = 1, 1, 1, 1
    orientation = display_orientation(VolumeGeometry((4, 5, 6), matrix), 0)
    assert orientation == DisplayOrientation(True, True, False, "A", "S")
    assert orientation.apply(np.arange(6).reshape(2, 3)).tolist() == [[2, 5], [1, 4], [0, 3]]


def test_colour_volumes_keep_their_colours(tmp_path: Path, two_segments) -> None:
    volume = np.zeros((8, 40, 40, 3), np.uint8)
    volume[..., 2] = 150
    write_overlay(tmp_path / "o.png", volume, two_segments, slices=[0])
    assert panel(picture(tmp_path / "o.png"))[PANEL // 2, PANEL // 2].tolist() == [0, 0, 150]


def test_the_best_slices_hold_each_segment_at_its_largest() -> None:
    one, two = np.zeros((30, 8, 8), bool), np.zeros((30, 8, 8), bool)
    one[5, :4] = one[6:9, :2] = True
    two[20:28, :3] = True
    two[27] = True
    chosen = best_slices([one, two], 0, 4)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 4
    assert {5, 27} <= set(chosen)
    assert all((one | two)[index].any() for index in chosen)
    assert best_slices([np.zeros((30, 8, 8), bool)], 0) == [15]


def test_many_segments_and_long_names_fit_the_picture(tmp_path: Path, a_volume) -> None:
    mask = np.zeros((8, 40, 40), bool)
    mask[3, 5:9, 5:9] = True
    segments = [SegmentToWrite(f"segment with a rather long name {n} " * (1 + 5 * (n == 3)), mask) for n in range(14)]
    write_overlay(tmp_path / "o.png", a_volume, segments, slices=[3])
    image = picture(tmp_path / "o.png")
    assert image.shape[1] == PANEL + 2 * GAP
    assert (image[:, -3:] == image[0, 0]).all()


def test_an_overlay_without_segments_shows_the_middle(tmp_path: Path, a_volume) -> None:
    a_volume[4] = 111
    write_overlay(tmp_path / "o.png", a_volume, [])
    assert panel(picture(tmp_path / "o.png"))[PANEL // 2, PANEL // 2].tolist() == [111] * 3


def test_what_cannot_be_drawn_is_refused(tmp_path: Path, a_volume, two_segments) -> None:
    with pytest.raises(UsageError, match="no slice 8"):
        write_overlay(tmp_path / "o.png", a_volume, two_segments, slices=[8])
    with pytest.raises(UsageError, match="No slice"):
        write_overlay(tmp_path / "o.png", a_volume, two_segments, slices=[])
    with pytest.raises(UsageError, match="8 bits"):
        write_overlay(tmp_path / "o.png", a_volume.astype(np.int16), two_segments)
    with pytest.raises(OutputError, match="image's grid"):
        write_overlay(tmp_path / "o.png", a_volume[:4], two_segments)
    assert list(tmp_path.iterdir()) == []
