"""One effect, put together: state, commands, options frame, mouse, keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import qt
import slicer

from ...errors import MedSAMError
from ...mrml.interaction_mode import is_mouse_captured
from ..drawing.interaction import SliceInteraction
from ..drawing.prompt_drawing import Drawing
from ..objects import settings as settings_module
from ..objects.settings import Tool
from ..report import report_text
from ..run.error_boundary import guarded
from ..run.protocols import InferenceService
from ..run.worker_service import WorkerService
from ..server_settings import chosen_server
from ..widgets.controls import Commands
from ..widgets.messages import LINK_ALIGN, LINK_PANEL, LINK_REPORT, parse_slice_link
from ..widgets.model_choice import LINK_LICENCE, licence_text
from ..widgets.options_frame import OptionsFrame
from ..worker_settings import chosen_interpreter, known_entry, make_client
from .controller import EffectController
from .drawing_commands import DrawingCommands
from .list_commands import ListCommands
from .run_commands import RunCommands
from .shortcuts import Shortcuts, sequences
from .state import EffectState

MODULE_NAME = "MedSAMSegment"


class Effect:
    """The parts that `SegmentEditorEffect` delegates to. Made in `setupOptionsFrame`, ended by `cleanup`.

    `service` replaces the worker in tests.
    """

    def __init__(self, host: Any, icons: Path, service: InferenceService | None = None) -> None:
        self._host = host
        self.service = service if service is not None else WorkerService(make_client())
        actions = self._actions()
        self.frame = OptionsFrame(host, Commands(actions, sequences()), self.follow_link, icons)
        self.state = EffectState(host, self.frame, self.service, slice_widgets, _when_idle)
        drawing = Drawing(self.state.scene, self.state.queue)
        self.controller = EffectController(self.state, _when_idle)
        self.drawing = DrawingCommands(self.state, drawing)
        self.running = RunCommands(self.state, drawing)
        self.listing = ListCommands(self.state)
        self.interaction = SliceInteraction(
            self.drawing, self.state.painter, lambda: self.state.settings.tool, self._mouse_is_claimed
        )
        self._shortcuts = Shortcuts(actions)
        self._ended = False
        observers = self.state.observers
        observers.on_mouse_mode = self._later("placement_ended")
        observers.on_roi = self._later("take_roi")
        observers.on_scene_loaded = lambda: _when_idle(self._show_settings_again)
        slicer.app.connect("aboutToQuit()", self.cleanup)

    def activate(self) -> None:
        self.show_settings()
        self.frame.choices.update_models()
        self.controller.activate()
        self._shortcuts.install(slicer.util.mainWindow() or self._host.optionsFrame().window())
        _when_idle(self._show_settings_again)
        _when_idle(self._reveal)

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
        self.frame.show(stored, self.state.scene.roi_node())

    def _show_settings_again(self) -> None:
        """Lists of nodes are filled when a scene is loaded whole; the effect may have become active in between."""
        if self.state.active and not self.state.scene.closing:
            guarded(self.show_settings, self.state.runs.fail)()

    def _reveal(self) -> None:
        """Let the user see Propagate; the effect may have been left before the event loop was idle."""
        if self.state.active:
            guarded(self.frame.reveal, self.state.runs.fail)()

    def _later(self, name: str) -> Callable[[], None]:
        """Return a command of the ROI that runs when the event loop is idle: the ROI itself follows the event first."""

        def call() -> None:
            if self.state.active and not self.state.scene.closing:
                self._command("running", name)()

        return lambda: _when_idle(call)

    def follow_link(self, link: str) -> None:
        jump = parse_slice_link(link)
        if jump is not None:
            self._command("listing", "follow")(jump)
        elif link == LINK_ALIGN:
            self._command("listing", "align_views")(slice_widgets())
        elif link.startswith(LINK_PANEL):
            guarded(open_panel, self.state.runs.fail)(link.removeprefix(LINK_PANEL))
        elif link == LINK_REPORT:
            qt.QApplication.clipboard().setText(self.report())
        elif link.startswith(LINK_LICENCE):
            self._show_licence(link.removeprefix(LINK_LICENCE))

    def _show_licence(self, model_id: str) -> None:
        try:
            entry = known_entry(model_id)
        except MedSAMError as error:
            self.state.runs.show_error(error)
        else:
            slicer.util.infoDisplay(licence_text(entry))

    def report(self) -> str:
        client = self.service.client if isinstance(self.service, WorkerService) else None
        server = chosen_server()
        return report_text(
            slicer.app.applicationVersion,
            chosen_interpreter() if server is None else server.address,
            settings=self.state.settings,
            error=self.state.runs.last_error,
            worker=client.worker if client is not None else None,
            worker_log=client.error_text if client is not None else "",
        )

    def _actions(self) -> Mapping[str, Callable[..., Any]]:
        """Commands by name, for buttons and keys."""
        tools = {f"tool_{tool}": self._tool_command(tool) for tool in get_args(Tool)}
        return {
            **tools,
            "propagate": self._command("running", "propagate"),
            "cancel": self._command("running", "cancel"),
            "new_roi": self._command("running", "new_roi"),
            "roi_changed": self._command("running", "choose_roi"),
            "segment_slice": self._view_command("running", "segment_slice"),
            "range_first": self._view_command("drawing", "limit_range", "first"),
            "range_last": self._view_command("drawing", "limit_range", "last"),
            "key_slice": self._view_command("drawing", "toggle_key_slice"),
            "remove_last": self._command("drawing", "remove_last_prompt"),
            "other_reading": self._command("running", "take_other_reading"),
            "select_row": self._command("listing", "select_row"),
            "next_object": self._command("listing", "step_object", 1),
            "previous_object": self._command("listing", "step_object", -1),
            "next_flagged": self._command("listing", "step_flagged", 1),
            "previous_flagged": self._command("listing", "step_flagged", -1),
            "remove_row": lambda: self._command("listing", "remove_row")(self.frame.objects.current_row),
            "clear_rows": self._command("listing", "clear_rows"),
        }

    def _command(self, group: str, name: str, *arguments: Any) -> Callable[..., Any]:
        """Return a command, looked up when it is called: the frame is made before the commands."""

        def call(*more: Any) -> None:
            method = getattr(getattr(self, group), name)
            guarded(method, self.state.runs.fail)(*arguments, *more)

        return call

    def _tool_command(self, tool: Tool) -> Callable[[], None]:
        return lambda: self.frame.choose_tool(tool)

    def _mouse_is_claimed(self) -> bool:
        return is_mouse_captured(slicer.app.applicationLogic().GetInteractionNode(), self._host.scene())

    def _view_command(self, group: str, name: str, *arguments: Any) -> Callable[[], None]:
        """A command on the slice of the view in which the mouse was last, else of the first."""

        def call() -> None:
            views = slice_widgets()
            view = self.interaction.view if self.interaction.view in views else next(iter(views), None)
            if view is not None:
                self._command(group, name, *arguments)(view)

        return call


def slice_widgets() -> list[Any]:
    """The slice views of the layout; none without a main window."""
    layout = slicer.app.layoutManager()
    if layout is None:
        return []
    return [layout.sliceWidget(name) for name in layout.sliceViewNames()]


def _when_idle(action: Callable[[], None]) -> None:
    qt.QTimer.singleShot(0, action)


def open_panel(model_id: str = "") -> None:
    """The module's panel, with the row of this model chosen."""
    slicer.util.selectModule(MODULE_NAME)
    panel = slicer.util.getModuleWidget(MODULE_NAME).panel
    if panel is not None and model_id:
        panel.models.choose(model_id)
