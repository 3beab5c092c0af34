"""The application: a fresh scene, `slicer.*` as its Python sees it, a Segment Editor, and an end that puts all back."""

from __future__ import annotations

import os
import stat
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import vtk

from . import dialogs as dialogs_module
from . import editor_widget, scripted_modules, segment_editor_effects, slice_views, widgets  # noqa: F401 - register behaviours
from .api_index import load_index
from .dialogs import Dialogs
from .gestures import UserActions
from .keys import install_main_window_actions
from .module_loading import MODULE_LOGICS, Modules, load_scripted_module
from .packaging import Packages
from .pythonqt import dress, forget_connections, hidden_function
from .recorder import RECORDER, SwallowedError
from .segment_editor_panel import SegmentEditorPanel, SubjectHierarchyItems
from .slicer_app import VERSION
from .stand_ins import create, emit, stand_in_class, state

qt = dress()
# Names that slicer-core puts into the namespace and the application does not.
_UTIL_NAMES = tuple(name for name in vars(slicer.util) if not name.startswith("_"))


class Application:
    """One run of the application. `close()` must be called; the pytest fixture does."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.errors: list[SwallowedError] = RECORDER.errors
        self.errors.clear()
        self.dialogs = Dialogs()
        self.packages = Packages(self.dialogs)
        self.actions = UserActions()
        self._saved_namespace = dict(vars(slicer))
        self._saved_util = dict(vars(slicer.util))
        self._saved_modules = {name: sys.modules.get(name) for name in self._python_modules()}
        self._modules_before = set(sys.modules)
        self._saved_path, self._saved_environment = list(sys.path), dict(os.environ)
        self._saved_excepthook, sys.excepthook = sys.excepthook, RECORDER.excepthook
        self._editors: list[Any] = []
        self._panels: list[SegmentEditorPanel] = []
        self.scene, self.logic, self._logics = _fresh_scene()
        self._subject_hierarchy = SubjectHierarchyItems(self.scene)
        self._install_namespace()
        self._make_windows()

    # Set-up

    def _python_modules(self) -> dict[str, types.ModuleType]:
        i18n = types.ModuleType("slicer.i18n")
        i18n.tr = lambda text: text
        i18n.translate = lambda context, text: text
        i18n.getContext = lambda sourceFile: Path(sourceFile).stem
        effects = types.ModuleType("qSlicerSegmentationsEditorEffectsPythonQt")
        for name in (
            "qSlicerSegmentEditorScriptedEffect",
            "qSlicerSegmentEditorAbstractEffect",
            "qSlicerSegmentEditorEffectFactory",
        ):
            setattr(effects, name, stand_in_class(name))
        ctk = types.ModuleType("ctk")
        ctk.__getattr__ = _stand_ins_named("ctk")  # type: ignore[method-assign]
        qt.QPixmapCache.clear()
        testing = types.ModuleType("slicer.testing")
        testing.exitSuccess = lambda: None
        testing.exitFailure = lambda message="": None
        return {
            "qt": qt,
            "ctk": ctk,
            "slicer.i18n": i18n,
            "slicer.packaging": self.packages.make_module(),
            "slicer.ScriptedLoadableModule": scripted_modules.make_module(),
            "slicer.testing": testing,
            "SegmentEditorEffects": segment_editor_effects.make_module(),
            "qSlicerSegmentationsEditorEffectsPythonQt": effects,
            "vtkSegmentationCorePython": slicer,
            "vtkSegmentationCore": slicer,
            "SampleData": _sample_data(),
        }

    def _install_namespace(self) -> None:
        for name in _UTIL_NAMES:
            if name in vars(slicer) and not name.startswith("vtk"):
                delattr(slicer, name)
        modules = self._python_modules()
        sys.modules.update(modules)
        for name, module in modules.items():
            if name.startswith("slicer."):
                setattr(slicer, name.removeprefix("slicer."), module)
        slicer.mrmlScene = self.scene
        slicer.modules = Modules(self._logics)
        slicer.moduleNames = types.SimpleNamespace(**{entry["name"]: entry["name"] for entry in _module_entries()})
        slicer.__getattr__ = _stand_ins_named("q")  # type: ignore[method-assign]
        self.app = self._make_app()
        slicer.app = self.app
        functions = dialogs_module.recorded_functions(slicer.util, self.dialogs)
        for name, function in functions.items():
            setattr(slicer.util, name, function)
        slicer.util.mainWindow = lambda: self.main_window
        slicer.util.forceRenderAllViews = lambda: None
        slicer.util.pip_install = lambda requirements, **rest: self.packages.pip_install(requirements)
        slicer.util.pip_uninstall = lambda requirements, **rest: self.packages.pip_uninstall(requirements)
        slicer.util.loadVolume = self._load_volume
        dialogs_module.patch_modal_dialogs(lambda: state(slicer.app).dialogs)

    def _make_app(self) -> Any:
        existing = qt.QApplication.instance()
        if existing is not None and type(existing).__name__ != "qSlicerApplication":
            hidden_function(type(existing), "shutdown")(existing)
            existing = None
        app = existing or create("qSlicerApplication", ["Slicer"])
        memory = state(app)
        memory.properties.clear()
        memory.handlers.clear()
        memory.logic, memory.testing, memory.dialogs = self.logic, False, self.dialogs
        memory.startup_environment = qt.QProcessEnvironment.systemEnvironment()
        memory.environment = qt.QProcessEnvironment.systemEnvironment()
        memory.settings = qt.QSettings(str(self.folder / "Slicer.ini"), qt.QSettings.IniFormat)
        memory.module_manager = create("qSlicerModuleManager", None)
        memory.extensions = create("qSlicerExtensionsManagerModel", None)
        memory.layout_manager = create("qSlicerLayoutManager", None)
        type(app).harness_effect_factory = create("qSlicerSegmentEditorEffectFactory")
        app.applicationName, app.organizationName, app.applicationVersion = (
            "Slicer",
            "slicer.org",
            ".".join(map(str, VERSION)),
        )
        for name in ("cachePath", "temporaryPath", "slicerHome", "extensionsInstallPath"):
            (self.folder / name).mkdir(exist_ok=True)
            setattr(app, name, str(self.folder / name))
        self._make_python_slicer(Path(app.slicerHome) / "bin")
        return app

    def _make_python_slicer(self, folder: Path) -> None:
        """The interpreter that the application brings, first on PATH."""
        folder.mkdir(exist_ok=True)
        launcher = folder / "PythonSlicer"
        launcher.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"

    def _make_windows(self) -> None:
        self.layout_manager = self.app.layoutManager()
        self.layout_manager.harness_set_up(self.logic, self.scene)
        self.main_window = create("qSlicerAppMainWindow", None)
        state(self.main_window).selector = create("qSlicerModuleSelectorToolBar", None)
        central = qt.QWidget()
        row = qt.QHBoxLayout(central)
        self._panel_area = qt.QScrollArea()
        self._panel_area.widgetResizable = True
        self._panel_area.setFixedWidth(520)
        row.addWidget(self._panel_area)
        for name in self.layout_manager.sliceViewNames():
            row.addWidget(self.layout_manager.sliceWidget(name))
        self.main_window.setCentralWidget(central)
        self.main_window.resize(1600, 900)
        install_main_window_actions(self.main_window)
        self.main_window.show()
        segment_editor = slicer.modules.segmenteditor
        state(segment_editor).make_widget = self._make_segment_editor_panel
        self.app.processEvents()

    def _make_segment_editor_panel(self) -> Any:
        panel = SegmentEditorPanel(self.scene)
        slicer.modules.SegmentEditorWidget = panel
        self._editors.append(panel.editor)
        self._panels.append(panel)
        return panel.host

    def _load_volume(self, filename: str, properties: dict[str, Any] | None = None, returnNode: bool = False) -> Any:
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(str(filename))
        node = self.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", Path(filename).stem)
        if not storage.ReadData(node):
            self.scene.RemoveNode(node)
            raise RuntimeError(f"Failed to load node from file: {filename}")
        node.CreateDefaultDisplayNodes()
        return node

    # For tests

    def view(self, name: str = "Red") -> Any:
        """A slice widget by name: Red is axial, Green coronal, Yellow sagittal."""
        return self.layout_manager.sliceWidget(name)

    def load_module(self, path: Path) -> Any:
        """Load a scripted module from its file, before or after start-up."""
        return load_scripted_module(Path(path))

    def finish_startup(self) -> None:
        """Fire startupCompleted, as the application does once after all modules are loaded."""
        emit(self.app, "startupCompleted()")

    def open_segment_editor(self) -> Any:
        """Switch to the Segment Editor module; returns its qMRMLSegmentEditorWidget."""
        slicer.util.selectModule("SegmentEditor")
        host = slicer.modules.segmenteditor.widgetRepresentation()
        self._panel_area.setWidget(host)
        host.show()
        return slicer.modules.SegmentEditorWidget.editor

    def new_editor(self) -> Any:
        """An editor widget of its own, as other modules embed it; with no nodes set."""
        editor = slicer.qMRMLSegmentEditorWidget()
        self._editors.append(editor)
        return editor

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Let the event loop run until a condition holds; TimeoutError otherwise."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"still false after {timeout_s} s: {condition}")
            self.app.processEvents()
            time.sleep(0.005)

    def close(self) -> None:
        """Close the scene and the windows, and give back every name that was taken."""
        emit_about_to_quit(self.app)
        for panel in self._panels:
            panel.stop_observing()
        for editor in self._editors:
            editor.harness_close()
        self._subject_hierarchy.stop()
        for name in list(self.layout_manager.sliceViewNames()):
            self.layout_manager.sliceWidget(name).harness_close()
        self.main_window.close()
        self.main_window.delete()
        self.app.processEvents()
        self.scene.Clear(1)
        sys.excepthook = self._saved_excepthook
        sys.path[:] = self._saved_path
        os.environ.clear()
        os.environ.update(self._saved_environment)
        _restore(vars(slicer), self._saved_namespace)
        _restore(vars(slicer.util), self._saved_util)
        for name in set(sys.modules) - self._modules_before:
            if _came_from_the_extension(name):
                _forget_module(name)
        for name, module in self._saved_modules.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
        forget_connections()


def emit_about_to_quit(app: Any) -> None:
    """Call what is connected to aboutToQuit; the process itself goes on."""
    app.aboutToQuit.emit()


def _fresh_scene() -> tuple[Any, Any, dict[str, Any]]:
    """A scene with the application's logics. What they say about absent resource files is muted."""
    scene, logic = slicer.vtkMRMLScene(), slicer.vtkMRMLApplicationLogic()
    logic.SetMRMLScene(scene)
    shown = vtk.vtkObject.GetGlobalWarningDisplay()
    vtk.vtkObject.GlobalWarningDisplayOff()
    logics = {}
    for module, class_name in MODULE_LOGICS.items():
        logics[module] = getattr(slicer, class_name)()
        logics[module].SetMRMLApplicationLogic(logic)
        logics[module].SetMRMLScene(scene)
        logic.SetModuleLogic(module, logics[module])
    logic.SetColorLogic(logics["Colors"])
    vtk.vtkObject.SetGlobalWarningDisplay(shown)
    return scene, logic, logics


