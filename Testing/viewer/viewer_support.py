"""What a user does with the viewer, and what is seen: in pixels of the page, without the page's own geometry."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from browser import WAIT, Page
from numpy.typing import NDArray
from PIL import Image

from MedSAMSegmentLib.service.client import RemoteRun, ServiceClient

Rect = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the page."""


class Viewer:
    """A page with the viewer; `client` talks to its server."""

    def __init__(self, page: Page, address: str, client: ServiceClient) -> None:
        self.page = page
        self.address = address
        self.client = client
        self.block: Rect = (0, 0, 0, 0)
        """Where the block was seen in the axial view, before anything was painted."""

    def open(self, *, has_image: bool = True) -> None:
        self.page.go(self.address)
        self.page.until("window.viewer?.facts && window.viewer.settled" if has_image else "window.viewer?.settled")

    def reload(self) -> None:
        self.page.reload()
        self.page.until("window.viewer?.settled")

    def pane(self, view: str) -> Rect:
        box = self.page.evaluate(
            f"(() => {{ const b = document.querySelector('#pane-{view}').getBoundingClientRect();"
            " return [b.left, b.top, b.right, b.bottom] })()"
        )
        left, top, right, bottom = box
        return left, top, right, bottom

    def look(self, ijk: tuple[int, int, int]) -> None:
        """Let the views cross at a voxel, as a click or the keys do."""
        self.page.evaluate(f"viewer.views.moveTo({list(ijk)}), viewer.views.flush(), viewer._moved()")

    def find(self, ijk: tuple[int, int, int]) -> None:
        """Look at a voxel of the block, and note where it is seen."""
        self.look(ijk)
        self.block = self.bright("axial")

    def pixels(self, view: str) -> NDArray[np.uint8]:
        """The pixels of a view (rows, columns, 3), within its border."""
        left, top, right, bottom = (round(value) for value in self.pane(view))
        shown = Image.open(io.BytesIO(self.page.screenshot_bytes())).convert("RGB")
        return np.asarray(shown)[top + 3 : bottom - 3, left + 3 : right - 3]

    def undecorated(self, view: str) -> NDArray[np.int_]:
        """The pixels of a view without letters, lines, boxes and captions."""
        self.page.evaluate("document.querySelector('#panes').style.opacity = 0")
        pixels = self.pixels(view).astype(int)
        self.page.evaluate("document.querySelector('#panes').style.opacity = 1")
        return pixels

    def bright(self, view: str) -> Rect:
        """The bounds of what is bright grey in a view."""
        pixels = self.undecorated(view)
        is_grey = pixels.max(axis=2) - pixels.min(axis=2) < 12
        return self._bounds(view, is_grey & (pixels.min(axis=2) > 150))

    def coloured(self, view: str) -> Rect:
        """The bounds of what is painted in the first object's colour in a view."""
        pixels = self.undecorated(view)
        return self._bounds(view, (pixels[..., 0] > 60) & (pixels[..., 2] < 0.6 * pixels[..., 0]))

    def _bounds(self, view: str, found: NDArray[np.bool_]) -> Rect:
        assert found.any(), f"nothing is seen in the {view} view"
        left, top, _, _ = self.pane(view)
        rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
        return left + 3 + columns[0], top + 3 + rows[0], left + 4 + columns[-1], top + 4 + rows[-1]

    def drag(self, rect: Rect, *, modifiers: int = 0) -> None:
        left, top, right, bottom = rect
        self.page.drag((left, top), (right, bottom), modifiers=modifiers)

    def item(self, field: str, number: int = 0) -> object:
        """A field of an object, in the order of the list."""
        return self.page.evaluate(f"viewer.history.now.items[{number}]?.{field} ?? null")

    def until_done(self, number: int = 0, seconds: float = WAIT) -> None:
        status = f"viewer.history.now.items[{number}]?.status"
        self.page.until(f"['done', 'failed', 'cancelled'].includes({status})", seconds)
        assert self.item("status", number) == "done", self.item("problem", number)

    def labels(self, number: int = 0) -> NDArray[np.uint16]:
        """What the server found (z,y,x)."""
        return RemoteRun(self.client, {"id": self.item("run", number)}).labels()

    def mask(self, number: int = 0) -> NDArray[np.bool_]:
        """The mask that the page holds (z,y,x)."""
        shape = self.page.evaluate("viewer.facts.shape_zyx")
        lower, size, data = self.page.evaluate(
            f"(m => [m.lower, m.size, Array.from(m.data)])(viewer.history.now.items[{number}].mask)"
        )
        mask = np.zeros(shape, dtype=bool)
        place = tuple(slice(a, a + n) for a, n in zip(reversed(lower), reversed(size), strict=True))
        mask[place] = np.array(data, dtype=bool).reshape(tuple(reversed(size)))
        return mask

    def foreign_requests(self) -> list[str]:
        """Requests to another place than the viewer's own server; what is part of the page is none."""
        own = self.address.partition("/viewer/")[0] + "/"
        return [one for one in self.page.requests if not one.startswith((own, "data:", f"blob:{own}"))]


StartViewer = Callable[..., Viewer]
"""Opens a page: on an image or on none, with faults of the stand-in, and options of the page."""


@dataclass(frozen=True)
class Grid:
    """Directions of i, j and k as columns of LPS, and the size of a voxel along them, in mm."""

    directions: tuple[tuple[float, float, float], ...]
    spacing: tuple[float, float, float]


def turned(axis: int, degrees: float) -> NDArray[np.float64]:
    angle = np.deg2rad(degrees)
    turn = np.eye(3)
    first, second = [other for other in range(3) if other != axis]
    turn[[first, first, second, second], [first, second, first, second]] = (
        np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle),
    )  # fmt: skip
    return turn


GRIDS = {
    "LPS": Grid(((1, 0, 0), (0, 1, 0), (0, 0, 1)), (1, 1, 1)),
    "RAS": Grid(((-1, 0, 0), (0, -1, 0), (0, 0, 1)), (1, 1, 1)),
    "flipped slices, anisotropic": Grid(((1, 0, 0), (0, 1, 0), (0, 0, -1)), (0.8, 1.1, 3)),
    "sagittal slices": Grid(((0, 0, 1), (1, 0, 0), (0, -1, 0)), (1, 1.5, 2)),
    "oblique": Grid(tuple(map(tuple, (turned(0, 17) @ turned(2, -21)).tolist())), (0.9, 1.3, 2)),
}


SHAPE = (22, 26, 30)
BLOCK = (slice(5, 9), slice(6, 12), slice(16, 24))
"""Its slices z, y, x: nearer to one end on every axis."""


def write_block(path: Path, grid: Grid, *, slices: int = SHAPE[0]) -> Path:
    """Write a dark volume with a bright block."""
    volume = np.full((slices, *SHAPE[1:]), -100, dtype=np.int16)
    volume[BLOCK] = 100
    image = sitk.GetImageFromArray(volume)
    image.SetDirection(np.array(grid.directions).ravel().tolist())
    image.SetSpacing(grid.spacing)
    image.SetOrigin((-37.0, 21.0, 140.0))
    sitk.WriteImage(image, str(path))
    return path
