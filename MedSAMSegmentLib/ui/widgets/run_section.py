"""The middle of the options frame: buttons that compute, how far they are, and what was found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from ..run.events import RunEstimate, RunProgress
from ..run.protocols import RunState
from ..server_settings import chosen_server
from .controls import Commands, link_label, main_button, push_button, row, say, stack
from .messages import estimate_html, progress_text, server_html


class RunSection:
    """`link` gets the links of status and results."""

    def __init__(self, commands: Commands, link: Callable[[str], None], icons: Path) -> None:
        self.propagate = main_button(
            icons / "Propagate.png",
            _("Propagate"),
            commands.tip(_("Segment in 3D"), "propagate"),
            commands["propagate"],
            "PropagateButton",
        )
        self.segment_slice = push_button(
            _("Segment slice"),
            commands.tip(_("Write the preview of this slice into the segment"), "segment_slice"),
            commands["segment_slice"],
            "SegmentSliceButton",
        )
        self.cancel = push_button(
            _("Cancel"), commands.tip(_("Stop within one slice"), "cancel"), commands["cancel"], "CancelButton"
        )
        self.progress = qt.QProgressBar()
        self.progress.objectName = "RunProgressBar"
        self.progress.visible = False
        self.status = link_label(link, "StatusLabel")
        self.place = link_label(link, "RunsOnLabel")
        self.estimate = link_label(link, "EstimateLabel")
        self.results = link_label(link, "ResultsLabel")
        self._propagates = False
        self._estimate = ""

    def add_to(self, host: Any) -> None:
        host.addOptionsWidget(row(self.propagate))
        host.addOptionsWidget(row(self.segment_slice, self.cancel))
        host.addOptionsWidget(
            stack(*(row(w) for w in (self.place, self.progress, self.status, self.estimate, self.results)))
        )
        for label in (self.place, self.status, self.estimate, self.results):
            say(label, "")

    def show_run(self, state: RunState, propagates: bool, waiting: int) -> None:
        self.propagate.text = _("Propagate {n} objects").format(n=waiting) if waiting > 1 else _("Propagate")
        self.propagate.enabled = not propagates
        self.segment_slice.enabled = not propagates
        self.cancel.enabled = state not in (RunState.IDLE, RunState.CANCELLING)
        self.progress.visible = state is not RunState.IDLE
        if state in (RunState.OPENING, RunState.PREVIEWING, RunState.CANCELLING):
            self.progress.setRange(0, 0)  # shows that something goes on, without a figure
            self.progress.format = {RunState.OPENING: _("loading"), RunState.PREVIEWING: _("preview")}.get(state, "")
        self.show_place()
        self._propagates = propagates
        self._say_estimate()

    def show_place(self) -> None:
        """Show the server that computes; nothing where this computer does."""
        server = chosen_server()
        say(self.place, "" if server is None else server_html(server.address))

    def show_estimate(self, estimate: RunEstimate | None) -> None:
        """Show what the next run takes; nothing where there is nothing to say."""
        self._estimate = estimate_html(estimate) if estimate is not None else ""
        self._say_estimate()

    def _say_estimate(self) -> None:
        """While a run is on the progress bar knows better."""
        say(self.estimate, "" if self._propagates else self._estimate)

    def show_progress(self, progress: RunProgress) -> None:
        self.progress.setRange(0, max(progress.total, 1))
        self.progress.setValue(progress.done)
        self.progress.format = progress_text(progress)
        self.progress.toolTip = self.progress.format
