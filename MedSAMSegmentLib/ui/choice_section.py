"""The upper half of the options frame: what the user chooses before a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import qt
import slicer
from slicer.i18n import tr as _

from ..intensity import PRESETS
from .model_choice import ModelChoice, model_choices, state_html
from .option_widgets import choose, chosen, combo_box, link_label, quietly, row, spin_box, tool_button
from .settings import AS_DISPLAYED, EffectSettings, Tool
from .worker_settings import model_store


class ChoiceSection:
    """`changed()` is called for every change by the user, `roi_changed(node)` for another ROI, `link` for a link."""

    def __init__(
        self,
        changed: Callable[[], None],
        roi_changed: Callable[[Any], None],
        link: Callable[[str], None],
        icons: Path,
    ) -> None:
        self._changed = changed
        self._choices: list[ModelChoice] = []
        self.model = combo_box([], changed, _("The network that segments."))
        self.model_state = link_label(link)
        self.device = combo_box(_devices(), changed, _("Where the network runs."))
        self.device_state = qt.QLabel()
        self.intensity = combo_box(_intensities(), changed, _("How intensities become grey levels for the network."))
        self.tools = self._make_tools(icons)
        self.roi = self._make_roi(roi_changed)
        self.range_rule = combo_box(_range_rules(), changed, _("Where propagation ends."))
        self.first = spin_box(changed, _("First slice of the range."))
        self.last = spin_box(changed, _("Last slice of the range."))
        self.direction = combo_box(_directions(), changed, _("Where propagation goes from the slice with the prompt."))
        self.new_segments = self._check_box(
            _("Each box is a new segment"), _("Hold Ctrl while dragging to add a box to the current object instead.")
        )
        self.keep_partial = self._check_box(
            _("Keep what is done on cancel"), _("Write the slices that were computed when a run is cancelled.")
        )

    def add_to(self, host: Any, key_slice: Any) -> None:
        host.addLabeledOptionsWidget(_("Model:"), row(self.model, self.device))
        host.addOptionsWidget(row(self.model_state, self.device_state))
        host.addLabeledOptionsWidget(_("Intensity:"), self.intensity)
        host.addLabeledOptionsWidget(_("Prompt:"), row(*self.tools.values(), key_slice))
        host.addLabeledOptionsWidget(_("ROI:"), self.roi)
        host.addLabeledOptionsWidget(_("Range:"), row(self.range_rule, self.first, self.last, self.direction))
        host.addOptionsWidget(row(self.new_segments, self.keep_partial))
        self.update_models()

    def values(self, settings: EffectSettings) -> EffectSettings:
        """`settings` with what the widgets show."""
        return settings.changed(
            model=chosen(self.model),
            device=chosen(self.device),
            intensity=chosen(self.intensity),
            tool=next((name for name, button in self.tools.items() if button.checked), "box"),
            range_rule=chosen(self.range_rule),
            first=self.first.value,
            last=self.last.value,
            direction=chosen(self.direction),
            each_box_new_segment=self.new_segments.checked,
            keep_partial=self.keep_partial.checked,
        )

    def show(self, settings: EffectSettings, roi_node: Any) -> None:
        for box, value in (
            (self.model, settings.model),
            (self.device, settings.device),
            (self.intensity, settings.intensity),
            (self.range_rule, settings.range_rule),
            (self.direction, settings.direction),
        ):
            choose(box, value)
        for box, number in ((self.first, settings.first), (self.last, settings.last)):
            quietly(box, box.setValue, number)
            box.visible = settings.range_rule == "slices"
        for name, button in self.tools.items():
            quietly(button, button.setChecked, name == settings.tool)
        for check, on in (
            (self.new_segments, settings.each_box_new_segment),
            (self.keep_partial, settings.keep_partial),
        ):
            quietly(check, check.setChecked, on)
        quietly(self.roi, self.roi.setCurrentNode, roi_node)
        self.show_model_state()

    def update_models(self) -> None:
        """Read the models' states again: one may have been downloaded or removed."""
        self._choices = model_choices(model_store())

        def fill() -> None:
            current = self.model.currentIndex
            self.model.clear()
            for choice in self._choices:
                self.model.addItem(choice.entry.title, choice.entry.id)
            self.model.setCurrentIndex(max(current, 0))

        quietly(self.model, fill)
        self.show_model_state()

    def show_model_state(self) -> None:
        chosen_id = chosen(self.model)
        choice = next((c for c in self._choices if c.entry.id == chosen_id), None)
        self.model_state.text = state_html(choice) if choice is not None else ""

    def show_range_limits(self, slices: int) -> None:
        for box in (self.first, self.last):
            # A range beyond the volume is kept until the user changes it; the run cuts it.
            quietly(box, box.setRange, 0, max(slices - 1, 0))

    def _make_tools(self, icons: Path) -> dict[Tool, Any]:
        titles = {
            "box": ("Box.png", _("Box"), _("Drag a box around the object (D).")),
            "include": ("Include.png", _("Point +"), _("Click what belongs to the object (A).")),
            "exclude": ("Exclude.png", _("Point -"), _("Click what does not belong to the object (E).")),
            "line": ("Line.png", _("Line"), _("Drag the longest diameter, as for RECIST (L).")),
        }
        tools: dict[Tool, Any] = {}
        for name in get_args(Tool):
            icon, text, tip = titles[name]
            tools[name] = tool_button(icons / icon, text, tip, checkable=True)
        tools["box"].checked = True
        for button in tools.values():
            button.connect("toggled(bool)", lambda on: self._changed() if on else None)
        return tools

    def _make_roi(self, roi_changed: Callable[[Any], None]) -> Any:
        box = slicer.qMRMLNodeComboBox()
        box.nodeTypes = ["vtkMRMLMarkupsROINode"]
        box.noneEnabled = True
        box.addEnabled = box.removeEnabled = box.renameEnabled = False
        box.setMRMLScene(slicer.mrmlScene)
        box.toolTip = _("A 3D box from the Markups module: a prompt by itself, or the range of a run.")
        box.connect("currentNodeChanged(vtkMRMLNode*)", roi_changed)
        return box

    def _check_box(self, text: str, tip: str) -> Any:
        box = qt.QCheckBox(text)
        box.toolTip = tip
        box.connect("toggled(bool)", lambda _on: self._changed())
        return box


def _devices() -> list[tuple[str, str]]:
    return [("auto", _("Auto")), ("cpu", "CPU"), ("cuda", "CUDA"), ("mps", "MPS")]


def _intensities() -> list[tuple[str, str]]:
    presets = [(preset.id, preset.title) for preset in PRESETS.values()]
    return [("auto", _("Auto")), (AS_DISPLAYED, _("As displayed")), *presets]


def _range_rules() -> list[tuple[str, str]]:
    return [("stop", _("Stop by itself")), ("roi", _("Extent of the ROI")), ("slices", _("From slice to slice"))]


def _directions() -> list[tuple[str, str]]:
    return [("both", _("Both ways")), ("up", _("Up")), ("down", _("Down"))]
