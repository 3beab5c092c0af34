"""The Python that computes, whether it can, and the installation of what it lacks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from ...errors import Cancelled, MedSAMError
from ...worker.client import WorkerClient
from ...worker.qprocess_transport import QProcessTransport
from ..widgets.controls import link_label, push_button, row
from ..worker_settings import choose_interpreter, chosen_interpreter, local_command
from .error_text import error_text
from .help_texts import self_check_text
from .installer import install_missing
from .requirements import missing, missing_text
from .section import collapsible, named, say


class InterpreterSection:
    """`installed` is called after an installation; `link` gets the links of error messages."""

    def __init__(self, link: Callable[[str], None], installed: Callable[[], None]) -> None:
        self._installed = installed
        self._client: WorkerClient | None = None
        self._closer = qt.QTimer()
        self._closer.setSingleShot(True)
        self._closer.connect("timeout()", self.cleanup)
        self.last_error: MedSAMError | None = None
        self.answer: dict[str, Any] | None = None
        self.frame, layout = collapsible(_("Interpreter and device"), "Interpreter")
        self.path = named(qt.QLineEdit(), "InterpreterLineEdit")
        self.path.toolTip = _("A Python from 3.10 on that computes in a process of its own. Empty: Slicer's own.")
        self.path.connect("editingFinished()", self._path_edited)
        self.browse = named(
            push_button(_("Browse..."), _("Choose another Python, for instance one with CUDA."), self._browse),
            "BrowseInterpreterButton",
        )
        self.own = named(
            push_button(_("Slicer's own"), _("Use the Python that Slicer brings."), self._use_own),
            "OwnInterpreterButton",
        )
        self.check = named(
            push_button(_("Self-check"), _("Start it and try every device."), self.self_check), "SelfCheckButton"
        )
        self.install = named(
            push_button(_("Install what is missing..."), _("Shows names, sizes and licences first."), self._install),
            "InstallButton",
        )
        self.missing = named(qt.QLabel(), "MissingPackagesLabel")
        self.missing.wordWrap = True
        self.result = named(qt.QPlainTextEdit(), "SelfCheckResult")
        self.result.readOnly = True
        self.result.visible = False
        self.status = named(link_label(link), "InterpreterStatusLabel")
        layout.addLayout(row(self.path, self.browse, self.own))
        layout.addLayout(row(self.check, self.install))
        for widget in (self.missing, self.status, self.result):
            layout.addWidget(widget)
        say(self.status, "")
        self.refresh()
        # A user who lacks nothing seldom looks here.
        self.frame.collapsed = not self.missing.text

    def refresh(self) -> None:
        self.path.text = chosen_interpreter()
        own = chosen_interpreter() == sys.executable
        names = [missing_text(requirement) for requirement in missing()] if own else []
        self.install.enabled = bool(names)
        if names:
            self.frame.collapsed = False
        say(self.missing, _("Missing: {names}").format(names=", ".join(names)) if names else "")

    def self_check(self) -> None:
        """Ask the interpreter what it can do; the answer comes by the event loop."""
        self.cleanup()
        say(self.status, _("Checking ..."))
        self.result.visible = False
        self._client = WorkerClient(local_command, QProcessTransport)
        try:
            self._client.self_check(self._checked, self._failed)
        except MedSAMError as error:
            self._failed(error)

    def cleanup(self) -> None:
        """End the process of the last check."""
        self._closer.stop()
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def facts(self) -> str:
        """The last self-check."""
        return str(self.result.toPlainText()) if self.answer is not None else ""

    def _checked(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        say(self.status, "")
        self.result.setPlainText(self_check_text(answer))
        self.result.visible = True
        # Not from within the client's own call.
        self._closer.start(0)

    def _failed(self, error: MedSAMError) -> None:
        self.last_error = error
        if not isinstance(error, Cancelled):
            hint = _("Browse... and Slicer's own, above, choose another Python.")
            say(self.status, error_text(error, hint))

    def _install(self) -> None:
        try:
            done = install_missing()
        except Cancelled:
            return
        except MedSAMError as error:
            self._failed(error)
            return
        finally:
            self.refresh()
            self._installed()
        if done:
            self.self_check()

    def _browse(self) -> None:
        path = qt.QFileDialog.getOpenFileName(self.frame, _("A Python interpreter"))
        if path:
            self._use(str(path))

    def _use_own(self) -> None:
        self._use("")

    def _path_edited(self) -> None:
        if self.path.text != chosen_interpreter():
            self._use(self.path.text)

    def _use(self, path: str) -> None:
        choose_interpreter(path)
        say(self.status, "")
        self.result.visible = False
        self.refresh()
