"""The Python module `slicer.ScriptedLoadableModule`: bases of a module, its widget, logic and tests."""

from __future__ import annotations

import types
import unittest
from pathlib import Path
from typing import Any

from .pythonqt import dress


class ScriptedLoadableModule:
    """Describes a module to the application."""

    def __init__(self, parent: Any):
        self.parent = parent
        self.moduleName = type(self).__name__
        parent.title = ""
        parent.categories = []
        parent.dependencies = []
        parent.contributors = []
        parent.helpText = ""
        parent.acknowledgementText = ""
        for extension in ("svg", "png"):
            icon = Path(self.resourcePath(f"Icons/{self.moduleName}.{extension}"))
            if icon.is_file():
                parent.icon = dress().QIcon(str(icon))
                break

    def resourcePath(self, filename: str) -> str:
        """A file of the module's Resources folder."""
        return str(Path(self.parent.path).parent / "Resources" / filename)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        page = docPage or self.parent.defaultDocumentationLink
        return f'<p>For more information see the <a href="{page}">documentation</a>.</p>'

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        """Run the class <Module>Test of the module's file."""
        import importlib

        case = getattr(importlib.import_module(self.moduleName), f"{self.moduleName}Test")()
        case.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """The panel of a module."""

    def __init__(self, parent: Any = None):
        qt = dress()
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = False
        if parent is None:
            self.parent = qt.QFrame()
            self.parent.setLayout(qt.QVBoxLayout())
            self.layout = self.parent.layout()
            self.setup()
        else:
            self.parent = parent
            self.layout = parent.layout()

    def resourcePath(self, filename: str) -> str:
        import slicer

        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / filename)

    def setup(self) -> None:
        """Build the panel; derived classes extend it."""

    def cleanup(self) -> None:
        """The panel is about to go."""

    def setupDeveloperSection(self) -> None:
        """Only in developer mode, which the harness leaves off."""

    def onReload(self) -> None:
        import slicer

        slicer.util.reloadScriptedModule(self.moduleName)

    def onReloadAndTest(self, **kwargs: Any) -> None:
        self.onReload()
        self.onTest(**kwargs)

    def onTest(self, **kwargs: Any) -> None:
        import importlib

        getattr(importlib.import_module(self.moduleName), f"{self.moduleName}Test")().runTest(**kwargs)


class ScriptedLoadableModuleLogic:
    """The computing part of a module, with its parameter node."""

    def __init__(self, parent: Any = None):
        self.moduleName = type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def createParameterNode(self) -> Any:
        import slicer

        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetModuleName(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return node

    def getParameterNode(self) -> Any:
        import slicer

        nodes = self.getAllParameterNodes()
        return nodes[0] if nodes else slicer.mrmlScene.AddNode(self.createParameterNode())

    def getAllParameterNodes(self) -> list[Any]:
        import slicer

        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]


class ScriptedLoadableModuleTest(unittest.TestCase):
    """A test case that "Reload and Test" runs: every callable attribute whose name contains 'test'."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*(args or ("runTest",)), **kwargs)
        self.enableScreenshots = False
        self.screenshotScaleFactor = 1.0

    @property
    def moduleTestNames(self) -> list[str]:
        names = [name for name in dir(type(self)) if "test" in name and callable(getattr(type(self), name, None))]
        return [name for name in names if name not in ("runTest", "moduleTestNames")]

    def delayDisplay(self, message: str, requestedDelay: int | None = None, msec: int | None = None) -> None:
        print(message)

    def takeScreenshot(self, name: str, description: str, type: int = -1) -> None:
        """Screenshots need views that render."""

    def runTest(self) -> None:
        for name in self.moduleTestNames:
            getattr(self, name)()


def make_module() -> types.ModuleType:
    """The module as scripted modules import it: `from slicer.ScriptedLoadableModule import *`."""
    module = types.ModuleType("slicer.ScriptedLoadableModule")
    for cls in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ):
        setattr(module, cls.__name__, cls)
    return module
