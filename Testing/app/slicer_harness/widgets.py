"""Behaviour of the CTK and MRML widgets that a panel is made of."""

from __future__ import annotations

from typing import Any, ClassVar

from .pythonqt import dress
from .stand_ins import behaviour, emit, state

qt = dress()


@behaviour("ctkCollapsibleButton")
class CollapsibleButton:
    """A header that folds the widgets laid out below it."""

    HEADER = 24
    defaults: ClassVar[dict[str, Any]] = {
        "flat": False,
        "contentsLineWidth": 1,
        "contentsMidLineWidth": 0,
        "collapsedHeight": 14,
        "collapsed": False,
    }

    def _init(self: Any) -> None:
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(qt.QSizePolicy.Preferred, qt.QSizePolicy.Preferred)
        self.setContentsMargins(2, CollapsibleButton.HEADER, 2, 2)
        self.connect("toggled(bool)", self._on_toggled)

    def _get_collapsed(self: Any) -> bool:
        return not self.isChecked()

    def _set_collapsed(self: Any, collapsed: bool) -> None:
        self.setChecked(not collapsed)

    def _on_toggled(self: Any, opened: bool) -> None:
        for child in self.findChildren(qt.QWidget):
            if child.parent() is self:
                child.setVisible(opened)
        self.setMaximumHeight(16777215 if opened else CollapsibleButton.HEADER + 2)
        emit(self, "contentsCollapsed(bool)", not opened)

    def paintEvent(self: Any, event: Any) -> None:
        painter = qt.QPainter(self)
        painter.setPen(self.palette.color(qt.QPalette.ButtonText))
        painter.drawRect(0, 0, self.width - 1, self.height - 1)
        arrow = "▾" if self.isChecked() else "▸"
        painter.drawText(6, CollapsibleButton.HEADER - 8, f"{arrow} {self.text}")
        painter.end()

    def sizeHint(self: Any) -> Any:
        layout = self.layout()
        inner = layout.sizeHint() if layout is not None and self.isChecked() else qt.QSize(80, 0)
        return qt.QSize(inner.width(), max(inner.height(), CollapsibleButton.HEADER + 2))


@behaviour("ctkCollapsibleGroupBox")
class CollapsibleGroupBox:
    defaults: ClassVar[dict[str, Any]] = {"collapsedHeight": 14}

    def _init(self: Any) -> None:
        self.setCheckable(True)

    def _get_collapsed(self: Any) -> bool:
        return not self.isChecked()

    def _set_collapsed(self: Any, collapsed: bool) -> None:
        self.setChecked(not collapsed)
        for child in self.findChildren(qt.QWidget):
            child.setVisible(not collapsed)


@behaviour("ctkComboBox")
class ComboBox:
    defaults: ClassVar[dict[str, Any]] = {
        "defaultText": "",
        "forceDefault": False,
        "elideMode": qt.Qt.ElideNone,
        "scrollWheelEffect": 0,
    }

    def _get_currentUserDataAsString(self: Any) -> str:
        return str(self.itemData(self.currentIndex) or "")

    def _set_currentUserDataAsString(self: Any, text: str) -> None:
        self.setCurrentIndex(self.findData(text))


@behaviour("ctkPathLineEdit")
class PathLineEdit:
    """A line with a path and a browse button. `currentPath` is its user property."""

    defaults: ClassVar[dict[str, Any]] = {
        "filters": 0,
        "label": "",
        "nameFilters": (),
        "options": 0,
        "settingKey": "",
        "showBrowseButton": True,
        "showHistoryButton": True,
        "minimumContentsLength": 0,
    }
    enum_numbers: ClassVar[dict[str, Any]] = {
        "Dirs": 0x1,
        "Files": 0x2,
        "Drives": 0x4,
        "NoSymLinks": 0x8,
        "AllEntries": 0x7,
        "Readable": 0x10,
        "Writable": 0x20,
        "Executable": 0x40,
        "Modified": 0x80,
        "Hidden": 0x100,
        "System": 0x200,
        "AllDirs": 0x400,
        "NoDot": 0x2000,
        "NoDotDot": 0x4000,
        "NoDotAndDotDot": 0x6000,
    }

    def _init(self: Any) -> None:
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        state(self).combo = qt.QComboBox(self)
        state(self).combo.setEditable(True)
        layout.addWidget(state(self).combo)
        layout.addWidget(qt.QPushButton("...", self))
        state(self).combo.connect(
            "editTextChanged(QString)", lambda path: emit(self, "currentPathChanged(QString)", path)
        )

    def _get_currentPath(self: Any) -> str:
        return state(self).combo.currentText

    def _set_currentPath(self: Any, path: str) -> None:
        state(self).combo.setEditText(path)

    def comboBox(self: Any) -> Any:
        return state(self).combo

    def addCurrentPathToHistory(self: Any) -> None:
        state(self).combo.addItem(state(self).combo.currentText)

    def retrieveHistory(self: Any) -> None:
        """Nothing was chosen before in a fresh application."""


