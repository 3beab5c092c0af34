"""The options that most runs leave as they are, in a section that is collapsed at first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from ..objects.settings import TO_THE_END, EffectSettings
from .controls import (
    Commands,
    caption,
    check_box,
    choose,
    chosen,
    combo_box,
    push_button,
    quietly,
    row,
    say,
    stack,
    text_label,
)
from .range_widgets import RangeWidgets

ROI_WIDTH = 120


class AdvancedSection:
    """Device, ROI, range and what happens to boxes, frames and cancelled runs.

    What differs from its default stands below the header, also while the section is collapsed: it steers every run.
    """

    def __init__(self, changed: Callable[[], None], commands: Commands) -> None:
        self.frame = ctk.ctkCollapsibleButton()
        self.frame.objectName = "AdvancedCollapsibleButton"
        self.frame.text = _("Advanced")
        self.differing = text_label("AdvancedChangesLabel")
        self.device = combo_box(_devices(), changed, _("Where the network runs."), "DeviceComboBox")
        self.device_state = text_label("DeviceStateLabel")
        self.roi = _make_roi(commands["roi_changed"])
        self.new_roi = push_button(
            _("New ROI"),
            commands.tip(_("Place a new ROI with two clicks in the views"), "new_roi"),
            commands["new_roi"],
            "NewROIButton",
        )
        self.range = RangeWidgets(changed, commands)
        self.new_segments = check_box(
            _("Each box is a new segment"),
            changed,
            _("Hold Ctrl while dragging to add a box to the current object instead."),
            "NewSegmentsCheckBox",
        )
        self.time_series = check_box(
            _("Slices are frames in time"),
            changed,
            _("Cine: the object is followed along k as in a video, where it may leave and come back."),
            "TimeSeriesCheckBox",
        )
        self.keep_speckle = check_box(
            _("Keep small parts"),
            changed,
            _("Keep parts of an object that are small beside its largest part on the same slice."),
            "KeepSpeckleCheckBox",
        )
        self.keep_partial = check_box(
            _("Keep what is done on cancel"),
            changed,
            _("Write the slices that were computed when a run is cancelled."),
            "KeepPartialCheckBox",
        )
        self._settings = EffectSettings()
        self._roi_name = ""
        self._slices = TO_THE_END
        self._lay_out()

    def add_to(self, host: Any) -> None:
        host.addOptionsWidget(stack(row(self.frame), row(self.differing)))
        say(self.differing, "")
        self.frame.collapsed = True

    def values(self) -> dict[str, Any]:
        """Return the settings that the widgets show."""
        return {
            "device": chosen(self.device),
            **self.range.values(),
            "each_box_new_segment": self.new_segments.checked,
            "keep_partial": self.keep_partial.checked,
            "time_series": self.time_series.checked,
            "keep_speckle": self.keep_speckle.checked,
        }

    def show(self, settings: EffectSettings, roi_node: Any) -> None:
        choose(self.device, settings.device)
        self.range.show(settings)
        for check, on in (
            (self.new_segments, settings.each_box_new_segment),
            (self.keep_partial, settings.keep_partial),
            (self.time_series, settings.time_series),
            (self.keep_speckle, settings.keep_speckle),
        ):
            quietly(check, check.setChecked, on)
        quietly(self.roi, self.roi.setCurrentNode, roi_node)
        self._settings, self._roi_name = settings, roi_node.GetName() if roi_node is not None else ""
        self._say_differing()

    def show_limits(self, slices: int) -> None:
        """Take over how many slices the volume has along the run."""
        self.range.show_limits(slices)
        self._slices = slices
        self._say_differing()

    def _say_differing(self) -> None:
        changes = differing(self._settings, self._roi_name, self._slices)
        say(self.differing, _("Set: {options}").format(options="; ".join(changes)) if changes else "")

    def _lay_out(self) -> None:
        # One child: the button shows and hides all of its children, those that are to stay hidden too.
        contents = qt.QWidget()
        contents.objectName = "AdvancedContents"
        outer = qt.QVBoxLayout(self.frame)
        outer.addWidget(contents)
        form = qt.QFormLayout(contents)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow(caption(_("Device:"), "DeviceLabel"), row(self.device, self.device_state))
        form.addRow(caption(_("ROI:"), "ROILabel"), row(self.roi, self.new_roi))
        self.range.add_to(form)
        for check in (self.new_segments, self.time_series, self.keep_speckle, self.keep_partial):
            form.addRow("", check)


def differing(settings: EffectSettings, roi_name: str, slices: int) -> list[str]:
    """Return what differs from the defaults among the options of the section, in words, for a volume of `slices`."""
    plain = EffectSettings()
    found = {
        dict(_devices())[settings.device]: settings.device != plain.device,
        _("ROI {name}").format(name=roi_name): bool(roi_name),
        _range_text(settings, slices): settings.range_rule != plain.range_rule,
        _("only up") if settings.direction == "up" else _("only down"): settings.direction != plain.direction,
        _("boxes add to the current object"): not settings.each_box_new_segment,
        _("slices are frames in time"): settings.time_series,
        _("small parts are kept"): settings.keep_speckle,
        _("what is done is kept on cancel"): settings.keep_partial,
    }
    return [text for text, differs in found.items() if differs]


def _range_text(settings: EffectSettings, slices: int) -> str:
    limits = settings.slice_range
    if limits is None:
        return _("range as the ROI")
    first, last = limits
    if last >= slices - 1:
        return _("range {first} to the end").format(first=first)
    return _("range {first} to {last}").format(first=first, last=last)


def _devices() -> list[tuple[str, str]]:
    return [("auto", _("Auto")), ("cpu", "CPU"), ("cuda", "CUDA"), ("mps", "MPS")]


def _make_roi(roi_changed: Callable[[Any], None]) -> Any:
    box = slicer.qMRMLNodeComboBox()
    box.objectName = "ROISelector"
    box.nodeTypes = ["vtkMRMLMarkupsROINode"]
    box.noneEnabled = True
    box.addEnabled = box.removeEnabled = box.renameEnabled = False
    # An ROI that another module makes is no prompt.
    box.selectNodeUponCreation = False
    box.sizeAdjustPolicy = qt.QComboBox.AdjustToMinimumContentsLengthWithIcon
    box.setMinimumWidth(ROI_WIDTH)
    box.setMRMLScene(slicer.mrmlScene)
    box.toolTip = _("A 3D box from the Markups module: a prompt by itself, or the range of a run.")
    box.connect("currentNodeChanged(vtkMRMLNode*)", roi_changed)
    return box
