"""`slicer.app`: behaviour of the application object, its extensions manager and its main window."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import slicer

from .pythonqt import dress
from .stand_ins import behaviour, state

qt = dress()
VERSION = (5, 12, 3)


@behaviour("qSlicerCoreApplication")
class CoreApplication:
    defaults: ClassVar[dict[str, Any]] = {
        "cachePath": "",
        "temporaryPath": "",
        "slicerHome": "",
        "extensionsInstallPath": "",
        "majorVersion": VERSION[0],
        "minorVersion": VERSION[1],
        "revision": "34000",
        "repositoryRevision": "",
        "os": "linux",
        "arch": "amd64",
        "platform": "linux-amd64",
        "isInstalled": True,
        "mainApplicationName": "Slicer",
        "mainApplicationMajorVersion": VERSION[0],
        "mainApplicationMinorVersion": VERSION[1],
        "mainApplicationPatchVersion": VERSION[2],
        "releaseType": "Stable",
        "startupWorkingPath": "",
        "launcherExecutableFilePath": "",
        "slicerUserSettingsFilePath": "",
        "slicerRevisionUserSettingsFilePath": "",
        "applicationLocaleName": "en_US",
        "intDir": "",
        "documentationBaseUrl": "https://slicer.readthedocs.io",
        "documentationVersion": "5.12",
        "documentationLanguage": "en",
    }

    def applicationLogic(self: Any) -> Any:
        return state(self).logic

    def mrmlScene(self: Any) -> Any:
        return slicer.mrmlScene

    def moduleManager(self: Any) -> Any:
        return state(self).module_manager

    def moduleLogic(self: Any, name: str) -> Any:
        return getattr(slicer.modules, name.lower()).logic()

    def extensionsManagerModel(self: Any) -> Any:
        return state(self).extensions

    def testingEnabled(self: Any) -> bool:
        return state(self).testing

    @staticmethod
    def processEvents(caller: Any = None) -> None:
        qt.QApplication.processEvents()

    def settings(self: Any) -> Any:
        return state(self).settings

    def userSettings(self: Any) -> Any:
        return state(self).settings

    def revisionUserSettings(self: Any) -> Any:
        return state(self).settings

    def startupEnvironment(self: Any) -> Any:
        """What the process had when it started, whatever Python has changed since."""
        return state(self).startup_environment

    def environment(self: Any) -> Any:
        """That of the start too: only `setEnvironmentVariable` adds to it."""
        return state(self).environment

    def setEnvironmentVariable(self: Any, key: str, value: str) -> None:
        os.environ[key] = value
        state(self).environment.insert(key, value)

    def pauseRender(self: Any) -> None:
        """Nothing is rendered by itself."""

    def resumeRender(self: Any) -> None:
        """Nothing is rendered by itself."""


@behaviour("qSlicerApplication")
class SlicerApplication:
    def layoutManager(self: Any) -> Any:
        return state(self).layout_manager

    def pauseRender(self: Any) -> None:
        """Nothing is rendered by itself."""

    def resumeRender(self: Any) -> None:
        """Nothing is rendered by itself."""

    def openExtensionsManagerDialog(self: Any) -> None:
        state(self).dialogs.tell("openExtensionsManagerDialog", "")

    def confirmRestart(self: Any, reason: str = "") -> bool:
        return state(self).dialogs.ask("confirmRestart", reason)

    def currentLogFile(self: Any) -> str:
        return ""


@behaviour("qSlicerExtensionsManagerModel")
class ExtensionsManagerModel:
    """Knows which extensions the test says are installed."""

    def _init(self: Any) -> None:
        state(self).installed = set()

    def isExtensionInstalled(self: Any, name: str) -> bool:
        return name in state(self).installed

    def _get_installedExtensions(self: Any) -> tuple[str, ...]:
        return tuple(sorted(state(self).installed))


@behaviour("qSlicerMainWindow")
class MainWindow:
    def moduleSelector(self: Any) -> Any:
        return state(self).selector
