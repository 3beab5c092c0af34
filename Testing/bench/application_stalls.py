"""The longest time for which the event loop of the real application stands still, phase by phase, on a large volume.

    SLICER --no-splash --additional-module-paths MedSAMSegment --python-script Testing/bench/application_stalls.py

A 50 ms timer is the measure, on 512 x 512 x 300 voxels and an object as large as an organ; the columns are those of
`stalls.py`. First the way to a preview with the real worker and weights (`MEDSAM_MODEL_DIR`): cold, warm, and on the
large volume that the worker has not seen; half a second lies between its two parts. Then the stand-in service answers,
and several runs are written: into an empty segment, over an earlier result, two objects at once.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import qt
import slicer

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / "MedSAMSegment"), str(Path(__file__).resolve().parent)]
FOUR_UP = 3


def main() -> None:
    from MedSAMSegmentScenarios.phantom import Phantom, show
    from MedSAMSegmentScenarios.user import show_slice, wait_until
    from MedSAMSegmentScenarios.workspace import EFFECT, Workspace
    from stalls import RADIUS, Watch, phantom

    from MedSAMSegmentLib.mrml.segment_writer import SegmentWriter, SliceRange
    from MedSAMSegmentLib.mrml.volume_node import geometry_of

    slicer.app.layoutManager().setLayout(FOUR_UP)
    array, _ = phantom(300)
    node = slicer.util.addVolumeFromArray(array, name="Large")
    node.SetAttribute("DICOM.Modality", "CT")
    node.CreateDefaultDisplayNodes()
    show(node)
    watch = Watch(qt, wait_until)
    phase, idle = watch.phase, watch.idle

    def drag(k: int, reach: float = RADIUS + 4.0) -> None:
        start, end = ([256 - reach, 256 - reach, k], [256 + reach, 256 + reach, k])
        show_slice("Red", start)
        workspace.user.drag("Red", start, end)

    def run() -> None:
        workspace.propagate()
        wait_until(lambda: workspace.runs.batch is None, "end of the run")

    middle = 150
    with phase("Slicer's own: the Segment Editor opened"):
        slicer.util.selectModule("SegmentEditor")
        slicer.modules.SegmentEditorWidget.editor.setActiveEffectByName("Paint")
    with phase("effect chosen, small volume, real worker"):
        workspace = Workspace(Phantom().node())

    def preview(name: str, draw: Callable[[], None]) -> None:
        """Draw, and time what is shown first and the answer after it."""
        with phase(f"{name}: drag to first look"):
            draw()
            wait_until(lambda: bool(workspace.state.painter.masks), "first look")
        with phase(f"{name}: from there to the preview"):
            workspace.wait_for_preview()

    preview("cold", lambda: workspace.user.drag("Red", [16, 16, 16], [32, 32, 16]))
    preview("warm, another box", lambda: workspace.user.drag("Red", [15, 15, 16], [34, 33, 16]))
    show(node)
    workspace = Workspace(node)
    preview("the large volume", lambda: drag(middle))
    preview("another box on it", lambda: drag(middle, RADIUS / 2))
    workspace = Workspace(node, stand_in=True)
    workspace.service.threshold = 100
    with phase("drag to preview"):
        drag(middle)
        workspace.wait_for_preview()
    with phase("preview written (S)"):
        workspace.user.press(workspace.parts.frame.runs.segment_slice)
    with phase("Propagate, to the written result"):
        run()
    with phase("measured"):
        workspace.wait()
    with phase("undo"):
        workspace.editor.undo()
        idle(0.3)
    with phase("redo"):
        workspace.editor.redo()
        idle(0.3)
    edited = workspace.mask()
    edited[middle + 2, 200:220] = False
    writer = SegmentWriter(workspace.editor.effectByName(EFFECT))
    place = SliceRange(0, middle + 2, middle + 2)
    writer.replace_slices(edited, geometry_of(node), workspace.segment_ids[0], place)
    with phase("Propagate again from the edited slice"):
        run()
        workspace.wait()
    with phase("two more objects, drawn"):
        for number in (1, 2):
            drag(middle + 5 * number, RADIUS / number)
            workspace.wait_for_preview()
    with phase("Propagate both"):
        run()
        workspace.wait()
    with phase("scroll ten slices"):
        for k in range(10):
            show_slice("Red", [-256, -256, middle + k])
            idle(0.06)
    assert np.count_nonzero(workspace.mask()) > 0


code = 1
try:
    main()
    code = 0
finally:
    if code:
        traceback.print_exc()
    slicer.util.exit(code)
