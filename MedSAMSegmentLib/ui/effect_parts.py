"""The parts of one effect, put together: controller, options frame, mouse, keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import qt
import slicer

from ..registry import get
from . import settings as settings_module
from .collaborators import InferenceService
from .effect_controller import EffectController
from .keys import Shortcuts
from .messages import LINK_ALIGN, LINK_PANEL, LINK_REPORT, parse_slice_link
from .model_choice import LINK_LICENCE, licence_text
from .options_frame import OptionsFrame
from .report import report_text
from .settings import Tool
from .slice_interaction import SliceInteraction
from .worker_service import WorkerService
from .worker_settings import chosen_interpreter, make_client

MODULE_NAME = "MedSAMSegment"


class EffectParts:
    """What `SegmentEditorEffect` delegates to. Made in `setupOptionsFrame`, ended by `cleanup`.

    `service` replaces the worker in tests.
    """

    def __init__(self, host: Any, icons: Path, service: InferenceService | None = None) -> None:
        self._host = host
        self.service = service if service is not None else WorkerService(make_client())
        actions = self._actions()
        self.frame = OptionsFrame(host, actions, self.follow_link, icons)
        self.controller = EffectController(host, self.frame, self.service, slice_widgets)
        self.interaction = SliceInteraction(
            self.controller, self.controller.painter, lambda: self.controller.settings.tool
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
            self.controller.follow(jump)
        elif link == LINK_ALIGN:
            self.controller.align_views(slice_widgets())
        elif link == LINK_PANEL:
            slicer.util.selectModule(MODULE_NAME)
        elif link == LINK_REPORT:
            qt.QApplication.clipboard().setText(self.report())
        elif link.startswith(LINK_LICENCE):
            slicer.util.infoDisplay(licence_text(get(link.removeprefix(LINK_LICENCE))))

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
            name: self._command(name) for name in ("propagate", "segment_slice", "cancel", "select_row", "clear_rows")
        }
        tools = {f"tool_{tool}": self._tool_command(tool) for tool in get_args(Tool)}
        return {
            **controller,
            **tools,
            "key_slice": self._key_slice,
            "remove_last": self._command("remove_last_prompt"),
            "next_lesion": self._command("step_lesion", 1),
            "previous_lesion": self._command("step_lesion", -1),
            "next_flagged": self._command("step_flagged", 1),
            "previous_flagged": self._command("step_flagged", -1),
            "remove_row": lambda: self.controller.remove_row(self.frame.runs.current_row),
            "roi_changed": self._command("choose_roi"),
        }

    def _command(self, name: str, *arguments: Any) -> Callable[..., Any]:
        """A method of the controller, looked up when it is called: the frame is made before the controller."""
        return lambda *more: getattr(self.controller, name)(*arguments, *more)

    def _tool_command(self, tool: Tool) -> Callable[[], None]:
        return lambda: self.frame.choose_tool(tool)

    def _key_slice(self) -> None:
        """Of the view in which the mouse was last, else the first."""
        views = slice_widgets()
        view = self.interaction.view if self.interaction.view in views else next(iter(views), None)
        if view is not None:
            self.controller.toggle_key_slice(view)


def slice_widgets() -> list[Any]:
    """The slice views of the layout; none without a main window."""
    layout = slicer.app.layoutManager()
    if layout is None:
        return []
    return [layout.sliceWidget(name) for name in layout.sliceViewNames()]
