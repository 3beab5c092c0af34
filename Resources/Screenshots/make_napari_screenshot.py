"""Make the picture of Resources/docs/napari.md: three organs of the sample chest CT in napari, with LiteMedSAM.

python Resources/Screenshots/make_napari_screenshot.py [FOLDER]

It needs the extra "napari", a screen (or `xvfb-run --server-args="-screen 0 1400x900x24"` before it), and the weights
in the model folder.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

import numpy as np  # noqa: E402
import slicerio  # noqa: E402
from PIL import Image  # noqa: E402
from qtpy.QtWidgets import QApplication  # noqa: E402

from MedSAMSegmentLib.io.read_volume import read_volume  # noqa: E402
from MedSAMSegmentLib.napari.window import open_window  # noqa: E402

CHEST = Path(slicerio.__file__).parent / "data" / "CTChest4.nrrd"
LONG = 900.0
SLICE, REACH = 20, 3
"""The slice that is shown; a few on each side of it are enough for a picture."""

ORGANS = {
    "right lung": ((38, 56), (96, 104)),
    "left lung": ((33, 20), (96, 66)),
    "spine": ((30, 51), (49, 71)),
}
"""Opposite corners, y and x, of a box on the slice."""


def main(folder: Path) -> None:
    viewer, widget = open_window(read_volume(CHEST), "CTChest", "lite_medsam", {})
    viewer.window.resize(1280, 820)
    layer = widget.image_layer
    assert layer is not None
    layer.contrast_limits = (-1350, 150)
    viewer.dims.set_point(0, layer.data_to_world((SLICE, 0, 0))[0])
    shapes = widget.objects.shapes
    assert shapes is not None
    for number, (name, ((top, left), (bottom, right))) in enumerate(ORGANS.items(), 1):
        corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
        shapes.add(np.array([(SLICE, *corner) for corner in corners]), shape_type="rectangle")
        until(lambda number=number: widget.status.text().startswith(f"Preview of Segment_{number} "))
        widget.table.item(number - 1, 0).setText(name)
        widget.first_box.setValue(SLICE - REACH)
        widget.last_box.setValue(SLICE + REACH)
    widget.segment()
    until(lambda: not widget.computation.running)
    shapes.selected_data = set()
    viewer.reset_view()
    settle(1.0)
    picture = Image.fromarray(viewer.screenshot(canvas_only=False, flash=False)).convert("RGB")
    picture.quantize(colors=200, dither=Image.Dither.NONE).save(folder / "napari.png", optimize=True)
    viewer.close()


def until(condition: Callable[[], bool]) -> None:
    """Let the window live until something is true."""
    end = time.monotonic() + LONG
    while not condition():
        settle(0.05)
        if time.monotonic() > end:
            sys.exit("The model did not answer.")


def settle(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
