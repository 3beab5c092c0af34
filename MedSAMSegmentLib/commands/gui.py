"""`medsam-segment gui`: an image and its segmentation in napari, a desktop program."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

from ..errors import UsageError
from ..io.read_volume import read_volume
from .progress import say
from .serve import require_model, require_packages

NEEDED = ("napari", "qtpy")
BINDINGS = ("PySide6", "PyQt6", "PyQt5")
SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")


def run(options: argparse.Namespace) -> None:
    _require_napari()
    require_model(options)
    volume = None
    if options.image:
        volume = read_volume(options.image, series=options.series, spacing=options.spacing)
        for note in volume.notes:
            say(note, options.quiet)
    _require_screen()
    from ..napari.window import show

    loading = {"device": options.device, "precision": options.precision, "engine": options.engine}
    show(volume, Path(options.image or "").name, options.model, loading)


def _require_napari() -> None:
    """Raise `UsageError` where napari is missing, or a Qt for it: its own users may have another than ours."""
    there = any(importlib.util.find_spec(name) for name in BINDINGS)
    require_packages(NEEDED if there else (*NEEDED, BINDINGS[0]), "The plug-in of napari", "napari")


def _require_screen() -> None:
    """Raise `UsageError` where Qt would end the program, as it does without a screen on Linux."""
    if sys.platform == "linux" and not any(os.environ.get(name) for name in SCREENS):
        raise UsageError(
            "There is no screen here.", "Start it on a desktop; 'run' and 'view --no-browser' do without one."
        )
