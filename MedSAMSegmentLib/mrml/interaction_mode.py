"""The mouse modes in which Slicer itself wants the left button of a slice view."""

from __future__ import annotations

from typing import Any

import slicer


def is_mouse_captured(interaction_node: Any, scene: Any) -> bool:
    """Return whether a markup is being placed, another mouse mode is on, or the pointer is on a markup's
    handle.

    The effect sees the events first: what it takes, neither markups nor window/level ever get.
    """
    if interaction_node is not None:
        mode = interaction_node.GetCurrentInteractionMode()
        if mode != slicer.vtkMRMLInteractionNode.ViewTransform:
            return True
    return scene is not None and _is_pointer_on_markup(scene)


def _is_pointer_on_markup(scene: Any) -> bool:
    kind = "vtkMRMLMarkupsDisplayNode"
    none = slicer.vtkMRMLMarkupsDisplayNode.ComponentNone
    nodes = (scene.GetNthNodeByClass(n, kind) for n in range(scene.GetNumberOfNodesByClass(kind)))
    return any(node.GetVisibility() and node.GetActiveComponentType() != none for node in nodes)
