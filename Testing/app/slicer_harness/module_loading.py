"""Modules of the application: names of the real ones, and the loading of a scripted module from its file."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, ClassVar

from .api_index import load_index
from .pythonqt import dress
from .recorder import RECORDER, HarnessGap
from .stand_ins import behaviour, create, emit, state

qt = dress()
MODULE_LOGICS = {
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Colors": "vtkSlicerColorLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Units": "vtkSlicerUnitsLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
    "Transforms": "vtkSlicerTransformLogic",
}


@behaviour("qSlicerAbstractCoreModule")
class CoreModule:
    defaults: ClassVar[dict[str, Any]] = {
        "name": "",
        "title": "",
        "path": "",
        "categories": (),
        "contributors": (),
        "dependencies": (),
        "helpText": "",
        "acknowledgementText": "",
        "hidden": False,
        "index": -1,
        "isBuiltIn": False,
        "isInstalled": False,
        "associatedNodeTypes": (),
        "defaultDocumentationLink": "https://slicer.readthedocs.io",
        "slicerWikiUrl": "",
        "widgetRepresentationCreationEnabled": True,
    }

    def logic(self: Any) -> Any:
        return getattr(state(self), "logic", None)

    def mrmlScene(self: Any) -> Any:
        import slicer

        return slicer.mrmlScene


@behaviour("qSlicerAbstractModule")
class Module:
    defaults: ClassVar[dict[str, Any]] = {"icon": None, "logo": None}

    def widgetRepresentation(self: Any) -> Any:
        if not hasattr(state(self), "widget"):
            maker = getattr(state(self), "make_widget", None)
            if maker is None:
                raise HarnessGap(f"module {self.name} has no panel in the harness")
            state(self).widget = maker()
        return state(self).widget

    def createNewWidgetRepresentation(self: Any) -> Any:
        return state(self).make_widget()


@behaviour("qSlicerScriptedLoadableModule")
class ScriptedModule:
    defaults: ClassVar[dict[str, Any]] = {"extensions": (), "icon": None}


@behaviour("qSlicerWidget")
class SlicerWidget:
    def setMRMLScene(self: Any, scene: Any) -> None:
        state(self).scene = scene


@behaviour("qSlicerAbstractModuleWidget")
class ModuleWidget:
    defaults: ClassVar[dict[str, Any]] = {"isEntered": False}

    def module(self: Any) -> Any:
        return state(self).module

    def enter(self: Any) -> None:
        self.isEntered = True

    def exit(self: Any) -> None:
        self.isEntered = False


@behaviour("qSlicerScriptedLoadableModuleWidget")
class ScriptedModuleWidget:
    defaults: ClassVar[dict[str, Any]] = {"moduleName": ""}

    def self(this: Any) -> Any:
        return state(this).python

    def reload(self: Any) -> None:
        """A new Python panel in the same widget."""
        _fill_panel(self, self.moduleName)

    def enter(self: Any) -> None:
        self.isEntered = True
        call_if_present(state(self).python, "enter")

    def exit(self: Any) -> None:
        self.isEntered = False
        call_if_present(state(self).python, "exit")


@behaviour("qSlicerModuleManager")
class ModuleManager:
    def module(self: Any, name: str) -> Any:
        import slicer

        return getattr(slicer.modules, name.lower(), None)

    def modulesNames(self: Any) -> tuple[str, ...]:
        return tuple(entry["name"] for entry in load_index()["slicer_namespace"]["modules"]["attributes"].values())


@behaviour("qSlicerModuleSelectorToolBar")
class ModuleSelector:
    """Switches panels: exit() of the old one, enter() of the new one."""

    def _init(self: Any) -> None:
        state(self).selected = None

    def selectModule(self: Any, name: str) -> None:
        import slicer

        if state(self).selected is not None:
            state(self).selected.widgetRepresentation().exit()
        module = getattr(slicer.modules, name.lower())
        state(self).selected = module
        module.widgetRepresentation().enter()
        emit(self, "moduleSelected(QString)", name)

    def _get_selectedModule(self: Any) -> str:
        return state(self).selected.name if state(self).selected is not None else ""


class Modules:
    """`slicer.modules`: an attribute for each module; any other name raises AttributeError."""

    def __init__(self, logics: dict[str, Any]):
        self.__dict__["_logics"] = logics

    def __getattr__(self, name: str) -> Any:
        entry = load_index()["slicer_namespace"]["modules"]["attributes"].get(name)
        if entry is None:
            raise AttributeError(f"slicer.modules has no attribute {name!r}")
        module = (
            create("qSlicerLoadableModule", None)
            if entry["kind"] != "Scripted"
            else create("qSlicerScriptedLoadableModule", None)
        )
        module.name = module.title = entry["name"]
        if entry["name"] in self._logics:
            state(module).logic = self._logics[entry["name"]]
        self.__dict__[name] = module
        return module


def load_scripted_module(path: Path) -> Any:
    """Load a module as the application does: by path under its name, with its folder on sys.path.

    Returns the module's C++ object. Sets slicer.modules.<name> and <Name>Instance; <Name>Widget once the panel is made.
    """
    import slicer

    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    specification = importlib.util.spec_from_file_location(name, path)
    python_module = importlib.util.module_from_spec(specification)
    sys.modules[name] = python_module
    specification.loader.exec_module(python_module)
    module = create("qSlicerScriptedLoadableModule", None)
    module.name, module.path = name, str(path)
    setattr(slicer.modules, name.lower(), module)
    instance = getattr(python_module, name)(module)
    setattr(slicer.modules, f"{name}Instance", instance)
    if hasattr(python_module, f"{name}Widget"):
        state(module).make_widget = lambda: make_panel(name, module)
    call_if_present(instance, "setup")
    return module


def make_panel(name: str, module: Any) -> Any:
    """The panel of a scripted module, shown in a widget with a vertical layout."""
    host = create("qSlicerScriptedLoadableModuleWidget", None)
    qt.QVBoxLayout(host)
    host.moduleName = name
    state(host).module = module
    _fill_panel(host, name)
    return host


def _fill_panel(host: Any, name: str) -> None:
    import slicer

    widget = getattr(sys.modules[name], f"{name}Widget")(host)
    state(host).python = widget
    setattr(slicer.modules, f"{name}Widget", widget)
    call_if_present(widget, "setup")


def call_if_present(target: Any, name: str) -> None:
    """Call a method of a Python object if it has it; what it raises is printed and recorded."""
    method = getattr(target, name, None)
    if method is None:
        return
    try:
        method()
    except Exception as error:  # noqa: BLE001 - the application prints what a module raises and goes on
        RECORDER.record(f"{type(target).__name__}.{name}", error)