@behaviour("ctkDirectoryButton")
class DirectoryButton:
    defaults: ClassVar[dict[str, Any]] = {"directory": ".", "caption": "", "acceptMode": 0, "options": 0}

    def _set_directory(self: Any, directory: str) -> None:
        emit(self, "directoryChanged(QString)", directory)


@behaviour("ctkSliderWidget")
class SliderWidget:
    """A slider with a spin box; values are floats."""

    defaults: ClassVar[dict[str, Any]] = {
        "minimum": 0.0,
        "maximum": 99.0,
        "singleStep": 1.0,
        "pageStep": 10.0,
        "decimals": 0,
        "prefix": "",
        "suffix": "",
        "tracking": True,
        "spinBoxVisible": True,
        "tickInterval": 0.0,
    }

    def _init(self: Any) -> None:
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        state(self).value = 0.0
        state(self).slider = qt.QSlider(qt.Qt.Horizontal, self)
        state(self).spin = qt.QDoubleSpinBox(self)
        layout.addWidget(state(self).slider)
        layout.addWidget(state(self).spin)

    def _get_value(self: Any) -> float:
        return state(self).value

    def _set_value(self: Any, value: float) -> None:
        value = min(max(float(value), self.minimum), self.maximum)
        if value != state(self).value:
            state(self).value = value
            state(self).spin.setRange(self.minimum, self.maximum)
            state(self).spin.setValue(value)
            emit(self, "valueChanged(double)", value)