def _stand_ins_named(prefix: str) -> Callable[[str], Any]:
    """Module-level __getattr__ that offers the classes of the index whose name starts with a prefix."""

    def get(name: str) -> Any:
        if name.startswith(prefix) and name in load_index()["qt_classes"]:
            return stand_in_class(name)
        raise AttributeError(f"the application has no {name!r} here")

    return get


def _module_entries() -> list[dict[str, str]]:
    return list(load_index()["slicer_namespace"]["modules"]["attributes"].values())


def _sample_data() -> types.ModuleType:
    """`SampleData`: registrations are recorded; nothing is downloaded."""
    module = types.ModuleType("SampleData")

    class SampleDataLogic:
        registered: list[dict[str, Any]] = []  # noqa: RUF012 - one list for the class, as registrations are static

        @staticmethod
        def registerCustomSampleDataSource(  # noqa: PLR0917 - the parameters of the real function
            category: str = "Custom",
            sampleName: str | None = None,
            uris: Any = None,
            fileNames: Any = None,
            nodeNames: Any = None,
            customDownloader: Any = None,
            thumbnailFileName: Any = None,
            loadFileTypes: Any = "VolumeFile",
            loadFiles: Any = None,
            loadFileProperties: Any = None,
            checksums: Any = None,
        ) -> None:
            SampleDataLogic.registered.append({"category": category, "sampleName": sampleName, "uris": uris})

    module.SampleDataLogic = SampleDataLogic
    return module


def _restore(namespace: dict[str, Any], saved: dict[str, Any]) -> None:
    for name in set(namespace) - set(saved):
        del namespace[name]
    namespace.update(saved)


def _forget_module(name: str) -> None:
    """Also in its package: `from package import name` takes the attribute before it looks into sys.modules."""
    module = sys.modules.pop(name)
    package, _, short = name.rpartition(".")
    if getattr(sys.modules.get(package), short, None) is module:
        delattr(sys.modules[package], short)


def _came_from_the_extension(name: str) -> bool:
    return (
        name in ("MedSAMSegment", "MedSAMSegmentEffect")
        or name.startswith("MedSAMSegmentEffect.")
        or name.startswith(("MedSAMSegmentLib.ui", "MedSAMSegmentScenarios."))
    )
