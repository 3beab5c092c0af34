"""What is seen in a view is what is segmented, whichever way the image's axes lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from viewer_support import BLOCK, GRIDS, SHAPE, StartViewer, Viewer, write_block

from MedSAMSegmentLib.io.read_volume import read_volume

VIEWS = {"axial": 2, "coronal": 1, "sagittal": 0}
"""The patient's axis (left, posterior, superior) that runs through the slices of each view."""

MIDDLE = tuple((part.start + part.stop - 1) // 2 for part in reversed(BLOCK))
"""The voxel i, j, k in the middle of the block."""


@pytest.mark.parametrize("name", GRIDS)
def test_a_box_around_what_is_seen_finds_it_and_shows_it_there(
    name: str, start_viewer: StartViewer, tmp_path: Path
) -> None:
    path = write_block(tmp_path / "block.nrrd", GRIDS[name])
    viewer = start_viewer(path)
    geometry = read_volume(path).geometry
    directions = geometry.ijk_to_lps[:3, :3]
    x, y, z = directions @ (np.array(MIDDLE) - (np.array(SHAPE[::-1]) - 1) / 2)
    # The patient's left is on the right; the front is on the right where it is not up, and the head is up.
    sides = {"axial": (x, y), "coronal": (x, -z), "sagittal": (-y, -z)}
    # The block's width, depth and height in mm, where no view cuts it askew.
    wide, deep, high = np.abs(directions) @ [part.stop - part.start for part in reversed(BLOCK)]
    sizes = {"axial": wide / deep, "coronal": wide / high, "sagittal": deep / high}
    for number, (view, through) in enumerate(VIEWS.items()):
        viewer.look(MIDDLE)
        pane, seen = viewer.pane(view), viewer.bright(view)
        assert viewer.page.text(f"#pane-{view} .letter.right") == {"sagittal": "A"}.get(view, "L")
        off = (seen[0] + seen[2] - pane[0] - pane[2]) / 2, (seen[1] + seen[3] - pane[1] - pane[3]) / 2
        assert np.array_equal(np.sign(off), np.sign(sides[view])), view
        if name != "oblique":
            assert (seen[2] - seen[0]) / (seen[3] - seen[1]) == pytest.approx(sizes[view], rel=0.06), view
        left, top, right, bottom = seen
        viewer.drag((left - 3, top - 3, right + 3, bottom + 3))
        viewer.until_done(number)

        # The array axis that lies most along the patient's axis of this view.
        across = 2 - int(np.abs(directions[through]).argmax())
        expected = np.zeros(SHAPE, dtype=bool)
        expected[BLOCK] = True
        on_slice = np.zeros(SHAPE, dtype=bool)
        np.moveaxis(on_slice, across, 0)[MIDDLE[2 - across]] = True
        expected &= on_slice
        assert np.array_equal(viewer.labels(number) > 0, expected), view
        assert np.array_equal(viewer.mask(number), expected), view
        assert viewer.item("axis", number) == "kji"[across]

        painted = coloured_alone(viewer, view, number)
        assert np.allclose(painted, seen, atol=4), view


def coloured_alone(viewer: Viewer, view: str, number: int) -> tuple[float, float, float, float]:
    """The bounds of an object's paint; all have the first one's colour for it, and the others are hidden."""
    viewer.page.evaluate(
        "viewer.history.now.items.forEach((item, n) => viewer.history.note(item.id, 0,"
        f" {{visible: n === {number}, color: [255, 176, 0]}})), viewer.views.flush()"
    )
    return viewer.coloured(view)


def test_zoomed_and_moved_the_box_is_still_where_it_is_seen(start_viewer: StartViewer, tmp_path: Path) -> None:
    viewer = start_viewer(write_block(tmp_path / "block.nrrd", GRIDS["oblique"]))
    viewer.look(MIDDLE)
    before = viewer.bright("axial")
    place = ((before[0] + before[2]) / 2, (before[1] + before[3]) / 2)
    for _ in range(3):
        viewer.page.wheel(place, -1, modifiers=2)
    viewer.page.drag(place, (place[0] + 20, place[1] - 15), button="middle")
    seen = viewer.bright("axial")
    assert seen[2] - seen[0] == pytest.approx(1.15**3 * (before[2] - before[0]), rel=0.08)
    assert (seen[0] + seen[2]) / 2 - place[0] == pytest.approx(20, abs=3)
    assert (seen[1] + seen[3]) / 2 - place[1] == pytest.approx(-15, abs=3)
    viewer.drag((seen[0] - 3, seen[1] - 3, seen[2] + 3, seen[3] + 3))
    viewer.until_done()
    assert int(viewer.mask().sum()) == (BLOCK[1].stop - BLOCK[1].start) * (BLOCK[2].stop - BLOCK[2].start)
    assert np.allclose(viewer.coloured("axial"), seen, atol=4)


@pytest.mark.parametrize("scale", [1, 30], ids=["small", "wider than a graphics card takes"])
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_a_picture_has_one_view_and_is_not_mirrored(
    scale: int, colour: bool, start_viewer: StartViewer, tmp_path: Path
) -> None:
    picture = np.zeros((45 * scale, 80 * scale), dtype=np.uint8)
    bright = slice(10 * scale, 20 * scale), slice(50 * scale, 70 * scale)
    picture[bright] = 230
    Image.fromarray(np.stack([picture] * 3, axis=2) if colour else picture).save(tmp_path / "picture.png")
    viewer = start_viewer(tmp_path / "picture.png")
    assert viewer.page.evaluate("[...document.querySelectorAll('.pane')].filter(p => !p.hidden).length") == 1
    assert viewer.page.text("#pane-axial .letter.left") == ""
    left, top, right, bottom = viewer.pane("axial")
    # The whole width is used.
    pixel = (right - left) / picture.shape[1]
    upper = (top + bottom - pixel * picture.shape[0]) / 2
    columns, rows = bright[1], bright[0]
    expected = (left + pixel * columns.start, upper + pixel * rows.start)
    expected += (left + pixel * columns.stop, upper + pixel * rows.stop)
    seen = viewer.bright("axial")
    assert np.allclose(seen, expected, atol=8)
    if not colour:
        viewer.drag((seen[0] - 8, seen[1] - 8, seen[2] + 8, seen[3] + 8))
        viewer.until_done()
        assert np.array_equal(viewer.labels()[0] > 0, picture > 0)
        assert np.allclose(viewer.coloured("axial"), seen, atol=4)
    assert viewer.page.complaints == []
