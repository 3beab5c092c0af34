"""What the dump of the application and the index of its sources say of a class, together, and what neither says."""

from __future__ import annotations

from .api_index import ClassEntry, chain, class_entry, plain_qt_base
from .application_api import Kind, Members, members
from .pythonqt import Hidden, PropertyAttribute, dress
from .stand_ins import NEAREST_QT_CLASS

API_MODULES = ("qt", "ctk", "slicer", "slicer.modules", "slicer.util", "qSlicerSegmentationsEditorEffectsPythonQt")
# What methods, functions and attributes give, by the sources of 5.12: neither dump nor index has their types.
RETURNS = {
    "slicer.app": "qSlicerApplication",
    "slicer.util.mainWindow()": "qSlicerMainWindow",
    "qSlicerApplication.layoutManager": "qSlicerLayoutManager",
    "qSlicerApplication.mainWindow": "qSlicerMainWindow",
    "qSlicerApplication.settings": "QSettings",
    "qSlicerApplication.userSettings": "QSettings",
    "qSlicerApplication.revisionUserSettings": "QSettings",
    "qSlicerApplication.startupEnvironment": "QProcessEnvironment",
    "qSlicerApplication.environment": "QProcessEnvironment",
    "qSlicerApplication.moduleManager": "qSlicerModuleManager",
    "qSlicerLayoutManager.sliceWidget": "qMRMLSliceWidget",
    "qSlicerLayoutManager.threeDWidget": "qMRMLThreeDWidget",
    "qMRMLSliceWidget.sliceView": "qMRMLSliceView",
    "qMRMLSliceWidget.sliceController": "qMRMLSliceControllerWidget",
    "qMRMLThreeDWidget.threeDView": "qMRMLThreeDView",
    "qMRMLSegmentEditorWidget.activeEffect": "qSlicerSegmentEditorScriptedEffect",
    "qMRMLSegmentEditorWidget.effectByName": "qSlicerSegmentEditorScriptedEffect",
    "qSlicerSegmentEditorScriptedEffect.optionsFrame": "QFrame",
    "qSlicerSegmentEditorScriptedEffect.optionsLayout": "QFormLayout",
    "qSlicerMarkupsPlaceWidget.placeButton": "QToolButton",
    "slicer.modules.SegmentEditorWidget.editor": "qMRMLSegmentEditorWidget",
    "slicer.modules.segmenteditor": "qSlicerLoadableModule",
    "slicer.modules.markups": "qSlicerLoadableModule",
}


def is_api_class(module: str, name: str) -> bool:
    """True when a module of the application has a class of that name."""
    prefixes = {"qt": ("Q",), "ctk": ("ctk",)}.get(module, ("qMRML", "qSlicer"))
    return name.startswith(prefixes) and (members(name) is not None or class_entry(name) is not None)


def kind_of(cls: str, name: str) -> Kind | None:
    """What a name stands for on a class: by the dump; for a class that it lacks, by the index and the class below."""
    for entry in chain(cls):
        if members(entry.name) is None:
            kind = _kind_in_index(entry, name)
            if kind is not None:
                return kind
    known = _nearest_members(cls)
    return known.kind(name) if known is not None else None


def _nearest_members(cls: str) -> Members | None:
    """The members of the class, or of its nearest base that the dump has."""
    if class_entry(cls) is None:
        return members(cls)
    below = plain_qt_base(cls) or "QObject"
    names = [*(entry.name for entry in chain(cls)), NEAREST_QT_CLASS.get(below, below)]
    return next((known for known in map(members, names) if known is not None), None)


def _kind_in_index(entry: ClassEntry, name: str) -> Kind | None:
    tests: tuple[tuple[Kind, bool], ...] = (
        ("property", name in entry.properties),
        ("slot", name in entry.methods),
        ("signal", name in {signature.partition("(")[0] for signature in entry.signal_signatures}),
        ("enum value", name in entry.enum_values),
        ("enum", name in entry.enums),
    )
    return next((kind for kind, holds in tests if holds), None)


def refusal(cls: str, name: str) -> str | None:
    """Why the application refuses the assignment of an attribute; None when it does not."""
    kind = kind_of(cls, name)
    known = _nearest_members(cls)
    if kind is None:
        return "there is no such member"
    if kind != "property":
        return f"{'slot' if kind == 'function' else kind} cannot be assigned"
    in_dump = known is not None and known.kind(name) == "property"
    return "read-only property cannot be assigned" if in_dump and not known.is_writable(name) else None


def most_arguments(cls: str, method: str) -> int:
    """The largest number of arguments of a method; -1 when it is not known."""
    known = members(cls)
    return known.most_arguments(method) if known is not None else -1


def property_type(cls: str, name: str) -> str:
    """The class of a property's value, "" when it is a plain value or not known."""
    known = _nearest_members(cls)
    found = known.type_of(name) if known is not None and name in known.properties else ""
    return found if is_api_class("qt", found) else ""


def has_signal(cls: str, signature: str) -> bool:
    """True when a class has a signal of that normalised signature."""
    known = _nearest_members(cls)
    in_index = any(signature in entry.signal_signatures for entry in chain(cls) if members(entry.name) is None)
    return in_index or (known is not None and known.has_signal(signature))


def missing_in_qt_6(cls: str, name: str) -> bool:
    """True for a member of a class of Qt that the application (Qt 5) has and PySide6 (Qt 6) has not, or otherwise."""
    qt_class = getattr(dress(), cls, None)
    if not is_api_class("qt", cls):
        return False
    if qt_class is None:
        return True
    found = next((vars(base)[name] for base in qt_class.__mro__ if name in vars(base)), None)
    if kind_of(cls, name) == "property":
        return not isinstance(found, PropertyAttribute)
    if found is None:
        return not hasattr(qt_class, name) and not name.endswith("_") and name not in _OF_PYTHONQT
    return isinstance(found, Hidden)


_OF_PYTHONQT = frozenset({"connect", "disconnect", "className", "delete", "help", "raise", "exec", "print"})
