"""Make the pictures of Resources/docs/viewer.md: the viewer in a real browser, on the sample chest CT, with LiteMedSAM.

python Resources/Screenshots/make_viewer_screenshots.py [FOLDER]

It needs Chromium, and the weights in the model folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
TESTING = HERE.parents[1] / "Testing"
sys.path[:0] = [str(HERE.parents[1]), str(TESTING), str(TESTING / "viewer")]

import slicerio  # noqa: E402
from browser import Browser, Page, executable  # noqa: E402
from PIL import Image  # noqa: E402
from service_support import served_process  # noqa: E402
from viewer_support import Viewer  # noqa: E402

from MedSAMSegmentLib.service.client import ServiceClient  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Sequence

CHEST = Path(slicerio.__file__).parent / "data" / "CTChest4.nrrd"
LONG = 1800.0


def main(folder: Path) -> None:
    program = executable()
    if program is None:
        sys.exit("No chromium is installed.")
    browser = Browser(program)
    try:
        with served_process(str(CHEST), "--no-browser", "--offline", environment={}, command="view") as (_, line):
            address = line.removeprefix("Viewer at ")
            token = address.partition("token=")[2].partition("&")[0]
            with browser.page() as page, ServiceClient(address.partition("/viewer/")[0], token) as client:
                viewer = Viewer(page, address, client)
                viewer.open()
                tell(viewer, folder)
    finally:
        browser.close()


def tell(viewer: Viewer, folder: Path) -> None:
    """Drag a box around each of three organs, and take a picture on the way and at the end."""
    page = viewer.page
    page.evaluate("viewer.useWindow('ct-lung')")
    boxes = (((56, 38, 20), (104, 96, 20)), ((20, 33, 20), (66, 96, 20)), ((51, 30, 20), (71, 49, 20)))
    for number, (lower, upper) in enumerate(boxes):
        start, end = corners(viewer, lower, upper)
        if number == 0:
            hold(page, start, end)
            page.screenshot(folder / "viewer_box.png")
            shrink(folder / "viewer_box.png")
            page.mouse("mouseReleased", end, button="left", count=1)
        else:
            page.drag(start, end)
        page.until(f"viewer.history.now.items[{number}]?.preview", LONG)
    for number in range(len(boxes)):
        viewer.until_done(number, LONG)
    for number, name in enumerate(("right lung", "left lung", "spine"), 1):
        page.evaluate(f"viewer.history.note({number}, 0, {{name: {name!r}}})")
    page.evaluate("viewer.select(1)")
    page.until("!document.querySelector('#solid').hidden")
    page.evaluate("new Promise(done => setTimeout(done, 500))")
    page.evaluate("viewer.surfaces.turnTo(165, 12)")
    save(page, folder / "viewer.png")


def corners(viewer: Viewer, lower: Sequence[int], upper: Sequence[int]) -> tuple[list[float], list[float]]:
    """The pixels of the page at opposite corners of a box of voxels in the axial view."""
    middle = [(a + b) // 2 for a, b in zip(lower, upper, strict=True)]
    viewer.page.evaluate(f"viewer.views.moveTo({middle}), viewer.views.flush(), viewer._moved()")
    place = viewer.page.evaluate(f"viewer.views.rectOf('axial', {list(lower)}, {list(upper)})")
    left, top = viewer.pane("axial")[:2]
    start = [left + place["left"] + 1, top + place["top"] + 1]
    return start, [start[0] + place["width"] - 2, start[1] + place["height"] - 2]


def hold(page: Page, start: Sequence[float], end: Sequence[float]) -> None:
    page.mouse("mouseMoved", start)
    page.mouse("mousePressed", start, button="left", count=1)
    page.mouse("mouseMoved", end, button="left")


def save(page: Page, path: Path) -> None:
    page.screenshot(path)
    shrink(path)


def shrink(path: Path) -> None:
    """Pack it well. Fewer colours would change those of the segments."""
    Image.open(path).convert("RGB").save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
