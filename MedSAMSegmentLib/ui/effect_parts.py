"""The parts of one effect, put together: controller, options frame, mouse, keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import qt
import slicer

from ..errors import MedSAMError
from ..mrml.interaction_mode import is_mouse_captured
from . import settings as settings_module
from .boundary import guarded
from .collaborators import InferenceService
from .effect_controller import EffectController
from .keys import Shortcuts
from .messages import LINK_ALIGN, LINK_PANEL, LINK_REPORT, parse_slice_link
from .model_choice import LINK_LICENCE, find_entry, licence_text
from .options_frame import OptionsFrame
from .report import report_text
from .settings import Tool
from .slice_interaction import SliceInteraction
from .worker_service import WorkerService
from .worker_settings import chosen_interpreter, make_client, model_store

MODULE_NAME = "MedSAMSegment"


class EffectParts:
    """The parts that `SegmentEditorEffect` delegates to. Made in `setupOptionsFrame`, ended by `cleanup`.

    `service` replaces the worker in tests.
    """

    def __init__(self, host: Any, icons: Path, service: InferenceService | None = None) -> None:
        self._host = host
        self.service = service if service is not None else WorkerService(make_client())
        actions = self._actions()
        self.frame = OptionsFrame(host, actions, self.follow_link, icons)
        self.controller = EffectController(host, self.frame, self.service, slice_widgets)
        self.interaction = SliceInteraction(
            self.controller, self.controller.painter, lambda: self.controller.settings.tool, self._mouse_is_claimed
        )
        self._shortcuts = Shortcuts(actions)
        self._ended = False
        slicer.app.connect("aboutToQuit()", self.cleanup)

    def activate(self) -> None:
        self.show_settings()
        self.frame.choices.update_models()
        self.controller.activate()
        self._shortcuts.install(slicer.util.mainWindow() or self._host.optionsFrame().window())

    def deactivate(self) -> None:
        self._shortcuts.remove()
        self.interaction.abort()
        self.controller.deactivate()

    def cleanup(self) -> None:
        """Once; called by the host before it deletes the effect, and when the application quits."""
        if self._ended:
            return
        self._ended = True
        slicer.app.disconnect("aboutToQuit()", self.cleanup)
        self.deactivate()
        self.controller.cleanup()

    def show_settings(self) -> None:
        """Take the stored settings over, into the controller and the widgets."""
        stored = settings_module.load(self._host)
        self.controller.apply_settings(stored)
        self.frame.show(stored, self.controller.scene.roi_node())

    def follow_link(self, link: str) -> None:
        jump = parse_slice_link(link)
        if jump is not None:
            self._command("follow")(jump)
        elif link == LINK_ALIGN:
            self._command("align_views")(slice_widgets())
        elif link.startswith(LINK_PANEL):
            guarded(open_panel, self.controller.runs.fail)(link.removeprefix(LINK_PANEL))
        elif link == LINK_REPORT:
            qt.QApplication.clipboard().setText(self.report())
        elif link.startswith(LINK_LICENCE):
            self._show_licence(link.removeprefix(LINK_LICENCE))

    def _show_licence(self, model_id: str) -> None:
        try:
            entry = find_entry(model_id, model_store())
        except MedSAMError as error:
            self.controller.runs.show_error(error)
        else:
            slicer.util.infoDisplay(licence_text(entry))

    def report(self) -> str:
        client = self.service.client if isinstance(self.service, WorkerService) else None
        return report_text(
            slicer.app.applicationVersion,
            chosen_interpreter(),
            settings=self.controller.settings,
            error=self.controller.runs.last_error,
            worker=client.worker if client is not None else None,
            worker_log=client.error_text if client is not None else "",
        )

    def _actions(self) -> Mapping[str, Callable[..., Any]]:
        """Commands by name, for buttons and keys."""
        controller = {
            name: self._command(name) for name in ("propagate", "cancel", "select_row", "clear_rows", "new_roi")
        }
        tools = {f"tool_{tool}": self._tool_command(tool) for tool in get_args(Tool)}
        return {
            **controller,
            **tools,
            "segment_slice": self._view_command("segment_slice"),
            "range_first": self._view_command("limit_range", "first"),
            "range_last": self._view_command("limit_range", "last"),
            "key_slice": self._view_command("toggle_key_slice"),
            "remove_last": self._command("remove_last_prompt"),
            "next_lesion": self._command("step_lesion", 1),
            "previous_lesion": self._command("step_lesion", -1),
            "next_flagged": self._command("step_flagged", 1),
            "previous_flagged": self._command("step_flagged", -1),
            "remove_row": lambda: self._command("remove_row")(self.frame.runs.current_row),
            "roi_changed": self._command("choose_roi"),
        }

    def _command(self, name: str, *arguments: Any) -> Callable[..., Any]:
        """A method of the controller, looked up when it is called: the frame is made before the controller."""

        def call(*more: Any) -> None:
            method = getattr(self.controller, name)
            guarded(method, self.controller.runs.fail)(*arguments, *more)

        return call

    def _tool_command(self, tool: Tool) -> Callable[[], None]:
        return lambda: self.frame.choose_tool(tool)

    def _mouse_is_claimed(self) -> bool:
        return is_mouse_captured(slicer.app.applicationLogic().GetInteractionNode(), self._host.scene())

    def _view_command(self, name: str, *arguments: Any) -> Callable[[], None]:
        """A command on the slice of the view in which the mouse was last, else of the first."""

        def call() -> None:
            views = slice_widgets()
            view = self.interaction.view if self.interaction.view in views else next(iter(views), None)
            if view is not None:
                self._command(name, *arguments)(view)

        return call


def slice_widgets() -> list[Any]:
    """The slice views of the layout; none without a main window."""
    layout = slicer.app.layoutManager()
    if layout is None:
        return []
    return [layout.sliceWidget(name) for name in layout.sliceViewNames()]


def open_panel(model_id: str = "") -> None:
    """The module's panel, with the row of this model chosen."""
    slicer.util.selectModule(MODULE_NAME)
    panel = slicer.util.getModuleWidget(MODULE_NAME).panel
    if panel is not None and model_id:
        panel.models.choose(model_id)
