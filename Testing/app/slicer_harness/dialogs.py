"""What the application says to the user, and what the user answers."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .pythonqt import dress
from .recorder import NobodyAnswers


@dataclass(frozen=True)
class Message:
    """One message box or status message: kind is the name of the function that showed it."""

    kind: str
    text: str
    details: dict[str, Any]


@dataclass
class Dialogs:
    """Records every message; questions take the answers of `answer(...)` in order and fail without one."""

    messages: list[Message] = field(default_factory=list)
    _answers: list[Any] = field(default_factory=list)
    _on_dialog: Callable[[Any], int | None] | None = None

    def answer(self, *answers: Any) -> None:
        """The next answers: True/False for questions, a path for a file dialog."""
        self._answers.extend(answers)

    def on_dialog(self, react: Callable[[Any], int | None]) -> None:
        """What the user does with dialogs opened by exec(): gets the dialog, may return its result."""
        self._on_dialog = react

    def tell(self, kind: str, text: str, **details: Any) -> None:
        self.messages.append(Message(kind, text, details))

    def ask(self, kind: str, text: str, **details: Any) -> Any:
        self.tell(kind, text, **details)
        if not self._answers:
            raise NobodyAnswers(f"{kind}: {text!r} - use application.dialogs.answer(...)")
        return self._answers.pop(0)

    def run(self, dialog: Any) -> int:
        """exec() of a dialog."""
        text = dialog.text if isinstance(dialog, dress().QMessageBox) else dialog.windowTitle
        self.tell("dialog", text, dialog=dialog)
        if self._on_dialog is None:
            raise NobodyAnswers(f"a dialog opened: {text!r} - use application.dialogs.on_dialog(...)")
        dialog.show()
        answer = self._on_dialog(dialog)
        dialog.hide()
        return dialog.result() if answer is None else int(answer)

    def texts(self, kind: str | None = None) -> list[str]:
        """The texts shown so far, of one kind or of all."""
        return [message.text for message in self.messages if kind in (None, message.kind)]


TOLD = ("infoDisplay", "warningDisplay", "errorDisplay", "showStatusMessage", "delayDisplay")
ASKED = ("confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay", "messageBox")


def recorded_functions(util: types.ModuleType, dialogs: Dialogs) -> dict[str, Callable[..., Any]]:
    """Replacements for the functions of slicer.util that show something, with the parameters of the real ones."""
    functions: dict[str, Callable[..., Any]] = {}
    for name in TOLD:
        functions[name] = _with_signature(
            getattr(util, name), lambda text, _name=name, **rest: dialogs.tell(_name, text, **rest)
        )
    for name in ASKED:
        functions[name] = _with_signature(
            getattr(util, name), lambda text, _name=name, **rest: dialogs.ask(_name, text, **rest)
        )
    return functions


def _with_signature(real: Callable[..., Any], react: Callable[..., Any]) -> Callable[..., Any]:
    """Call `react(first argument, **others)` after checking the arguments against the real function."""
    signature = inspect.signature(real)

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        arguments = dict(bound.arguments)
        arguments.update(arguments.pop("kwargs", {}))
        first = next(iter(signature.parameters))
        return react(str(arguments.pop(first)), **arguments)

    call.__name__ = real.__name__
    call.__signature__ = signature  # type: ignore[attr-defined]
    return call


def patch_modal_dialogs(dialogs: Callable[[], Dialogs]) -> None:
    """No dialog of Qt ever waits for a user: exec() and the static functions ask the test instead."""
    qt = dress()
    for cls in (qt.QDialog, qt.QMessageBox, qt.QFileDialog, qt.QInputDialog, qt.QColorDialog, qt.QProgressDialog):
        cls.exec = lambda self: dialogs().run(self)
        cls.exec_ = lambda self: dialogs().run(self)
    for name in ("information", "warning", "critical", "question", "about"):
        setattr(
            qt.QMessageBox,
            name,
            staticmethod(lambda parent, title, text, *rest, _name=name: dialogs().ask(f"QMessageBox.{_name}", text)),
        )
    for name in ("getOpenFileName", "getSaveFileName", "getExistingDirectory", "getOpenFileNames"):
        setattr(
            qt.QFileDialog,
            name,
            staticmethod(
                lambda *args, _name=name: dialogs().ask(f"QFileDialog.{_name}", str(args[1]) if len(args) > 1 else "")
            ),
        )
    for name in ("getText", "getItem", "getInt", "getDouble"):
        setattr(
            qt.QInputDialog,
            name,
            staticmethod(
                lambda *args, _name=name: dialogs().ask(f"QInputDialog.{_name}", str(args[2]) if len(args) > 2 else "")
            ),
        )
    qt.QDesktopServices.openUrl = staticmethod(lambda url: dialogs().tell("openUrl", url.toString()) or True)
