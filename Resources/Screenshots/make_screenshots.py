"""Draws the pictures of the documentation. They are not screenshots of the Slicer application.

    python Resources/Screenshots/make_screenshots.py [effect] [panel] [demo FOLDER]

`effect` and `panel` run the module in the stand-in of the application that the tests use (`Testing/app`): slice views
by Slicer's real displayable managers, widgets by Qt, and the segment by the real weights in a real worker process, from
one box that is dragged in the red view. `demo` takes the picture that `medsam-segment demo --output FOLDER` wrote.
Without words all are made, the demo's from `demo/`. Needs the development packages and the weights of LiteMedSAM.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path[:0] = [str(REPO), str(REPO / "MedSAMSegment"), str(REPO / "Testing" / "app")]

VIEW = 480
FRAME_WIDTH = 470
GAP = 12
DARK, LIGHT, FAINT = (24, 28, 34), (235, 238, 242), (150, 158, 168)
SEGMENT_COLOR = (0.95, 0.70, 0.20)
NOTE = (
    "Drawn by the test harness (real MRML, displayable managers and Qt widgets); "
    "not a screenshot of the Slicer application."
)
MAXIMUM_BYTES = 400_000


@contextmanager
def application() -> Iterator[Any]:
    """The stand-in of Slicer with the module loaded and the sample CT at hand."""
    import slicerio
    from slicer_harness.application import Application

    os.environ["MEDSAM_CT_CHEST"] = str(Path(slicerio.__file__).parent / "data" / "CTChest4.nrrd")
    with tempfile.TemporaryDirectory() as folder:
        running = Application(Path(folder))
        try:
            _use_a_font()
            running.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
            running.finish_startup()
            yield running
        finally:
            running.close()
        if running.errors:
            raise SystemExit("\n".join(str(error) for error in running.errors))


def _use_a_font() -> None:
    """Offscreen Qt has no fonts of its own; matplotlib brings DejaVu Sans."""
    import matplotlib as mpl
    import qt

    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    number = qt.QFontDatabase.addApplicationFont(str(path))
    qt.QApplication.setFont(qt.QFont(qt.QFontDatabase.applicationFontFamilies(number)[0], 9))
    qt.QApplication.setStyle("Fusion")


def draw_effect(running: Any) -> None:
    """Two actions: the box with its preview beside the options, then the segment in two views with the results."""
    from MedSAMSegmentScenarios.first_steps import LUNG_BOX
    from MedSAMSegmentScenarios.phantom import chest_ct
    from MedSAMSegmentScenarios.user import show_slice
    from MedSAMSegmentScenarios.workspace import Workspace

    volume = chest_ct()
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(1500, -400)
    workspace = Workspace(volume, segment="Left lung")
    workspace.segmentation.GetSegmentation().GetSegment(workspace.segment_id).SetColor(*SEGMENT_COLOR)
    _enlarge(running)
    show_slice("Red", LUNG_BOX[0])
    workspace.user.drag("Red", *LUNG_BOX)
    workspace.wait_for_preview()
    frame = workspace.editor.effectByName("MedSAM").optionsFrame()
    _picture(
        "1. Drag a box: the preview of this slice appears",
        [_view(running, "Red"), _widget(frame)],
        HERE / "effect_box.png",
    )
    workspace.propagate()
    workspace.wait()
    if "mL" not in workspace.results:
        raise SystemExit(f"The run gave no segment: {workspace.status}")
    views = [_view(running, name) for name in ("Red", "Green")]
    _picture(
        "2. Press Propagate: the segment in 3D, its volume and diameters",
        [*views, _widget(frame)],
        HERE / "MedSAMSegment.png",
    )


def draw_panel(running: Any) -> None:
    import slicer

    slicer.util.selectModule("MedSAMSegment")
    panel = slicer.modules.medsamsegment.widgetRepresentation().self().panel
    # Examples in place of this machine's own folders.
    panel.interpreter.path.text = "/opt/Slicer/bin/PythonSlicer"
    panel.models.folder.text = "~/.cache/MedSAMSegment/models"
    running.wait_until(lambda: not panel.models.jobs.busy)
    _picture("The module's panel", [_widget(panel.models.frame.parent(), width=430)], HERE / "panel.png")


def shrink_demo(folder: Path) -> None:
    """The demo's picture with fewer colours, below the size that a README should load."""
    picture = Image.open(folder / "chest.png").convert("RGB")
    for colours in (256, 128, 64):
        picture.quantize(colours).save(HERE / "demo_chest.png", optimize=True)
        if (HERE / "demo_chest.png").stat().st_size < MAXIMUM_BYTES:
            return
    raise SystemExit("The demo's picture stays too large.")


def _enlarge(running: Any) -> None:
    for name in running.layout_manager.sliceViewNames():
        view = running.view(name)
        view.sliceView().renderWindow().SetSize(VIEW, VIEW)
        view.mrmlSliceNode().SetDimensions(VIEW, VIEW, 1)
        view.sliceLogic().FitSliceToBackground(VIEW, VIEW)


def _view(running: Any, name: str) -> Image.Image:
    from slicer_harness.rendering import render_slice_view

    with tempfile.TemporaryDirectory() as folder:
        return Image.fromarray(render_slice_view(running.view(name), Path(folder) / "view.png"))


def _widget(widget: Any, width: int = FRAME_WIDTH) -> Image.Image:
    from slicer_harness.rendering import grab_widget

    widget.resize(width, max(widget.heightForWidth(width), widget.sizeHint.height()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "widget.png"
        grab_widget(widget, path)
        return Image.open(path).convert("RGB").copy()


def _picture(title: str, parts: Sequence[Image.Image], path: Path) -> None:
    """Parts side by side under a title, above the note that says what the picture is."""
    top, bottom = 40, 28
    width = sum(part.width for part in parts) + GAP * (len(parts) + 1)
    height = max(part.height for part in parts) + top + bottom
    canvas = Image.new("RGB", (width, height), DARK)
    draw = ImageDraw.Draw(canvas)
    draw.text((GAP, 10), title, fill=LIGHT, font=_font(18))
    draw.text((GAP, height - 21), NOTE, fill=FAINT, font=_font(11))
    left = GAP
    for part in parts:
        canvas.paste(part, (left, top))
        left += part.width + GAP
    canvas.save(path, optimize=True)
    print(f"wrote {path.name}: {path.stat().st_size // 1000} kB")


def _font(size: int) -> Any:
    import matplotlib as mpl

    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def main(words: Sequence[str]) -> None:
    wanted = {word for word in words if word in ("effect", "panel", "demo")} or {"effect", "panel", "demo"}
    if "demo" in wanted:
        folders = [Path(word) for word in words if word not in wanted]
        shrink_demo(folders[0] if folders else REPO / "demo")
    if wanted & {"effect", "panel"}:
        with application() as running:
            if "effect" in wanted:
                draw_effect(running)
            if "panel" in wanted:
                draw_panel(running)


if __name__ == "__main__":
    main(sys.argv[1:])
