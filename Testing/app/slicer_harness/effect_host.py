"""`scriptedEffect`: the host object of a Segment Editor effect, over the real vtkSlicerSegmentEditorLogic.

The Python effect's methods are looked up once, right after its constructor; what they raise is printed, recorded, and
the host's default behaviour follows, as PythonQt does.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from .abstract_effect import AbstractEffect
from .pythonqt import dress
from .recorder import RECORDER
from .stand_ins import behaviour, create, emit, stand_in_class, state

qt = dress()
MISSING = object()
# Methods that the host calls on the Python effect, in the release that the harness stands for.
HOST_CALLS = (
    "icon",
    "helpText",
    "clone",
    "activate",
    "deactivate",
    "setupOptionsFrame",
    "createCursor",
    "processInteractionEvents",
    "processViewNodeEvents",
    "setMRMLDefaults",
    "referenceGeometryChanged",
    "sourceVolumeNodeChanged",
    "masterVolumeNodeChanged",
    "layoutChanged",
    "interactionNodeModified",
    "updateGUIFromMRML",
    "updateMRMLFromGUI",
    "cleanup",
)


@behaviour("qSlicerSegmentEditorScriptedEffect")
class ScriptedEffect:
    """The host of an effect written in Python."""

    defaults: ClassVar[dict[str, Any]] = {"name": "UnnamedScriptedEffect"}

    def pythonSource(self: Any) -> str:
        return state(self).source

    def self(this: Any) -> Any:
        return state(this).python

    def setPythonSource(self: Any, path: str) -> bool:
        if not path.endswith((".py", ".pyc")):
            return False
        import slicer

        source = Path(path)
        folder, class_name = (
            source.parent.name,
            source.stem if source.stem.endswith("Effect") else f"{source.stem}Effect",
        )
        try:
            cls = _effect_class(folder, class_name, source)
            instance = cls(self)
        except Exception as error:  # noqa: BLE001 - the host prints whatever loading the effect raises
            RECORDER.record(f"loading the effect {path}", error)
            return False
        state(self).python, state(self).source = instance, path
        state(self).bound = {name: getattr(instance, name) for name in HOST_CALLS if hasattr(instance, name)}
        setattr(slicer, folder, instance)
        return True

    def _call(self: Any, name: str, *arguments: Any) -> Any:
        """Call a method of the Python effect. MISSING when it has none or the method raised."""
        method: Callable[..., Any] | None = state(self).bound.get(name)
        if method is None:
            return MISSING
        try:
            return method(*arguments)
        except Exception as error:  # noqa: BLE001 - PythonQt prints what an effect raises and goes on
            RECORDER.record(f"{self.name}.{name}", error)
            return MISSING

    def activate(self: Any) -> None:
        AbstractEffect.activate(self)
        self._call("activate")

    def deactivate(self: Any) -> None:
        AbstractEffect.deactivate(self)
        self._call("deactivate")

    def updateGUIFromMRML(self: Any) -> None:
        if state(self).active:
            self._call("updateGUIFromMRML")

    def updateMRMLFromGUI(self: Any) -> None:
        self._call("updateMRMLFromGUI")

    # What C++ calls and Python can not reach (the harness plays the C++ side).

    def harness_clone(self: Any) -> Any:
        """The clone for an editor widget, None when clone() failed; that is an error of the effect."""
        clone = self._call("clone")
        if not isinstance(clone, stand_in_class("qSlicerSegmentEditorAbstractEffect")):
            RECORDER.record(f"{self.name}.clone", TypeError("clone() must return a qSlicerSegmentEditorAbstractEffect"))
            return None
        return clone

    def harness_icon(self: Any) -> Any:
        icon = self._call("icon")
        return icon if isinstance(icon, qt.QIcon) else qt.QIcon()

    def harness_help_text(self: Any) -> str:
        text = self._call("helpText")
        if text is not MISSING and not isinstance(text, str):
            RECORDER.record(
                f"{self.name}.helpText", TypeError(f"helpText() must return str, not {type(text).__name__}")
            )
        return text if isinstance(text, str) else ""

    def harness_notify(self: Any, name: str, *arguments: Any) -> Any:
        return self._call(name, *arguments)

    def harness_interaction_node_modified(self: Any, node: Any) -> None:
        """C++ deselects the effect when the mode is no longer ViewTransform, unless Python overrides."""
        if "interactionNodeModified" in state(self).bound:
            self._call("interactionNodeModified", node)
        elif node.GetCurrentInteractionMode() != node.ViewTransform:
            self.selectEffect("")

    def harness_process_interaction_events(self: Any, interactor: Any, event_id: int, view: Any) -> bool:
        answer = self._call("processInteractionEvents", interactor, event_id, view)
        if answer is MISSING:
            return False
        if not isinstance(answer, bool):
            RECORDER.record(f"{self.name}.processInteractionEvents", TypeError(f"must return bool, not {answer!r}"))
            return False
        return answer

    def harness_cursor(self: Any, view: Any) -> Any:
        cursor = self._call("createCursor", view)
        return cursor if isinstance(cursor, qt.QCursor) else qt.QCursor(qt.Qt.ArrowCursor)


@behaviour("qSlicerSegmentEditorEffectFactory")
class EffectFactory:
    """Where effects are registered. One for the application; effects can not be unregistered."""

    def _init(self: Any) -> None:
        state(self).effects = []

    @staticmethod
    def instance(caller: Any = None) -> Any:
        import slicer

        return slicer.app.harness_effect_factory

    def registerEffect(self: Any, effect: Any) -> bool:
        if effect is None or any(effect.name == known.name for known in state(self).effects):
            return False
        state(self).effects.append(effect)
        emit(self, "effectRegistered(QString)", effect.name)
        return True

    def registeredEffects(self: Any) -> list[Any]:
        return list(state(self).effects)


def native_effect(name: str) -> Any:
    """A built-in effect such as Paint: it can be selected, and does nothing with the mouse."""
    effect = create("qSlicerSegmentEditorScriptedEffect", None)
    effect.name = name
    return effect


def _effect_class(folder: str, class_name: str, source: Path) -> type:
    """The class from a module that is already imported under the folder's name, else from the file."""
    module = sys.modules.get(folder)
    if module is None or not hasattr(module, class_name):
        specification = importlib.util.spec_from_file_location(folder, source)
        module = importlib.util.module_from_spec(specification)
        sys.modules[folder] = module
        specification.loader.exec_module(module)
    return getattr(module, class_name)
