"""The upper half of the options frame: what the user chooses before a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import qt
import slicer
from slicer.i18n import tr as _

from ...intensity import PRESETS
from ..objects.settings import AS_DISPLAYED, EffectSettings, Tool
from ..worker_settings import model_store
from .controls import choose, chosen, combo_box, link_label, push_button, quietly, row, tool_button
from .model_choice import ModelChoice, missing_html, model_choices, state_html
from .range_widgets import RangeWidgets


class ChoiceSection:
    """`changed()` is called for every change by the user, `link` for a link; `actions` are the commands by name."""

    def __init__(
        self,
        changed: Callable[[], None],
        actions: Mapping[str, Any],
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
        self.roi = self._make_roi(actions["roi_changed"])
        self.new_roi = push_button(_("New ROI"), _("Place a new ROI with two clicks in the views."), actions["new_roi"])
        self.range = RangeWidgets(changed, actions)
        self.new_segments = self._check_box(
            _("Each box is a new segment"), _("Hold Ctrl while dragging to add a box to the current object instead.")
        )
        self.time_series = self._check_box(
            _("Slices are frames in time"),
            _("Cine: the object is followed along k as in a video, where it may leave and come back."),
        )
        self.keep_partial = self._check_box(
            _("Keep what is done on cancel"), _("Write the slices that were computed when a run is cancelled.")
        )

    def add_to(self, host: Any, key_slice: Any) -> None:
        host.addLabeledOptionsWidget(_("Model:"), row(self.model, self.device))
        host.addOptionsWidget(row(self.model_state, self.device_state))
        host.addLabeledOptionsWidget(_("Intensity:"), self.intensity)
        host.addLabeledOptionsWidget(_("Prompt:"), row(*self.tools.values(), key_slice))
        host.addLabeledOptionsWidget(_("ROI:"), row(self.roi, self.new_roi))
        self.range.add_to(host)
        host.addOptionsWidget(row(self.new_segments, self.keep_partial))
        host.addOptionsWidget(self.time_series)
        self.update_models()

    def values(self, settings: EffectSettings) -> EffectSettings:
        """`settings` with what the widgets show."""
        return settings.changed(
            model=chosen(self.model),
            device=chosen(self.device),
            intensity=chosen(self.intensity),
            tool=next((name for name, button in self.tools.items() if button.checked), "box"),
            **self.range.values(),
            each_box_new_segment=self.new_segments.checked,
            keep_partial=self.keep_partial.checked,
            time_series=self.time_series.checked,
        )

    def show(self, settings: EffectSettings, roi_node: Any) -> None:
        self._choose_model(settings.model)
        for box, value in (
            (self.device, settings.device),
            (self.intensity, settings.intensity),
        ):
            choose(box, value)
        self.range.show(settings)
        for name, button in self.tools.items():
            quietly(button, button.setChecked, name == settings.tool)
        for check, on in (
            (self.new_segments, settings.each_box_new_segment),
            (self.keep_partial, settings.keep_partial),
            (self.time_series, settings.time_series),
        ):
            quietly(check, check.setChecked, on)
        quietly(self.roi, self.roi.setCurrentNode, roi_node)
        self.show_model_state()

    def update_models(self) -> None:
        """Read the models' states again: one may have been downloaded or removed."""
        self._choices = model_choices(model_store())

        before = chosen(self.model) if self.model.count else self._choices[0].entry.id

        def fill() -> None:
            self.model.clear()
            for choice in self._choices:
                self.model.addItem(choice.entry.title, choice.entry.id)

        quietly(self.model, fill)
        self._choose_model(before)
        self.show_model_state()

    def _choose_model(self, model_id: str) -> None:
        """Also one that is no longer there: what the list shows is what a run would ask for."""
        if self.model.findData(model_id) < 0:
            quietly(self.model, self.model.addItem, _("{model} (missing)").format(model=model_id), model_id)
        choose(self.model, model_id)

    def show_model_state(self) -> None:
        chosen_id = chosen(self.model)
        choice = next((c for c in self._choices if c.entry.id == chosen_id), None)
        self.model_state.text = state_html(choice) if choice is not None else missing_html()

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
        # An ROI that another module makes is no prompt.
        box.selectNodeUponCreation = False
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
    titles = {
        "ct-abdomen": _("CT abdomen 40/400"),
        "ct-lung": _("CT lung -600/1500"),
        "ct-brain": _("CT brain 40/80"),
        "ct-mediastinum": _("CT mediastinum 50/350"),
        "ct-bone": _("CT bone 400/1800"),
        "mr": _("MR, 0.5 to 99.5 percentile of the voxels above zero"),
        "pet": _("PET, zero to the 99.9 percentile of the uptake"),
        "grey": _("Grey (ultrasound, OCT, X-ray), 0.5 to 99.5 percentile"),
        "rgb": _("Colour, kept within 0..255"),
        "none": _("Already 0..255, kept"),
    }
    presets = [(preset.id, titles.get(preset.id, preset.title)) for preset in PRESETS.values()]
    return [("auto", _("Auto")), (AS_DISPLAYED, _("As displayed")), *presets]
