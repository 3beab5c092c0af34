"""A new ROI, placed by the user with the mouse as the Markups module does it."""

from __future__ import annotations

from typing import Any

ROI_CLASS = "vtkMRMLMarkupsROINode"


def place_new_roi(scene: Any, application_logic: Any, name: str) -> Any:
    """Add an ROI that the next two clicks in the views place. It is the user's: saved with the scene."""
    node = scene.AddNewNodeByClass(ROI_CLASS, scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    selection, mouse = application_logic.GetSelectionNode(), application_logic.GetInteractionNode()
    selection.SetReferenceActivePlaceNodeClassName(ROI_CLASS)
    selection.SetActivePlaceNodeID(node.GetID())
    mouse.SetPlaceModePersistence(0)
    mouse.SetCurrentInteractionMode(mouse.Place)
    return node


def is_placing(application_logic: Any) -> bool:
    """Tell whether the next click in a view places a markup."""
    mouse = application_logic.GetInteractionNode()
    return bool(mouse.GetCurrentInteractionMode() == mouse.Place)
