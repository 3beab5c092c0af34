"""The effect's options frame: both halves, and the way from a widget to a stored setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..objects import settings as settings_module
from ..objects.queue import ObjectQueue, QueuedObject
from ..objects.settings import EffectSettings, Tool
from ..run.events import Event, RunEstimate, RunProgress
from ..run.protocols import RunState
from .choice_section import ChoiceSection
from .controls import tool_button
from .messages import event_html, results_html
from .run_section import RunSection


class OptionsFrame:
    """`EffectPanel` in the frame of `host`. Changes of widgets become parameters; those come back through `show`."""

    def __init__(
        self,
        host: Any,
        actions: Mapping[str, Callable[..., Any]],
        link: Callable[[str], None],
        icons: Path,
    ) -> None:
        from slicer.i18n import tr as _

        self._host = host
        self._settings = EffectSettings()
        self.choices = ChoiceSection(self._store, actions, link, icons)
        self.runs = RunSection(actions, link, actions["select_row"])
        key_slice = tool_button(
            icons / "KeySlice.png",
            _("Key slice"),
            _("The painted mask of this slice is a prompt, or no longer one (K)."),
        )
        key_slice.connect("clicked()", actions["key_slice"])
        self.key_slice = key_slice
        self.choices.add_to(host, key_slice)
        self.runs.add_to(host)

    def show(self, settings: EffectSettings, roi_node: Any) -> None:
        self._settings = settings
        self.choices.show(settings, roi_node)

    def choose_tool(self, tool: Tool) -> None:
        settings_module.save(self._host, self._settings.changed(tool=tool))

    def _store(self) -> None:
        settings_module.save(self._host, self.choices.values(self._settings))

    # `EffectPanel`

    def show_device(self, text: str) -> None:
        self.choices.device_state.text = text

    def show_run(self, state: RunState, propagates: bool, waiting: int) -> None:
        self.runs.show_run(state, propagates, waiting)

    def show_progress(self, progress: RunProgress) -> None:
        self.runs.show_progress(progress)

    def show_event(self, event: Event) -> None:
        self.runs.status.text = event_html(event)

    def show_estimate(self, estimate: RunEstimate | None) -> None:
        self.runs.show_estimate(estimate)

    def show_results(self, rows: Sequence[QueuedObject]) -> None:
        self.runs.results.text = results_html(rows)

    def show_queue(self, queue: ObjectQueue) -> None:
        self.runs.show_queue(queue)

    def show_range_limits(self, slices: int) -> None:
        self.choices.range.show_limits(slices)
