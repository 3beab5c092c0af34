"""The upper part of the options frame: model, intensity and the tools for prompts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from slicer.i18n import tr as _

from ...intensity import PRESETS
from ..objects.settings import AS_DISPLAYED, EffectSettings, Tool
from .controls import Commands, choose, chosen, combo_box, labelled, link_label, note_choice, quietly, row, tool_button
from .model_choice import ModelChoice, missing_html, offered_choices, state_html


class ChoiceSection:
    """`changed()` is called for every change by the user, `link` for a link."""

    def __init__(
        self,
        changed: Callable[[], None],
        commands: Commands,
        link: Callable[[str], None],
        icons: Path,
    ) -> None:
        self._changed = changed
        self._choices: list[ModelChoice] = []
        self.model = combo_box([], changed, _("The network that segments."), "ModelComboBox")
        self.model_state = link_label(link, "ModelStateLabel")
        self.intensity = _make_intensity(changed)
        self.tools = self._make_tools(commands, icons)
        self.key_slice = tool_button(
            icons / "KeySlice.png",
            _("Key slice"),
            commands.tip(_("The painted mask of this slice is a prompt, or no longer one"), "key_slice"),
            "KeySliceButton",
        )
        self.key_slice.connect("clicked()", commands["key_slice"])

    def add_to(self, host: Any) -> None:
        labelled(host, _("Model:"), row(self.model, self.model_state), "ModelLabel")
        labelled(host, _("Intensity:"), row(self.intensity), "IntensityLabel")
        labelled(host, _("Prompt:"), row(*self.tools.values(), self.key_slice, stretch=True), "PromptLabel")
        self.update_models()

    def values(self) -> dict[str, Any]:
        """Return the settings that the widgets show."""
        return {
            "model": chosen(self.model),
            "intensity": chosen(self.intensity),
            "tool": next((name for name, button in self.tools.items() if button.checked), "box"),
        }

    def show(self, settings: EffectSettings) -> None:
        self._choose_model(settings.model)
        choose(self.intensity, settings.intensity)
        for name, button in self.tools.items():
            quietly(button, button.setChecked, name == settings.tool)
        self.show_model_state()

    def update_models(self) -> None:
        """Read the models' states again: one may have been downloaded or removed."""
        self._choices = offered_choices()
        before = chosen(self.model) if self.model.count else self._choices[0].entry.id

        def fill() -> None:
            self.model.clear()
            for choice in self._choices:
                self.model.addItem(choice.entry.title, choice.entry.id)
                note_choice(self.model, choice.entry.id, choice.entry.good_for)

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
        self.model_state.toolTip = self.model_state.text

    def _make_tools(self, commands: Commands, icons: Path) -> dict[Tool, Any]:
        titles = {
            "box": ("Box", _("Box"), _("Drag a box around the object")),
            "include": ("Include", _("Point +"), _("Click what belongs to the object")),
            "exclude": ("Exclude", _("Point -"), _("Click what does not belong to the object")),
            "line": ("Line", _("Line"), _("Drag the longest diameter, as for RECIST")),
        }
        tools: dict[Tool, Any] = {}
        for name in get_args(Tool):
            icon, text, tip = titles[name]
            tip = commands.tip(tip, f"tool_{name}")
            tools[name] = tool_button(icons / f"{icon}.png", text, tip, f"{icon}ToolButton", checkable=True)
        tools["box"].checked = True
        for button in tools.values():
            button.connect("toggled(bool)", lambda on: self._changed() if on else None)
        return tools


def _make_intensity(changed: Callable[[], None]) -> Any:
    presets = [(preset.id, _(preset.title)) for preset in PRESETS.values()]
    tip = _("How intensities become grey levels for the network. The volume is not changed.")
    choices = [("auto", _("Auto")), (AS_DISPLAYED, _("As displayed")), *presets]
    box = combo_box(choices, changed, tip, "IntensityComboBox")
    note_choice(box, "auto", _("By the DICOM modality, the range of values, and what lies in the box."))
    note_choice(box, AS_DISPLAYED, _("Window and level of the volume's display."))
    for preset in PRESETS.values():
        if preset.note:
            note_choice(box, preset.id, _(preset.note))
    return box
