"""The effect's options frame: its sections, and the way from a widget to a stored setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..objects import settings as settings_module
from ..objects.queue import ObjectQueue, QueuedObject
from ..objects.settings import EffectSettings, Tool
from ..run.events import Event, RunEstimate, RunProgress
from ..run.protocols import RunState
from .advanced_section import AdvancedSection
from .choice_section import ChoiceSection
from .controls import Commands, say, scroll_area_of
from .messages import event_html, results_html
from .object_table import ObjectTable
from .run_section import RunSection


class OptionsFrame:
    """`EffectPanel` in the frame of `host`. Changes of widgets become parameters; those come back through `show`.

    What every run needs is on top: in the editor there is little room below the list of effects.
    """

    def __init__(self, host: Any, commands: Commands, link: Callable[[str], None], icons: Path) -> None:
        self._host = host
        self._settings = EffectSettings()
        self.choices = ChoiceSection(self._store, commands, link, icons)
        self.runs = RunSection(commands, link, icons)
        self.advanced = AdvancedSection(self._store, commands)
        self.objects = ObjectTable(commands)
        for section in (self.choices, self.runs, self.advanced, self.objects):
            section.add_to(host)

    def show(self, settings: EffectSettings, roi_node: Any) -> None:
        self._settings = settings
        self.choices.show(settings)
        self.advanced.show(settings, roi_node)

    def reveal(self) -> None:
        """Scroll the module's panel until Propagate is seen: on a small screen the options begin below its end."""
        button = self.runs.propagate
        area = scroll_area_of(button)
        if area is not None:
            area.ensureWidgetVisible(button)

    def choose_tool(self, tool: Tool) -> None:
        settings_module.save(self._host, self._settings.changed(tool=tool))

    def _store(self) -> None:
        shown = {**self.choices.values(), **self.advanced.values()}
        settings_module.save(self._host, self._settings.changed(**shown))

    # `EffectPanel`

    def show_device(self, text: str) -> None:
        say(self.advanced.device_state, text)

    def show_run(self, state: RunState, propagates: bool, waiting: int) -> None:
        self.runs.show_run(state, propagates, waiting)

    def show_progress(self, progress: RunProgress) -> None:
        self.runs.show_progress(progress)

    def show_event(self, event: Event) -> None:
        say(self.runs.status, event_html(event))

    def show_estimate(self, estimate: RunEstimate | None) -> None:
        self.runs.show_estimate(estimate)

    def show_results(self, rows: Sequence[QueuedObject]) -> None:
        say(self.runs.results, results_html(rows))

    def show_queue(self, queue: ObjectQueue) -> None:
        self.objects.show(queue)

    def show_range_limits(self, slices: int) -> None:
        self.advanced.show_limits(slices)
