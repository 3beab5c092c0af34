"""Installs what is missing into Slicer's Python: one question, main thread, torch by the PyTorch extension."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import slicer
from slicer.i18n import tr as _

from ...errors import Cancelled, ModelError
from .requirements import TORCH, Requirement, missing, question

EXTENSION = "PyTorch"


def install_missing() -> list[Requirement]:
    """Ask once, then install; returns what was installed.

    Without the PyTorch extension the small packages are installed and the Extensions Manager is opened. Raises
    `Cancelled` when the user says no, `ModelError` when the extension is needed first or pip fails.
    """
    needed = missing()
    utilities = _pytorch_utilities() if TORCH in needed else None
    extension_first = TORCH in needed and utilities is None
    now = [r for r in needed if r is not TORCH or not extension_first]
    if not needed:
        return []
    if not slicer.util.confirmOkCancelDisplay(
        question(now, extension_first=extension_first), _("Install what is missing")
    ):
        raise Cancelled()
    _install(now, utilities)
    if extension_first:
        slicer.app.openExtensionsManagerDialog()
        raise ModelError(
            _("PyTorch is missing, and it is installed by the extension PyTorch, which is missing too."),
            _("Install the extension PyTorch (Extensions Manager), restart Slicer, and press the button again."),
        )
    return now


def _install(needed: Sequence[Requirement], utilities: Any) -> None:
    small = [r.requirement for r in needed if r is not TORCH]
    try:
        if small:
            _pip(small)
        if TORCH in needed:
            _install_torch(utilities)
    except (subprocess.CalledProcessError, RuntimeError) as error:
        raise ModelError(
            _("The installation failed."),
            _("Check the internet connection or proxy, or follow the help for machines without internet."),
            str(error),
        ) from error


def _pytorch_utilities() -> Any:
    """The extension's logic; None where it is not installed."""
    try:
        module = import_module("PyTorchUtils")
    except ImportError:
        return None
    return module.PyTorchUtilsLogic()


def _install_torch(utilities: Any) -> None:
    """The extension chooses the build for this machine's driver. It imports torch into Slicer as it does so."""
    if utilities.installTorch(askConfirmation=False, torchVersionRequirement=f">={TORCH.oldest}") is None:
        raise RuntimeError("The PyTorch extension did not install torch.")


def _pip(requirements: Sequence[str]) -> None:
    """Slicer 5.12 brings `slicer.packaging`; before, there is `slicer.util.pip_install`."""
    try:
        from slicer.packaging import pip_ensure
    except ImportError:
        slicer.util.pip_install(list(requirements))
        return
    # The question was asked already.
    pip_ensure(list(requirements), prompt_install=False, requester="MedSAMSegment")
