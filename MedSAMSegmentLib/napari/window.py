"""The window that the command opens: napari with the dock widget and, where one was given, an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import napari
from npe2 import PluginManager, PluginManifest

from ..io.volume import Volume
from .reader import layer_data
from .widget import SegmentWidget

PLUGIN, WIDGET = "MedSAMSegmentLib", "MedSAM"
MANIFEST = Path(__file__).with_name("napari.yaml")


def show(volume: Volume | None, name: str, model: str, loading: Mapping[str, Any]) -> None:
    """Open the window and return when it is closed."""
    open_window(volume, name, model, loading)
    napari.run()


def open_window(
    volume: Volume | None, name: str, model: str, loading: Mapping[str, Any]
) -> tuple[napari.Viewer, SegmentWidget]:
    """Return a window with the widget; with an image the mouse draws boxes at once."""
    register()
    viewer = napari.Viewer(title="MedSAM Segment")
    # By its name in the menu, so that this is the one which the menu shows and hides.
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    widget.computation.loading = dict(loading)
    widget.choose_model(model)
    if volume is not None:
        data, options, _ = layer_data(volume, name)
        viewer.add_image(data, **options)
        widget.draw_boxes()
    return viewer, widget


def register() -> None:
    """Make the plug-in known to napari where the library runs from a checkout and is not installed."""
    manager = PluginManager.instance()
    manager.discover()
    if PLUGIN not in manager:
        manager.register(PluginManifest.from_file(MANIFEST))
