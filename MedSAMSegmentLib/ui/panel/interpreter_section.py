"""The Python that computes, whether it can, and the installation of what it lacks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from ...errors import Cancelled, MedSAMError
from ...worker.client import WorkerClient
from ..messages import error_html
from ..option_widgets import link_label, push_button, row
from ..worker_settings import choose_interpreter, chosen_interpreter, make_client
from .help_texts import self_check_text
from .installer import install_missing
from .requirements import missing, missing_text


class InterpreterSection:
    """`installed` is called after an installation; `link` gets the links of error messages."""

    def __init__(self, link: Callable[[str], None], installed: Callable[[], None]) -> None:
        self._installed = installed
        self._client: WorkerClient | None = None
        self._closer = qt.QTimer()
        self._closer.singleShot = True
        self._closer.connect("timeout()", self.cleanup)
        self.last_error: MedSAMError | None = None
        self.answer: dict[str, Any] | None = None
        self.frame = qt.QGroupBox(_("Interpreter and device"))
        layout = qt.QVBoxLayout(self.frame)
        self.path = qt.QLineEdit()
        self.path.toolTip = _("A Python from 3.10 on that computes in a process of its own. Empty: Slicer's own.")
        self.path.connect("editingFinished()", self._path_edited)
        self.browse = push_button(_("Browse..."), _("Choose another Python, for instance one with CUDA."), self._browse)
        self.own = push_button(_("Slicer's own"), _("Use the Python that Slicer brings."), self._use_own)
        self.check = push_button(_("Self-check"), _("Start it and try every device."), self.self_check)
        self.install = push_button(
            _("Install what is missing..."), _("Shows names, sizes and licences first."), self._install
        )
        self.missing = qt.QLabel()
        self.missing.wordWrap = True
        self.result = qt.QPlainTextEdit()
        self.result.readOnly = True
        self.result.visible = False
        self.status = link_label(link)
        layout.addLayout(row(self.path, self.browse, self.own))
        layout.addLayout(row(self.check, self.install))
        for widget in (self.missing, self.status, self.result):
            layout.addWidget(widget)
        self.refresh()

    def refresh(self) -> None:
        self.path.text = chosen_interpreter()
        own = chosen_interpreter() == sys.executable
        names = [missing_text(requirement) for requirement in missing()] if own else []
        self.install.enabled = bool(names)
        self.missing.text = _("Missing: {names}").format(names=", ".join(names)) if names else ""

    def self_check(self) -> None:
        """Ask the interpreter what it can do; the answer comes by the event loop."""
        self.cleanup()
        self.status.text = _("Checking ...")
        self.result.visible = False
        self._client = make_client()
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
        self.status.text = ""
        self.result.setPlainText(self_check_text(answer))
        self.result.visible = True
        # Not from within the client's own call.
        self._closer.start(0)

    def _failed(self, error: MedSAMError) -> None:
        self.last_error = error
        if not isinstance(error, Cancelled):
            self.status.text = error_html(error)

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
        self.status.text = ""
        self.result.visible = False
        self.refresh()
