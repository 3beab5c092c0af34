"""The place where runs happen: this computer, or a server that the user names and agrees to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ...errors import Cancelled, MedSAMError, UsageError
from ...worker.client import WorkerClient
from ...worker.qprocess_transport import QProcessTransport
from ...worker.server_address import parse_server
from ..server_settings import (
    Server,
    agree,
    choose_server,
    choose_this_computer,
    chosen_server,
    is_agreed,
    known_server,
    server_models,
)
from ..widgets.controls import link_label, push_button, row
from ..worker_settings import way_to_server
from .error_text import breakable, error_text
from .section import collapsible, named, say


class ServerSection:
    """`changed` is called when another place was chosen; `link` gets the links of error messages."""

    def __init__(self, link: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._changed = changed
        self._client: WorkerClient | None = None
        self._closer = qt.QTimer()
        self._closer.setSingleShot(True)
        self._closer.connect("timeout()", self.cleanup)
        self.last_error: MedSAMError | None = None
        self.frame, layout = collapsible(_("Where it runs"), "Server")
        self.place = named(link_label(link), "PlaceLabel")
        self.address = named(qt.QLineEdit(), "ServerAddressLineEdit")
        self.address.placeholderText = "https://"
        self.address.toolTip = _(
            "Address of a computer on which `medsam-segment serve` runs, or the line that it printed."
        )
        self.token = named(qt.QLineEdit(), "ServerTokenLineEdit")
        self.token.echoMode = qt.QLineEdit.Password
        self.token.placeholderText = _("token")
        self.token.toolTip = _("The token that the server printed at its start. It is kept in Slicer's settings.")
        self.use = named(
            push_button(_("Use this server"), _("Ask it, and let it compute from now on."), self._use),
            "UseServerButton",
        )
        self.here = named(
            push_button(_("This computer"), _("Let this computer compute again."), self._use_here), "ThisComputerButton"
        )
        self.status = named(link_label(link), "ServerStatusLabel")
        layout.addWidget(self.place)
        layout.addWidget(self.address)
        layout.addWidget(self.token)
        layout.addLayout(row(self.use, self.here))
        layout.addWidget(self.status)
        say(self.status, "")
        server = known_server()
        self.address.text, self.token.text = server.address, server.token
        self.refresh()
        self.frame.collapsed = chosen_server() is None

    def refresh(self) -> None:
        """Show what is so now."""
        server = chosen_server()
        self.place.text = breakable(place_html(server))
        self.here.enabled = server is not None
        self.use.enabled = self._client is None
        if server is not None:
            self.frame.collapsed = False

    def cleanup(self) -> None:
        """End the question to a server, and the process that asks it."""
        self._closer.stop()
        client, self._client = self._client, None
        if client is not None:
            client.close()
        self.use.enabled = True

    def facts(self) -> str:
        return ""

    def _use(self) -> None:
        say(self.status, "")
        try:
            server = self._typed()
        except MedSAMError as error:
            self._failed(error)
            return
        if not is_agreed(server.address):
            if not slicer.util.confirmOkCancelDisplay(agreement_text(server.address), _("Send images to a server?")):
                say(self.status, _("Nothing was sent."))
                return
            agree(server.address)
        self._ask(server)

    def _typed(self) -> Server:
        """Return the server that the fields name. Raises `UsageError`."""
        parsed = parse_server(str(self.address.text))
        if parsed.token:
            self.token.text = parsed.token
        self.address.text = parsed.address
        token = str(self.token.text).strip()
        if not token:
            raise UsageError(_("The server's token is missing."), _("Enter the one that it printed at its start."))
        return Server(parsed.address, token)

    def _ask(self, server: Server) -> None:
        """Let the server's worker check itself; the answer comes by the event loop."""
        self.cleanup()
        say(self.status, breakable(_("Asking {address} ...").format(address=escape(server.address))))
        self._client = WorkerClient(partial(way_to_server, server), QProcessTransport)
        self.use.enabled = False
        try:
            self._client.self_check(partial(self._answered, server), self._failed)
        except MedSAMError as error:
            self._failed(error)

    def _answered(self, server: Server, answer: dict[str, Any]) -> None:
        client = self._client
        models = client.worker.get("models", []) if client is not None else []
        choose_server(server, models)
        self.refresh()
        say(self.status, breakable(escape(answer_text(answer))))
        # Not from within the client's own call.
        self._closer.start(0)
        self._changed()

    def _failed(self, error: MedSAMError) -> None:
        self._closer.start(0)
        if isinstance(error, Cancelled):
            return
        self.last_error = error
        say(self.status, error_text(error, ""))

    def _use_here(self) -> None:
        self.cleanup()
        choose_this_computer()
        say(self.status, "")
        self.refresh()
        self._changed()


def place_html(server: Server | None) -> str:
    """Return where runs happen, and what that means for images, as rich text."""
    if server is None:
        return _("<b>Runs on this computer.</b> Nothing is sent.")
    text = escape(_("Runs on {address}").format(address=server.address))
    return f"<b>{text}.</b> " + _("Images that you segment are sent there.")


def agreement_text(address: str) -> str:
    """Return what the user is asked once for each server."""
    text = _(
        "Images that you segment with the effect MedSAM will be sent to\n\n{address}\n\nand computed there, until you "
        "choose This computer again. Names and other data of patients are not sent. Are you allowed to send the images?"
    )
    return text.format(address=address)


def answer_text(answer: dict[str, Any]) -> str:
    """Return what a server said of itself: its device, its models that are ready, and what is wrong."""
    working = [str(device["title"]) for device in answer["devices"] if device["works"]]
    ready = sum(state == "ready" for _entry, state in server_models())
    text = _("It answers. Computes on: {device}. Models that are ready: {n}.")
    sentences = [text.format(device=working[-1] if working else _("nothing that works"), n=ready)]
    return " ".join((*sentences, *(str(problem) for problem in answer["problems"])))
