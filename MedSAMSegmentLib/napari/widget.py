"""The dock widget: an image, a model, boxes and clicks, and the objects that come of them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ..auto_window import window_of_objects
from ..checkpoints.custom_models import CustomModels
from ..checkpoints.store import CheckpointStore
from ..errors import Cancelled, MedSAMError, MissingCheckpoint, PromptError, UsageError
from ..intensity import PRESETS
from ..prompts import Box, Line, Point, Prompt
from ..registry import ModelEntry, entries
from ..results import FLAG_TWO_READINGS, Progress, Segmentation3D, SliceResult
from ..worker.launch import LaunchCommand, worker_command
from .computation import Computation, Order, Setup
from .drawn import axis_of, prompts_of, slice_of
from .layer_image import MOST_AXES, LayerImage, layer_image
from .object_layers import ObjectLayers, ObjectRecord
from .reader import VOLUME
from .results import save, voxel_count, write_object

if TYPE_CHECKING:
    from napari import Viewer

SEGMENT_KEY, CANCEL_KEY, BOX_KEY = "Alt-S", "Alt-X", "Alt-B"

AS_DISPLAYED = "displayed"
AUTOMATIC = "auto"

FILTERS = {
    "Segmentation of 3D Slicer (*.seg.nrrd)": (".seg.nrrd", "seg"),
    "NIfTI labels (*.nii.gz)": (".nii.gz", "seg"),
    "NRRD labels (*.nrrd)": (".nrrd", "seg"),
    "DICOM SEG (*.dcm)": (".dcm", "seg"),
    "DICOM RTSTRUCT (*.dcm)": (".dcm", "rtstruct"),
    "Picture, of a two-dimensional image (*.png)": (".png", "seg"),
}


class SegmentWidget(QWidget):
    """`napari_viewer` is the window's; `loading` are options of loading a model, `command` starts a worker.

    The worker ends with this widget, and with the program at the latest.
    """

    def __init__(
        self,
        napari_viewer: Viewer,
        *,
        loading: Mapping[str, Any] | None = None,
        command: Callable[[], LaunchCommand] = worker_command,
    ) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.computation = Computation(loading, command)
        self._images: list[Any] = []
        self._objects: dict[Any, ObjectLayers] = {}
        self._image: tuple[tuple[Any, ...], LayerImage] | None = None
        self._waiting: list[ObjectRecord] = []
        self._of_run: tuple[ObjectLayers, LayerImage] | None = None
        self._count = 0
        self._filling = False
        self._repaint = QTimer(self)
        self._repaint.setSingleShot(True)
        self._repaint.setInterval(300)
        self._repaint.timeout.connect(self._measure_current)
        self._build()
        self._fill_models()
        self._fill_images()
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            event.connect(self._fill_images)
        for key, action in ((SEGMENT_KEY, self.segment), (CANCEL_KEY, self.cancel), (BOX_KEY, self.draw_boxes)):
            self.viewer.bind_key(key, _weakly(action), overwrite=True)
        # With the window the widget is destroyed; of its own methods none is called any more then.
        self.destroyed.connect(self.computation.close)

    def event(self, event: QEvent) -> bool:
        """End the worker when the dock was closed: napari keeps the widget, and a later request starts another."""
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.computation.close()
        return bool(super().event(event))

    # Controls

    def _build(self) -> None:
        self.image_box, self.model_box, self.window_box = QComboBox(), QComboBox(), QComboBox()
        self.time_check = QCheckBox("The first axis is time")
        self.stop_check = QCheckBox("Stop where the object ends")
        self.stop_check.setChecked(True)
        self.new_check = QCheckBox("Each box is a new object")
        self.new_check.setChecked(True)
        self.box_button = _button("Draw box", self.draw_boxes, f"Drag a box around an object, on any slice ({BOX_KEY})")
        self.plus_button = _button("+ Click", self.click_plus, "Click on what belongs to the object")
        self.minus_button = _button("− Click", self.click_minus, "Click on what does not belong to the object")
        self.reading_button = _button("Other reading", self.other_reading, "Take the other thing that the box may mean")
        self.run_button = _button("Segment in 3D", self.segment, f"Segment what was drawn since ({SEGMENT_KEY})")
        self.cancel_button = _button("Cancel", self.cancel, f"End the run ({CANCEL_KEY})")
        self.undo_button = _button("Undo", self.undo, "Take back the last change of the labels")
        self.redo_button = _button("Redo", self.redo, "Take back the last undo")
        self.remove_button = _button("Remove object", self.remove_object, "Remove the object, its box and its label")
        self.save_button = _button("Save...", self.ask_and_save, "Write all objects into a file")
        self.first_box, self.last_box = QSpinBox(), QSpinBox()
        self.progress = QProgressBar()
        self.status = QLabel("")
        self.status.setWordWrap(True)
        self.table = QTableWidget(0, 3)
        self.table.setHorizontalHeaderLabels(["Object", "mL", "Look at slices"])
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.verticalHeader().hide()
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setMinimumHeight(120)
        self._lay_out()
        self._connect()
        self._show_running()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.addRow("Image", self.image_box)
        form.addRow("", self.time_check)
        form.addRow("Model", self.model_box)
        form.addRow("Intensity", self.window_box)
        tools = QGridLayout()
        for place, button in enumerate((self.box_button, self.plus_button, self.minus_button, self.reading_button)):
            tools.addWidget(button, place // 2, place % 2)
        slices = QHBoxLayout()
        for item in (QLabel("Slices"), self.first_box, QLabel("to"), self.last_box):
            slices.addWidget(item)
        running = QHBoxLayout()
        running.addWidget(self.run_button, 2)
        running.addWidget(self.cancel_button, 1)
        ending = QGridLayout()
        for place, button in enumerate((self.undo_button, self.redo_button, self.remove_button, self.save_button)):
            ending.addWidget(button, place // 2, place % 2)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addLayout(tools)
        layout.addWidget(self.new_check)
        layout.addLayout(slices)
        layout.addWidget(self.stop_check)
        layout.addLayout(running)
        layout.addWidget(self.progress)
        layout.addWidget(self.status)
        layout.addWidget(self.table, 1)
        layout.addLayout(ending)

    def _connect(self) -> None:
        self.window_box.addItem("Automatic", AUTOMATIC)
        self.window_box.addItem("As displayed", AS_DISPLAYED)
        for preset in PRESETS.values():
            self.window_box.addItem(preset.title, preset.id)
        for box, text in ((self.first_box, "first"), (self.last_box, "last")):
            box.setMinimum(-1)
            box.setSpecialValueText(text)
            box.setValue(-1)
            box.valueChanged.connect(self._slices_changed)
        self.image_box.currentIndexChanged.connect(self._image_chosen)
        self.new_check.toggled.connect(self._new_toggled)
        self.table.itemSelectionChanged.connect(self._row_chosen)
        self.table.itemChanged.connect(self._renamed)
        self.table.cellDoubleClicked.connect(self._look_at)

    def _fill_models(self) -> None:
        store = CheckpointStore()
        known: list[ModelEntry] = [*entries(), *(model.entry for model in CustomModels(store).all())]
        states = {entry.id: store.state(entry) for entry in known}
        for entry in sorted(known, key=lambda entry: states[entry.id] == "missing"):
            missing = states[entry.id] == "missing"
            self.model_box.addItem(f"{entry.title} (not on this computer)" if missing else entry.title, entry.id)

    def choose_model(self, model: str) -> None:
        """Choose a model by its id; one that is not listed leaves the choice as it is."""
        index = self.model_box.findData(model)
        if index >= 0:
            self.model_box.setCurrentIndex(index)

    def _fill_images(self, event: Any = None) -> None:
        """List the image layers, and keep the chosen one chosen."""
        chosen = self.image_layer
        self._images = present = [layer for layer in self.viewer.layers if isinstance(layer, Image)]
        self.image_box.blockSignals(True)
        self.image_box.clear()
        self.image_box.addItems([layer.name for layer in present])
        self.image_box.setCurrentIndex(present.index(chosen) if chosen in present else len(present) - 1)
        self.image_box.blockSignals(False)
        self._objects = {layer: objects for layer, objects in self._objects.items() if layer in present}
        if self._of_run is not None and self._of_run[0].image_layer not in present:
            self.cancel()
        if self.image_layer is not chosen:
            self._image_chosen()

    @property
    def image_layer(self) -> Any | None:
        """The layer that is segmented; None where there is no image."""
        index = self.image_box.currentIndex()
        return self._images[index] if 0 <= index < len(self._images) else None

    @property
    def objects(self) -> ObjectLayers:
        """The objects of the chosen image. Raises `UsageError` where there is no image."""
        layer = self.image_layer
        if layer is None:
            raise UsageError("There is no image.", "Open one, or drop a file on the window.")
        if layer not in self._objects:
            self._objects[layer] = ObjectLayers(self.viewer, layer, self._drawn, self._painted)
            self._objects[layer].each_box_is_new = self.new_check.isChecked()
        return self._objects[layer]

    def _image_chosen(self, index: int = 0) -> None:
        layer = self.image_layer
        volume = layer.metadata.get(VOLUME) if layer is not None else None
        self.time_check.setChecked(bool(getattr(volume, "time_axis", False)))
        self.time_check.setEnabled(layer is not None and layer.ndim == 3)
        self._fill_table()

    def _new_toggled(self, checked: bool) -> None:
        for objects in self._objects.values():
            objects.each_box_is_new = checked

    # What is segmented

    def image(self) -> LayerImage:
        """Return the chosen image at the frame that is shown. Raises `MedSAMError`."""
        layer = self.objects.image_layer
        frame = self._frame()
        key = (layer, id(layer.data), frame, self.time_check.isChecked(), layer.data_to_world((1.0,) * layer.ndim))
        if self._image is None or self._image[0] != key:
            self._image = (key, layer_image(layer, frame, in_time=self.time_check.isChecked()))
        return self._image[1]

    def _frame(self) -> int:
        layer = self.image_layer
        if layer is None or layer.ndim != MOST_AXES:
            return 0
        return int(np.floor(layer.world_to_data(self.viewer.dims.point)[0] + 0.5))

    def _shown_axis(self) -> int:
        """Return the axis of z,y,x that the slider goes along."""
        hidden = [axis for axis in self.viewer.dims.not_displayed if axis >= self.viewer.dims.ndim - 3]
        return (hidden[-1] - (self.viewer.dims.ndim - 3)) if hidden else 0

    def _model(self) -> str:
        """Return the id of a model that is on this computer. Raises `MissingCheckpoint`."""
        model = str(self.model_box.currentData())
        known = {entry.id: entry for entry in entries()}
        if model in known and CheckpointStore().state(known[model]) == "missing":
            raise MissingCheckpoint(
                f"The weights of {known[model].title} are not on this computer.",
                f"Fetch them with: medsam-segment models pull {model}",
            )
        return model

    def _setup(self, image: LayerImage, prompts: list[Prompt]) -> Setup:
        window: str | tuple[float, float] = str(self.window_box.currentData())
        if window == AUTOMATIC:
            window, _ = window_of_objects(image.array_zyx, image.modality, [prompts])
        elif window == AS_DISPLAYED and image.array_zyx.ndim == 3:
            low, high = self.objects.image_layer.contrast_limits
            window = (float(low), float(high))
        elif window == AS_DISPLAYED:
            window = AUTOMATIC
        return Setup(self._model(), window)

    def _order(self, objects: ObjectLayers, record: ObjectRecord, image: LayerImage) -> Order:
        """Return what is asked of an object. Raises `PromptError` where nothing is drawn for it."""
        prompts = prompts_of(record.number, objects.image_layer, image, objects.shapes, objects.points)
        if not prompts:
            raise PromptError(f"Nothing is drawn for {record.name} here.", "Draw a box around it.")
        axis = axis_of(prompts, image, self._shown_axis())
        return Order(record.name, prompts, axis, self._range(record, image, axis), self._stops(), record.reading)

    def _stops(self) -> bool:
        return self.stop_check.isChecked()

    @staticmethod
    def _range(record: ObjectRecord, image: LayerImage, axis: int) -> tuple[int, int] | None:
        if record.slices is None:
            return None
        first, last = record.slices
        end = image.geometry.shape_zyx[axis] - 1
        first, last = max(first, 0), end if last < 0 else min(last, end)
        if first > last:
            raise UsageError(f"The slices of {record.name} end before they begin.", "Give the lower one first.")
        return (first, last)

    # What the user does

    def draw_boxes(self) -> None:
        """Let the mouse draw boxes, and load the model meanwhile."""
        with _errors():
            self.objects.draw_boxes()
            self.computation.prepare(self._model())

    def click_plus(self) -> None:
        with _errors():
            self.objects.place_clicks(positive=True)

    def click_minus(self) -> None:
        with _errors():
            self.objects.place_clicks(positive=False)

    def other_reading(self) -> None:
        """Take the other thing that the box of the chosen object may mean."""
        with _errors():
            record = self._current()
            record.reading = 3 - record.reading
            self._drawn(self.objects, record.number, "shapes")

    def segment(self) -> None:
        """Segment in 3D each object of which anything changed since; if none, the chosen one again."""
        with _errors():
            if self.computation.running:
                return
            objects, image = self.objects, self.image()
            record = self._current()
            drawn = [one for one in objects.records.values() if self._is_drawn(objects, one, image)]
            changed = [one for one in drawn if one.asked != self._asked(objects, one, image)]
            self._waiting, self._of_run = changed or [record], (objects, image)
            self._count = len(self._waiting)
            self._next()

    def cancel(self) -> None:
        """End the run; what is finished stays."""
        self._waiting = []
        self.computation.cancel()

    def undo(self) -> None:
        self._in_labels("undo")

    def redo(self) -> None:
        self._in_labels("redo")

    def remove_object(self) -> None:
        """Remove the chosen object, its box, its clicks and its label."""
        with _errors():
            objects, record = self.objects, self._current()
            if objects.labels is not None:
                image = self.image()
                write_object(objects.labels, image, np.zeros(image.geometry.shape_zyx, bool), record.number)
            objects.hide_preview()
            objects.remove(record.number)
            self._fill_table()

    def ask_and_save(self) -> None:
        """Ask for a file and write all objects into it."""
        path, chosen = QFileDialog.getSaveFileName(self, "Save the objects", "", ";;".join(FILTERS))
        if path:
            suffix, kind = FILTERS.get(chosen, ("", "seg"))
            self.save(path if Path(path).suffix else path + suffix, kind)

    def save(self, path: str | Path, dicom_kind: str = "seg") -> None:
        """Write all objects of the image, of the frame that is shown, into a file; in a thread of its own."""
        with _errors():
            objects, image = self.objects, self.image()
            if objects.labels is None:
                raise UsageError("There is no object to save.", "Segment one first.")
            values = np.array(objects.labels.data[image.place]).reshape(image.geometry.shape_zyx)
            colors = {number: objects.color(number) for number in objects.records}
            model = str(self.model_box.currentData())

            def write() -> str:
                try:
                    save(path, image, values, objects.names(), colors, dicom_kind=dicom_kind, model=model)
                except MedSAMError as error:
                    # An error that is returned would be raised.
                    return str(error)
                return ""

            create_worker(write, _connect={"returned": lambda said: self._saved(path, said)})

    def _saved(self, path: str | Path, said: str) -> None:
        if said:
            show_error(said)
        else:
            self._say(f"Saved {path}.")

    def _current(self) -> ObjectRecord:
        objects = self.objects
        if objects.current not in objects.records:
            raise UsageError("There is no object.", "Draw a box around one.")
        return objects.records[objects.current]

    # Previews

    def _drawn(self, objects: ObjectLayers, number: int, kind: str) -> None:
        """Preview an object after something of it was drawn, once napari has done its own part."""
        QTimer.singleShot(0, lambda: self._preview(objects, number, kind))

    def _preview(self, objects: ObjectLayers, number: int, kind: str) -> None:
        with _errors():
            if objects.image_layer not in self._images:
                return
            # Whoever draws on another image means that one.
            self.image_box.setCurrentIndex(self._images.index(objects.image_layer))
            self._fill_table()
            if number not in objects.records:
                return
            record, image = objects.records[number], self.image()
            if not self._is_drawn(objects, record, image):
                objects.hide_preview()
                return
            order = self._order(objects, record, image)
            index = _latest_slice(order, kind)
            if index is None:
                objects.hide_preview()
                self._say(f"{record.name} has a click here: {self.run_button.text()}.")
                return

            def show(result: SliceResult) -> None:
                objects.show_preview(image, result, number)
                two = FLAG_TWO_READINGS in result.flags
                more = " The box may mean another thing, too: Other reading." if two else ""
                self._say(f"Preview of {record.name} on slice {index}, score {result.score:.2f}.{more}")

            self._say(f"Previewing {record.name} on slice {index}...")
            setup = self._setup(image, list(order.prompts))
            self.computation.preview(image, setup, order, index, on_done=show, on_error=self._preview_failed)

    def _preview_failed(self, error: MedSAMError) -> None:
        if not isinstance(error, Cancelled):
            self._say("")
            show_error(str(error))

    @staticmethod
    def _is_drawn(objects: ObjectLayers, record: ObjectRecord, image: LayerImage) -> bool:
        return bool(prompts_of(record.number, objects.image_layer, image, objects.shapes, objects.points))

    # Runs

    def _asked(self, objects: ObjectLayers, record: ObjectRecord, image: LayerImage) -> tuple[Any, ...]:
        order = self._order(objects, record, image)
        return (image, self._setup(image, list(order.prompts)), tuple(order.prompts), order.axis, order.slice_range,
                order.stop, order.reading)  # fmt: skip

    def _next(self) -> None:
        """Start the next object that waits, or end."""
        if not self._waiting or self._of_run is None:
            self._of_run = None
            self._show_running()
            self._fill_table()
            return
        record = self._waiting.pop(0)
        objects, image = self._of_run
        order = self._order(objects, record, image)
        setup, asked = self._setup(image, list(order.prompts)), self._asked(objects, record, image)

        def progressed(progress: Progress) -> None:
            self.progress.setMaximum(progress.total)
            self.progress.setValue(progress.done)
            number = self._count - len(self._waiting)
            of = f" ({number} of {self._count})" if self._count > 1 else ""
            self._say(f"{record.name}{of}: {progress.stage}")

        def done(result: Segmentation3D) -> None:
            found = result.objects[0]
            write_object(objects.require_labels(), image, found.mask, record.number)
            record.asked, record.axis, record.window = asked, result.axis, result.window
            record.assessment, record.flagged = found.assessment, tuple(found.flagged)
            record.volume_ml = int(np.count_nonzero(found.mask)) * image.geometry.voxel_volume_ml
            objects.hide_preview()
            frame = f" on frame {image.frame}" if image.frame is not None else ""
            self._say(f"{record.name}{frame}: {record.volume_ml:.1f} mL, {record.assessment} ({result.seconds:.1f} s).")
            with _errors(self._failed):
                self._next()

        self.computation.run(image, setup, order, on_progress=progressed, on_done=done, on_error=self._failed)
        self.progress.setMaximum(0)
        self._show_running()

    def _failed(self, error: MedSAMError) -> None:
        self._waiting, self._of_run = [], None
        self._show_running()
        self._fill_table()
        self._say("Cancelled." if isinstance(error, Cancelled) else "")
        if not isinstance(error, Cancelled):
            show_error(str(error))

    def _show_running(self) -> None:
        running = self.computation.running
        for button in (self.run_button, self.remove_button):
            button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self.progress.setVisible(running)

    # The list of objects

    def _fill_table(self) -> None:
        objects = self._objects.get(self.image_layer)
        records = list(objects.records.values()) if objects is not None else []
        self._filling = True
        self.table.setRowCount(len(records))
        for row, record in enumerate(records):
            assert objects is not None
            red, green, blue = (round(255 * part) for part in objects.color(record.number))
            name = QTableWidgetItem(record.name)
            name.setData(Qt.ItemDataRole.UserRole, record.number)
            name.setData(Qt.ItemDataRole.DecorationRole, QColor(red, green, blue))
            done = record.asked is not None
            flagged = ", ".join(map(str, record.flagged)) if done else ""
            for column, item in enumerate(
                (name, QTableWidgetItem(f"{record.volume_ml:.1f}" if done else ""), QTableWidgetItem(flagged))
            ):
                if column:
                    item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEditable)
                item.setToolTip(record.assessment)
                self.table.setItem(row, column, item)
            if record.number == objects.current:
                self.table.selectRow(row)
        self._filling = False
        self._show_slices()

    def _show_slices(self) -> None:
        objects = self._objects.get(self.image_layer)
        record = objects.records.get(objects.current) if objects is not None else None
        longest = max(objects.image_layer.extent.data[1]) if objects is not None else 0
        self._filling = True
        for place, box in enumerate((self.first_box, self.last_box)):
            box.setEnabled(record is not None)
            box.setMaximum(round(longest))
            box.setValue(record.slices[place] if record is not None and record.slices is not None else -1)
        self._filling = False

    def _row_chosen(self) -> None:
        rows = self.table.selectionModel().selectedRows()
        if not self._filling and rows:
            self.objects.current = int(self.table.item(rows[0].row(), 0).data(Qt.ItemDataRole.UserRole))
            self._show_slices()

    def _renamed(self, item: Any) -> None:
        if not self._filling and item.column() == 0:
            number = int(item.data(Qt.ItemDataRole.UserRole))
            self.objects.records[number].name = item.text().strip() or f"Segment_{number}"

    def _slices_changed(self, value: int) -> None:
        if self._filling:
            return
        with _errors():
            slices = (self.first_box.value(), self.last_box.value())
            self._current().slices = None if slices == (-1, -1) else slices

    def _look_at(self, row: int, column: int) -> None:
        """Go to the slice of an object that deserves a look most, or to one of its own."""
        with _errors():
            record = self._current()
            layer = self.objects.image_layer
            if column != 2 or not record.flagged or layer.ndim < 3:
                return
            point = np.array(layer.world_to_data(self.viewer.dims.point))
            point[-3 + record.axis] = record.flagged[0]
            axis = self.viewer.dims.ndim - 3 + record.axis
            self.viewer.dims.set_point(axis, layer.data_to_world(point)[-3 + record.axis])

    def _in_labels(self, what: str) -> None:
        with _errors():
            labels = self.objects.labels
            if labels is not None:
                getattr(labels, what)()
                self._measure_all()

    def _painted(self, event: Any = None) -> None:
        self._repaint.start()

    def _measure_current(self) -> None:
        with _errors():
            objects = self.objects
            if objects.labels is not None and objects.current in objects.records:
                self._measure(objects, objects.records[objects.current], self.image())
                self._fill_table()

    def _measure_all(self) -> None:
        objects, image = self.objects, self.image()
        for record in objects.records.values():
            self._measure(objects, record, image)
        self._fill_table()

    @staticmethod
    def _measure(objects: ObjectLayers, record: ObjectRecord, image: LayerImage) -> None:
        record.volume_ml = voxel_count(objects.labels, image, record.number) * image.geometry.voxel_volume_ml

    def _say(self, text: str) -> None:
        self.status.setText(text)


@contextmanager
def _errors(handler: Callable[[MedSAMError], None] | None = None) -> Iterator[None]:
    """Make a notification of an error of ours, or what `handler` makes of it."""
    try:
        yield
    except MedSAMError as error:
        if handler is not None:
            handler(error)
        else:
            show_error(str(error))


def _weakly(method: Callable[[], None]) -> Callable[[Any], None]:
    """Return a call of a method for a key of the viewer, which must not keep the widget alive."""
    reference = weakref.WeakMethod(method)

    def act(viewer: Any) -> None:
        found = reference()
        if found is not None:
            found()

    return act


def _latest_slice(order: Order, kind: str) -> int | None:
    """Return the slice of what was drawn last; None for a click away from the outlines, which a run looks at."""
    outlines = [prompt for prompt in order.prompts if isinstance(prompt, (Box, Line))]
    clicks = [prompt for prompt in order.prompts if isinstance(prompt, Point)]
    latest = (outlines or clicks) if kind == "shapes" else (clicks or outlines)
    index = slice_of(latest[-1], order.axis)
    return index if not outlines or index in {slice_of(prompt, order.axis) for prompt in outlines} else None


def _button(text: str, action: Callable[[], None], tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    # The signal's argument is not for the action.
    button.clicked.connect(lambda checked=False: action())
    return button
