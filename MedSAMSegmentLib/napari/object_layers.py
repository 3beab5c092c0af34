"""The objects of one image, and the layers that hold their boxes, clicks, labels and previews."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..results import SliceResult
from .drawn import OBJECT, POSITIVE
from .layer_image import LayerImage

PLUS, MINUS = "#28c76f", "#ea5455"
CLICK_SHARE, OUTLINE_SHARE = 1 / 40, 1 / 300
"""Size of a click and width of an outline, as a part of the slice's shorter side."""

RESULT_OPACITY, PREVIEW_OPACITY = 0.6, 0.45


@dataclass
class ObjectRecord:
    """One object: its name, what is asked for it, and what its last run said."""

    number: int
    name: str
    reading: int = 1
    slices: tuple[int, int] | None = None
    asked: tuple[Any, ...] | None = None
    """What its labels were made from; None while it has none."""
    volume_ml: float = 0.0
    assessment: str = ""
    axis: int = 0
    flagged: tuple[int, ...] = ()
    window: str = ""


class ObjectLayers:
    """Layers are made when they are first needed, and again when somebody deleted them.

    `on_drawn` gets these layers and the number of an object after something of it was drawn, moved or removed, and
    what: "shapes" or "points". `on_painted` hears of each change of the labels.
    """

    def __init__(
        self,
        viewer: Any,
        image_layer: Any,
        on_drawn: Callable[[ObjectLayers, int, str], None],
        on_painted: Callable[[Any], None],
    ) -> None:
        self._viewer = viewer
        self.image_layer = image_layer
        self._on_drawn = on_drawn
        self._on_painted = on_painted
        self.records: dict[int, ObjectRecord] = {}
        self.current = 0
        """The number of the object that is chosen; 0 before there is any."""
        self.each_box_is_new = True
        self.positive = True
        """Whether the next click belongs to the object."""
        self._shapes: Any = None
        self._points: Any = None
        self._labels: Any = None
        self._preview: Any = None
        self._shown_part: NDArray[Any] | None = None
        self._known = {"shapes": 0, "points": 0}

    @property
    def shapes(self) -> Any | None:
        return self._if_there(self._shapes)

    @property
    def points(self) -> Any | None:
        return self._if_there(self._points)

    @property
    def labels(self) -> Any | None:
        return self._if_there(self._labels)

    @property
    def preview(self) -> Any | None:
        return self._if_there(self._preview)

    def add_object(self) -> ObjectRecord:
        """Make an object, which is the chosen one from now on."""
        number = max(self.records, default=0) + 1
        self.records[number] = ObjectRecord(number, f"Segment_{number}")
        self.current = number
        return self.records[number]

    def draw_boxes(self) -> None:
        """Let the mouse draw rectangles."""
        if self.shapes is None:
            self._shapes = self._viewer.add_shapes(
                ndim=self.image_layer.ndim, name=f"{self.image_layer.name} boxes", edge_width=self._part(OUTLINE_SHARE),
                face_color="transparent", edge_color="white", features={OBJECT: np.zeros(0, int)},
                feature_defaults={OBJECT: 0}, **self._place(),
            )  # fmt: skip
            self._known["shapes"] = 0
            self._shapes.events.data.connect(self._shapes_changed)
        self._viewer.layers.selection.active = self._shapes
        self._shapes.mode = "add_rectangle"

    def place_clicks(self, *, positive: bool) -> None:
        """Let the mouse place clicks on what belongs to the object, or does not."""
        self.positive = positive
        if self.points is None:
            self._points = self._viewer.add_points(
                ndim=self.image_layer.ndim, name=f"{self.image_layer.name} clicks", size=self._part(CLICK_SHARE),
                features={OBJECT: np.zeros(0, int), POSITIVE: np.zeros(0, bool)},
                feature_defaults={OBJECT: 0, POSITIVE: True}, **self._place(),
            )  # fmt: skip
            self._known["points"] = 0
            self._points.events.data.connect(self._points_changed)
        self._viewer.layers.selection.active = self._points
        self._points.mode = "add"
        self._points.current_face_color = PLUS if positive else MINUS

    def require_labels(self) -> Any:
        """Return the layer of the results."""
        if self.labels is None:
            self._labels = self._add_labels("objects", RESULT_OPACITY)
            self._labels.events.paint.connect(self._on_painted)
        return self._labels

    def show_preview(self, image: LayerImage, result: SliceResult, number: int) -> None:
        """Show an object's mask on a slice, in place of what was previewed before."""
        if self.preview is None:
            self._preview = self._add_labels("preview", PREVIEW_OPACITY)
        self._forget_preview()
        view = self._preview.data[image.place]
        part = np.moveaxis(view.reshape(image.geometry.shape_zyx), result.axis, 0)[result.index]
        part[result.mask] = number
        self._shown_part = part
        self._preview.refresh()

    def hide_preview(self) -> None:
        if self.preview is not None:
            self._forget_preview()
            self._preview.refresh()

    def color(self, number: int) -> tuple[float, float, float]:
        """Return the colour of an object, red, green, blue in 0..1: that of its label."""
        red, green, blue = (float(part) for part in self.require_labels().get_color(number)[:3])
        return (red, green, blue)

    def names(self) -> dict[int, str]:
        return {number: record.name for number, record in self.records.items()}

    def remove(self, number: int) -> None:
        """Remove an object's boxes and clicks, and what is known of it."""
        self.records.pop(number, None)
        for layer in (self.shapes, self.points):
            if layer is not None:
                rows = {row for row, owner in enumerate(layer.features[OBJECT]) if int(owner) == number}
                if rows:
                    layer.selected_data = rows
                    layer.remove_selected()
        self.current = max(self.records, default=0)

    def _if_there(self, layer: Any | None) -> Any | None:
        return layer if layer is not None and layer in self._viewer.layers else None

    def _forget_preview(self) -> None:
        if self._shown_part is not None:
            self._shown_part[...] = 0
        self._shown_part = None

    def _part(self, share: float) -> float:
        """Return a part of the slice's shorter side, in its pixels."""
        height, width = self.image_layer.extent.data[1][-2:] - self.image_layer.extent.data[0][-2:]
        return max(share * min(height, width), 0.2)

    def _place(self) -> dict[str, Any]:
        """Return what puts another layer where the image lies."""
        layer = self.image_layer
        names = ("scale", "translate", "rotate", "shear", "affine", "axis_labels", "units")
        return {name: getattr(layer, name) for name in names}

    def _add_labels(self, what: str, opacity: float) -> Any:
        data = self.image_layer.data[0] if self.image_layer.multiscale else self.image_layer.data
        active = self._viewer.layers.selection.active
        layer = self._viewer.add_labels(
            np.zeros(data.shape[: self.image_layer.ndim], np.uint16), name=f"{self.image_layer.name} {what}",
            opacity=opacity, **self._place(),
        )  # fmt: skip
        # Boxes and clicks stay above it, and the tool in the hand.
        for above in (self.shapes, self.points):
            if above is not None:
                self._viewer.layers.move(self._viewer.layers.index(above), len(self._viewer.layers))
        self._viewer.layers.selection.active = active
        return layer

    def _shapes_changed(self, event: Any) -> None:
        self._changed("shapes", self._shapes, event)

    def _points_changed(self, event: Any) -> None:
        self._changed("points", self._points, event)

    def _changed(self, kind: str, layer: Any, event: Any) -> None:
        """Give new shapes and points their object, and tell which object was changed."""
        if str(event.action) in ("adding", "changing", "removing"):
            return
        known, count = self._known[kind], len(layer.data)
        self._known[kind] = count
        if count > known:
            self._take(kind, layer, range(known, count))
        number = self.current
        if count == known and count:
            owners = list(layer.features[OBJECT])
            number = max(int(owners[row]) for row in event.data_indices or (-1,))
        self._on_drawn(self, number, kind)

    def _take(self, kind: str, layer: Any, rows: range) -> None:
        features = layer.features.copy()
        owners = [int(owner) for owner in features[OBJECT]]
        for row in rows:
            if not self.current or (kind == "shapes" and self.each_box_is_new):
                self.add_object()
            owners[row] = self.current
        features[OBJECT] = owners
        if kind == "points":
            positive = [bool(value) for value in features[POSITIVE]]
            features[POSITIVE] = [self.positive if row in rows else value for row, value in enumerate(positive)]
        layer.features = features
        if kind == "shapes":
            layer.edge_color = np.array([(*self.color(owner), 1.0) for owner in owners])
        else:
            layer.face_color = [PLUS if value else MINUS for value in features[POSITIVE]]
