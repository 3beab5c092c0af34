"""The longest time for which the application's event loop stands still, phase by phase, on a large volume.

python Testing/bench/stalls.py [SLICES] [real]     512 x 512 x SLICES (300) in the harness; "real": worker and weights

A 50 ms timer is the measure, as in the application. "cpu s" is the longest time that the main thread computed between
two ticks: what remains of a stall without other load. "longest call" is where that thread was most often seen then.
"""

from __future__ import annotations

import collections
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path[:0] = [str(HERE.parent / "app"), str(REPO / "MedSAMSegment")]
TICK = 0.05
SIDE = 512
RADIUS = 110


class Watch:
    """A 50 ms timer of Qt, and a thread that looks where the main thread is while the timer is late.

    `wait_until` is the scenarios' function of that name: it turns the event loop until a condition holds.
    """

    def __init__(self, qt: Any, wait_until: Callable[[Callable[[], bool], str], None]) -> None:
        self._wait_until = wait_until
        self._timer = qt.QTimer()
        self._timer.setInterval(int(1000 * TICK))
        self._timer.connect("timeout()", self._tick)
        self._timer.start()
        self._main = threading.get_ident()
        self._seen: collections.Counter[str] = collections.Counter()
        self.reset()
        threading.Thread(target=self._look, daemon=True).start()
        print(f"{'phase':<46}{'s':>7}{'stall s':>9}{'cpu s':>7}  longest call", flush=True)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Print a line about what is done inside."""
        self.idle(0.5)
        self.reset()
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self.idle(0.15)
        print(f"{name:<46}{seconds:>7.2f}{self.gap:>9.2f}{self.computed:>7.2f}  {self.where}", flush=True)

    def idle(self, seconds: float) -> None:
        """Turn the event loop for some time."""
        until = time.perf_counter() + seconds
        self._wait_until(lambda: time.perf_counter() > until, "idle time")

    def reset(self) -> None:
        self._last, self._spent = time.perf_counter(), time.thread_time()
        self.gap = self.computed = 0.0
        self.where = ""
        self._seen.clear()

    def _tick(self) -> None:
        now, spent = time.perf_counter(), time.thread_time()
        self.gap = max(self.gap, now - self._last - TICK)
        if spent - self._spent > self.computed:
            self.computed = spent - self._spent
            self.where = next((place for place, _ in self._seen.most_common(1)), "")
        self._last, self._spent = now, spent
        self._seen.clear()

    def _look(self) -> None:
        while True:
            time.sleep(0.01)
            if time.perf_counter() - self._last > 2 * TICK:
                frame = sys._current_frames().get(self._main)
                stack = [f for f in traceback.extract_stack(frame) if "MedSAMSegmentLib" in f.filename]
                if stack:
                    deepest = " < ".join(f"{Path(f.filename).stem}.{f.name}" for f in stack[:-4:-1])
                    self._seen[deepest] += 1


def phantom(slices: int) -> tuple[NDArray[np.int16], float]:
    """Soft tissue with a bright ellipsoid as large as an organ gets."""
    volume = np.full((slices, SIDE, SIDE), 40, np.int16)
    k, j, i = np.ogrid[:slices, :SIDE, :SIDE]
    reach = 0.42 * slices
    volume[((k - slices / 2) / reach) ** 2 + ((j - 256) / RADIUS) ** 2 + ((i - 256) / RADIUS) ** 2 <= 1] = 200
    volume[:, :40] = -1000
    return volume, reach


def main(slices: int = 300, real: bool = False) -> None:
    from slicer_harness.application import Application

    application = Application(Path(tempfile.mkdtemp()))
    application.load_module(REPO / "MedSAMSegment" / "MedSAMSegment.py")
    application.finish_startup()
    application.open_segment_editor()
    import qt
    import slicer
    from MedSAMSegmentScenarios.phantom import show
    from MedSAMSegmentScenarios.user import show_slice, wait_until
    from MedSAMSegmentScenarios.workspace import EFFECT, Workspace

    from MedSAMSegmentLib.mrml.segment_writer import SegmentWriter, SliceRange
    from MedSAMSegmentLib.mrml.volume_node import geometry_of

    array, _ = phantom(slices)
    node = slicer.util.addVolumeFromArray(array, name="Large")
    node.SetAttribute("DICOM.Modality", "CT")
    node.CreateDefaultDisplayNodes()
    show(node)
    watch = Watch(qt, wait_until)

    phase, idle = watch.phase, watch.idle

    def drag(k: int, reach: float = RADIUS + 4.0) -> None:
        corners = (-(256 - reach), -(256 - reach), k), (-(256 + reach), -(256 + reach), k)
        show_slice("Red", [-c if n < 2 else c for n, c in enumerate(corners[0])])
        start, end = ([-c if n < 2 else c for n, c in enumerate(corner)] for corner in corners)
        workspace.user.drag("Red", start, end)

    middle = slices // 2
    with phase("effect chosen"):
        workspace = Workspace(node, stand_in=not real)
    if not real:
        workspace.service.threshold = 100
    with phase("drag to preview"):
        drag(middle)
        workspace.wait_for_preview()
    with phase("preview written (S)"):
        workspace.user.press(workspace.parts.frame.runs.segment_slice)
    with phase("all of it sent"):
        idle(3.0)
    if real:
        workspace.set(range_rule="slices", first=middle - 3, last=middle + 3)
    with phase("Propagate, to the written result"):
        workspace.propagate()
        wait_until(lambda: workspace.runs.batch is None, "end of the run")
    with phase("measured"):
        workspace.wait()
    with phase("undo"):
        workspace.editor.undo()
    with phase("redo"):
        workspace.editor.redo()
    edited = workspace.mask()
    edited[middle + 2, 200:220] = False
    writer = SegmentWriter(workspace.editor.effectByName(EFFECT))
    with phase("a slice erased"):
        place = SliceRange(0, middle + 2, middle + 2)
        writer.replace_slices(edited, geometry_of(node), workspace.segment_ids[0], place)
    with phase("Propagate again from the edited slice"):
        workspace.propagate()
        wait_until(lambda: workspace.runs.batch is None, "end of the run")
        workspace.wait()
    with phase("second object, drag to preview"):
        drag(middle + 5, RADIUS / 2)
        workspace.wait_for_preview()
    with phase("scroll ten slices"):
        for k in range(10):
            show_slice("Red", [-256, -256, middle + k])
    errors = [str(error) for error in application.errors]
    application.close()
    if errors:
        print(*errors, sep="\n")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:] if word.isdigit()), real="real" in sys.argv)
