"""The options that say which slices a run takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from ..objects.settings import EffectSettings
from .controls import Commands, caption, choose, chosen, combo_box, push_button, quietly, row, spin_box, stack


class RangeWidgets:
    """`changed()` is called for every change by the user; `commands` has "range_first" and "range_last"."""

    def __init__(self, changed: Callable[[], None], commands: Commands) -> None:
        self.rule = combo_box(_rules(), changed, _("Where propagation ends."), "RangeRuleComboBox")
        self.direction = combo_box(
            _directions(),
            changed,
            _("Where propagation goes from the slice with the prompt."),
            "DirectionComboBox",
        )
        self.first = spin_box(changed, _("First slice of the range, counted from 0."), "RangeFirstSpinBox")
        self.last = spin_box(changed, _("Last slice of the range, counted from 0."), "RangeLastSpinBox")
        self.from_here = push_button(
            _("From here"),
            commands.tip(_("The range begins at the slice that is shown"), "range_first"),
            commands["range_first"],
            "RangeFromHereButton",
        )
        self.to_here = push_button(
            _("To here"),
            commands.tip(_("The range ends at the slice that is shown"), "range_last"),
            commands["range_last"],
            "RangeToHereButton",
        )
        self._settings = EffectSettings()

    def add_to(self, form: Any) -> None:
        """Add the rows to a form layout."""
        numbers = row(self.first, self.from_here, self.last, self.to_here, stretch=True)
        form.addRow(caption(_("Range:"), "RangeLabel"), stack(row(self.rule), numbers))
        form.addRow(caption(_("Direction:"), "DirectionLabel"), self.direction)

    def values(self) -> dict[str, Any]:
        """The settings that the widgets show. Numbers that are not shown are kept: they may be those of another
        volume, or mean its end."""
        found: dict[str, Any] = {"range_rule": chosen(self.rule), "direction": chosen(self.direction)}
        if self._settings.range_rule == "slices":
            found["first"] = _number(self.first, self._settings.first)
            found["last"] = _number(self.last, self._settings.last)
        return found

    def show(self, settings: EffectSettings) -> None:
        self._settings = settings
        choose(self.rule, settings.range_rule)
        choose(self.direction, settings.direction)
        self._show_numbers()
        for widget in (self.first, self.from_here, self.last, self.to_here):
            widget.visible = settings.range_rule == "slices"

    def show_limits(self, slices: int) -> None:
        """Show the volume's limits. What lies beyond them is kept until the user changes it; the run cuts it."""
        for box in (self.first, self.last):
            quietly(box, box.setRange, 0, max(slices - 1, 0))
        self._show_numbers()

    def _show_numbers(self) -> None:
        quietly(self.first, self.first.setValue, self._settings.first)
        quietly(self.last, self.last.setValue, self._settings.last)


def _number(box: Any, stored: int) -> int:
    """The stored number while the box shows it, cut to the volume at hand; else what the user set."""
    shown = max(box.minimum, min(stored, box.maximum))
    return stored if box.value == shown else int(box.value)


def _rules() -> list[tuple[str, str]]:
    return [("stop", _("Stop by itself")), ("roi", _("Extent of the ROI")), ("slices", _("From slice to slice"))]


def _directions() -> list[tuple[str, str]]:
    return [("both", _("Both ways")), ("up", _("Up")), ("down", _("Down"))]