@behaviour("ctkRangeWidget")
class RangeWidget:
    defaults: ClassVar[dict[str, Any]] = {
        "minimum": 0.0,
        "maximum": 99.0,
        "minimumValue": 0.0,
        "maximumValue": 99.0,
        "singleStep": 1.0,
        "decimals": 2,
        "prefix": "",
        "suffix": "",
        "tracking": True,
    }

    def setRange(self: Any, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = float(minimum), float(maximum)

    def setValues(self: Any, low: float, high: float) -> None:
        self.minimumValue, self.maximumValue = float(low), float(high)
        emit(self, "valuesChanged(double,double)", float(low), float(high))

    def _set_minimumValue(self: Any, value: float) -> None:
        emit(self, "minimumValueChanged(double)", value)

    def _set_maximumValue(self: Any, value: float) -> None:
        emit(self, "maximumValueChanged(double)", value)


@behaviour("ctkFittedTextBrowser")
class FittedTextBrowser:
    """Shows a text up to its first break, with a link to the rest; expanded, without that break.

    A break is a `<br>` in a text with `<html>`, a line feed in another one.
    """

    defaults: ClassVar[dict[str, Any]] = {
        "collapsed": True,
        "showDetailsText": "Show details...",
        "hideDetailsText": "Hide details.",
    }

    def _init(self: Any) -> None:
        state(self).text = ""

    def collapsibleText(self: Any) -> str:
        return state(self).text

    def setCollapsibleText(self: Any, text: str) -> None:
        state(self).text = text
        self._show_text()

    def _set_collapsed(self: Any, _collapsed: bool) -> None:
        self._show_text()

    def _show_text(self: Any) -> None:
        text = state(self).text
        teaser, line_break, rest = text.partition("<br>" if "<html>" in text else "\n")
        rest = rest.replace("\n", " " if "<html>" in text else "<br>")
        if not line_break:
            self.setHtml(teaser)
        elif self.collapsed:
            self.setHtml(f'{teaser}&hellip; <a href="#show_details">{self.showDetailsText}</a>')
        else:
            self.setHtml(f'{teaser}{rest} <a href="#hide_details">{self.hideDetailsText}</a>')


@behaviour("ctkMessageBox")
class MessageBox:
    """A message box with a 'do not show again' setting."""

    defaults: ClassVar[dict[str, Any]] = {
        "dontShowAgain": False,
        "dontShowAgainSettingsKey": "",
        "dontShowAgainVisible": False,
    }


@behaviour("qMRMLWidget")
class MRMLWidget:
    def mrmlScene(self: Any) -> Any:
        return getattr(state(self), "scene", None)

    def setMRMLScene(self: Any, scene: Any) -> None:
        state(self).scene = scene
        if "mrmlSceneChanged(vtkMRMLScene*)" in type(self).harness_signals:
            emit(self, "mrmlSceneChanged(vtkMRMLScene*)", scene)


@behaviour("qMRMLNodeComboBox")
class NodeComboBox:
    """A list of the scene's nodes of some classes. Not followed: changes of the scene while a node is selected."""

    defaults: ClassVar[dict[str, Any]] = {
        "nodeTypes": (),
        "addEnabled": True,
        "removeEnabled": True,
        "editEnabled": False,
        "renameEnabled": False,
        "noneEnabled": False,
        "noneDisplay": "None",
        "showHidden": False,
        "showChildNodeTypes": True,
        "baseName": "",
        "selectNodeUponCreation": True,
        "hideChildNodeTypes": (),
        "interactionNodeSingletonTag": "",
        "sizeAdjustPolicy": 0,
    }

    def _init(self: Any) -> None:
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        state(self).scene, state(self).node, state(self).attributes = None, None, []
        state(self).combo = qt.QComboBox(self)
        layout.addWidget(state(self).combo)

    def mrmlScene(self: Any) -> Any:
        return state(self).scene

    def setMRMLScene(self: Any, scene: Any) -> None:
        state(self).scene = scene
        nodes = self._nodes()
        if scene is not None and nodes and not self.noneEnabled and state(self).node is None:
            self.setCurrentNode(nodes[0])

    def _nodes(self: Any) -> list[Any]:
        scene = state(self).scene
        if scene is None:
            return []
        nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
        return [
            node
            for node in nodes
            if any(node.IsA(kind) for kind in self.nodeTypes) and (self.showHidden or not node.GetHideFromEditors())
        ]

    def nodeCount(self: Any) -> int:
        return len(self._nodes())

    def nodeFromIndex(self: Any, index: int) -> Any:
        return self._nodes()[index]

    def currentNode(self: Any) -> Any:
        return state(self).node

    def currentNodeId(self: Any) -> str:
        return state(self).node.GetID() if state(self).node is not None else ""

    def _get_currentNodeID(self: Any) -> str:
        return state(self).node.GetID() if state(self).node is not None else ""

    def _set_currentNodeID(self: Any, identifier: str) -> None:
        self.setCurrentNodeID(identifier)

    def setCurrentNodeID(self: Any, identifier: str) -> None:
        self.setCurrentNode(state(self).scene.GetNodeByID(identifier) if identifier else None)

    def setCurrentNodeIndex(self: Any, index: int) -> None:
        self.setCurrentNode(self._nodes()[index])

    def setCurrentNode(self: Any, node: Any) -> None:
        if isinstance(node, str):
            node = state(self).scene.GetNodeByID(node)
        if node is state(self).node:
            return
        state(self).node = node
        state(self).combo.clear()
        state(self).combo.addItem(node.GetName() if node is not None else self.noneDisplay)
        emit(self, "currentNodeChanged(vtkMRMLNode*)", node)
        emit(self, "currentNodeChanged(bool)", node is not None)
        emit(self, "currentNodeIDChanged(QString)", node.GetID() if node is not None else "")

    def addAttribute(self: Any, node_type: str, name: str, value: Any = None) -> None:
        state(self).attributes.append((node_type, name, value))

    def removeAttribute(self: Any, node_type: str, name: str) -> None:
        state(self).attributes = [entry for entry in state(self).attributes if entry[:2] != (node_type, name)]

    def addNode(self: Any, node_type: str = "") -> Any:
        node = state(self).scene.AddNewNodeByClass(node_type or self.nodeTypes[0], self.baseName)
        self.setCurrentNode(node)
        return node


@behaviour("qSlicerMarkupsPlaceWidget")
class MarkupsPlaceWidget:
    """Switches the interaction mode to Place for its node, as the real one does through the selection node."""

    defaults: ClassVar[dict[str, Any]] = {
        "buttonsVisible": True,
        "deleteAllControlPointsOptionVisible": True,
        "placeMultipleMarkups": 0,
    }

    def _init(self: Any) -> None:
        state(self).scene, state(self).node = None, None
        state(self).place, state(self).delete = qt.QToolButton(self), qt.QToolButton(self)
        state(self).persistent = False

    def setMRMLScene(self: Any, scene: Any) -> None:
        state(self).scene = scene

    def currentNode(self: Any) -> Any:
        return state(self).node

    def setCurrentNode(self: Any, node: Any) -> None:
        state(self).node = node

    def placeButton(self: Any) -> Any:
        return state(self).place

    def deleteButton(self: Any) -> Any:
        return state(self).delete

    def _interaction(self: Any) -> Any:
        return state(self).scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")

    def _get_placeModeEnabled(self: Any) -> bool:
        return (
            state(self).node is not None
            and self._interaction().GetCurrentInteractionMode() == self._interaction().Place
        )

    def _set_placeModeEnabled(self: Any, enabled: bool) -> None:
        self.setPlaceModeEnabled(enabled)

    def setPlaceModeEnabled(self: Any, enabled: bool) -> None:
        interaction = self._interaction()
        if enabled:
            selection = state(self).scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
            selection.SetReferenceActivePlaceNodeClassName(state(self).node.GetClassName())
            selection.SetActivePlaceNodeID(state(self).node.GetID())
            interaction.SetPlaceModePersistence(int(state(self).persistent))
        interaction.SetCurrentInteractionMode(interaction.Place if enabled else interaction.ViewTransform)
        emit(self, "activeMarkupsPlaceModeChanged(bool)", enabled)

    def setPlaceModePersistency(self: Any, persistent: bool) -> None:
        state(self).persistent = persistent
