"""Dress PySide6 as PythonQt, the binding that Slicer uses.

PythonQt differs from PySide6 in what reads alike: a Qt property is an attribute (`button.text`, not `button.text()`),
signals are connected by their signature (`button.connect("clicked()", f)`), a wrapped object accepts no attribute that
its C++ class lacks, and a destroyed object raises ValueError. The classes of PySide6 themselves are dressed, so that
objects made by Qt (`combo.lineEdit()`, `layout.itemAt(0)`) behave alike; that cannot be undone, and everything of this
process that uses Qt uses it in this dress.

What a name stands for is what it stands for in the running application (`application_api`): a property, and whether it
can be assigned, a slot, a signal, or nothing. What only PySide6 has is hidden, and what only the application has (Qt 5)
is not added: a name can be used here when it works with both releases of Qt.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import shiboken6
from PySide6 import QtCore, QtGui, QtNetwork, QtPrintSupport, QtSvg, QtUiTools, QtWidgets, QtXml
from shibokensupport.signature import get_signature  # noqa: F401 - made by the import of PySide6, used by others

from .application_api import Members, members

if sys.version_info < (3, 12):
    # PySide6 6.12 relies on the immortal constants of Python 3.12: on 3.11 each method that returns None takes a
    # reference of None away, until the interpreter aborts. A reference count out of reach makes them immortal here too.
    for constant in (None, True, False, (), "", b"", *range(-5, 257)):
        ctypes.c_ssize_t.from_address(id(constant)).value += 1 << 40

QT_MODULES = (QtCore, QtGui, QtWidgets, QtNetwork, QtSvg, QtPrintSupport, QtXml, QtUiTools)
# Names of PySide6 that PythonQt does not offer, or under another form.
NOT_IN_PYTHONQT = frozenset({"QEnum", "QFlag", "QtMsgType", "QFunctionPointer"})
# What PySide6 itself looks up on its classes.
_NEEDED_BY_PYSIDE = frozenset({"staticMetaObject", "connectNotify", "disconnectNotify", "receivers"})

_qobject_getattribute = QtCore.QObject.__getattribute__
_qobject_connect = QtCore.QObject.connect
_qobject_disconnect = QtCore.QObject.disconnect
_native_classes: set[type] = set()
_connections: dict[tuple[int, str], list[tuple[Callable[..., Any], Any]]] = {}


def register_native_class(cls: type) -> None:
    """Treat instances of a stand-in class as wrapped C++ objects: no attribute outside the class can be set."""
    _native_classes.add(cls)


def is_native_class(cls: type) -> bool:
    """True for a class of Qt or a stand-in of Slicer's; False for a class derived from them in Python."""
    return cls in _native_classes


class PropertyAttribute:
    """A Qt property as a PythonQt attribute. Read on the class it gives the method of that name, if there is one."""

    def __init__(
        self, name: str, getter: Callable[[Any], Any], setter: Callable[[Any, Any], Any] | None, on_class: Any
    ):
        self.name = name
        self._getter = getter
        self._setter = setter
        self._on_class = on_class

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is not None:
            return self._getter(instance)
        if self._on_class is None:
            return self
        return self._on_class.__get__(None, owner) if hasattr(self._on_class, "__get__") else self._on_class

    def __set__(self, instance: Any, value: Any) -> None:
        if self._setter is None:
            raise AttributeError(f"Property '{self.name}' of {class_name(instance)} object is not writable")
        self._setter(instance, value)


class Hidden:
    """What PySide6 has and the application lacks. A class derived in Python may have an attribute of that name."""

    def __init__(self, name: str, original: Any):
        self.name = name
        self.original = original

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        cls = owner if instance is None else type(instance)
        error = AttributeError(f"{getattr(cls, '__name__', cls)} has no attribute named {self.name!r}")
        if _is_named_by_the_caller(self.name):
            raise error
        return _Missing(error)


class _Missing:
    """What C++ finds when it looks for an override in Python of a virtual function: no method, and of no use."""

    def __init__(self, error: AttributeError):
        object.__setattr__(self, "error", error)

    def __getattr__(self, name: str) -> Any:
        raise self.error

    def __setattr__(self, name: str, value: Any) -> None:
        raise self.error

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        raise self.error


def _is_named_by_the_caller(name: str) -> bool:
    """True when Python code asks for an attribute; C++, while it runs, asks for virtual functions of its objects."""
    frame = sys._getframe(1)
    while frame.f_globals["__name__"] in (__name__, functools.__name__) and frame.f_back is not None:
        frame = frame.f_back
    return name in frame.f_code.co_names or name in frame.f_code.co_consts or _holds(frame.f_locals, name)


def _holds(values: Mapping[str, Any], name: str) -> bool:
    return any(isinstance(value, str) and value == name for value in values.values())


def hidden_function(cls: type, name: str) -> Any:
    """A function of PySide6 that the application lacks, for the harness itself."""
    found = _lookup(cls, name)
    return found.original if isinstance(found, Hidden) else getattr(cls, name)


@functools.cache
def dress() -> types.ModuleType:
    """Dress the classes of PySide6, once a process, and return the module that stands for `qt`."""
    for cls in _value_classes():
        _hide_what_the_application_lacks(cls)
    for cls in _qobject_classes():
        register_native_class(cls)
        _turn_properties_into_attributes(cls)
        _hide_what_the_application_lacks(cls)
        _close(cls)
        if issubclass(cls, QtWidgets.QDialog) or "exec" in cls.__dict__:
            _add_exec(cls)
    return _qt_module()


def _qobject_classes() -> Iterator[type]:
    """Every class of Qt that derives from QObject, bases first."""
    seen: set[type] = set()
    for module in QT_MODULES:
        for name in dir(module):
            cls = getattr(module, name)
            if isinstance(cls, type) and issubclass(cls, QtCore.QObject):
                seen.update(base for base in cls.__mro__ if issubclass(base, QtCore.QObject))
    yield from sorted(seen, key=lambda cls: len(cls.__mro__))


def _value_classes() -> Iterator[type]:
    """Every other class of Qt that the application has."""
    for module in QT_MODULES:
        for name in dir(module):
            cls = getattr(module, name)
            if isinstance(cls, type) and not issubclass(cls, QtCore.QObject) and members(name) is not None:
                yield cls


def _hide_what_the_application_lacks(cls: type) -> None:
    """Hide the functions that PySide6 adds. Its enums and constants stay: its texts of signatures name them."""
    known = members(cls.__name__)
    if known is None:
        return
    for name, value in list(vars(cls).items()):
        if name.startswith("__") or name in _NEEDED_BY_PYSIDE or isinstance(value, (type, Hidden)):
            continue
        is_function = callable(value) or isinstance(value, (staticmethod, classmethod, PropertyAttribute))
        if is_function and known.kind(name) is None:
            setattr(cls, name, Hidden(name, value))


def _turn_properties_into_attributes(cls: type) -> None:
    meta = cls.staticMetaObject
    known = members(cls.__name__)
    for index in range(meta.propertyCount()):
        name = meta.property(index).name()
        own = cls.__dict__.get(name)
        inherited = index < meta.propertyOffset()
        if (inherited and own is None) or isinstance(own, (PropertyAttribute, QtCore.Signal)):
            continue
        if known is not None and known.kind(name) != "property":
            continue
        writable = meta.property(index).isWritable() and (known is None or known.is_writable(name))
        setattr(cls, name, _property_attribute(cls, name, own, writable))


def _property_attribute(cls: type, name: str, own: Any, writable: bool) -> PropertyAttribute:
    capital = name[0].upper() + name[1:]
    setter = _method_of_instances(_lookup(cls, f"set{capital}")) if writable else None
    getter = _method_of_instances(own) or _method_of_instances(_lookup(cls, f"is{capital}"))

    def read(instance: Any) -> Any:
        if getter is None:
            return QtCore.QObject.property(instance, name)
        return getter(instance)

    def write(instance: Any, value: Any) -> None:
        if setter is None:
            QtCore.QObject.setProperty(instance, name, value)
        else:
            setter(instance, value)

    return PropertyAttribute(name, read, write if writable else None, own)


def _method_of_instances(candidate: Any) -> Any:
    """The method, or None when it is static."""
    return None if isinstance(candidate, (staticmethod, types.BuiltinFunctionType)) else candidate


def _lookup(cls: type, name: str) -> Any:
    return next((base.__dict__[name] for base in cls.__mro__ if name in base.__dict__), None)


def _close(cls: type) -> None:
    if "__setattr__" in cls.__dict__ or cls is QtCore.QObject:
        cls.__setattr__ = _set_attribute
    if "__getattribute__" in cls.__dict__ or cls is QtCore.QObject:
        cls.__getattribute__ = functools.partialmethod(_get_attribute, original=cls.__getattribute__).__get__(None, cls)


def _get_attribute(self: Any, name: str, *, original: Any = _qobject_getattribute) -> Any:
    if name.startswith("__"):
        return original(self, name)
    if not shiboken6.isValid(self):
        raise ValueError(f"trying to use {name!r} of a destroyed {type(self).__name__} object")
    extra = _EXTRA_METHODS.get(name)
    if extra is not None and not _defined_in_python(type(self), name):
        return types.MethodType(extra, self)
    if name == "name" and _lookup(type(self), "name") is None:
        return original(self, "objectName")
    try:
        return original(self, name)
    except AttributeError:
        if name.encode() in [bytes(dynamic) for dynamic in QtCore.QObject.dynamicPropertyNames(self)]:
            return QtCore.QObject.property(self, name)
        raise


def _defined_in_python(cls: type, name: str) -> bool:
    return any(
        name in base.__dict__
        for base in cls.__mro__
        if not is_native_class(base) and base is not object and not base.__module__.startswith("Shiboken")
    )


def _set_attribute(self: Any, name: str, value: Any) -> None:
    attribute = _lookup(type(self), name)
    if name == "name" and attribute is None:
        name, attribute = "objectName", _lookup(type(self), "objectName")
    if hasattr(type(attribute), "__set__"):
        if not shiboken6.isValid(self):
            raise AttributeError(f"Trying to set property '{name}' on a destroyed {class_name(self)} object")
        attribute.__set__(self, value)
        return
    known = _members_of(self)
    if known is not None and known.kind(name) is not None:
        # Also for a class derived in Python, whatever it defines under that name.
        raise AttributeError(known.refusal(name))
    if shiboken6.isValid(self) and name.encode() in [bytes(one) for one in QtCore.QObject.dynamicPropertyNames(self)]:
        QtCore.QObject.setProperty(self, name, value)
    elif not is_native_class(type(self)):
        _qobject_getattribute(self, "__dict__")[name] = value
    elif attribute is not None and not isinstance(attribute, Hidden):
        raise AttributeError(f"Slot '{name}' can not be overwritten on {class_name(self)} object")
    else:
        raise AttributeError(
            f"'{name}' does not exist on {class_name(self)} and creating new attributes on C++ objects is not allowed"
        )


def _members_of(instance: Any) -> Members | None:
    """What the application knows of the nearest class of Qt or Slicer."""
    return members(class_name(instance))


def class_name(self: QtCore.QObject) -> str:
    """Name of the C++ class, also for an object of a class derived in Python."""
    return next(cls.__name__ for cls in type(self).__mro__ if is_native_class(cls))


def connect(self: QtCore.QObject, signal: str, receiver: Any, slot: str | None = None) -> bool:
    """PythonQt's connect by signature. An unknown signal raises here, where Slicer would only log a warning."""
    target = _named_slot(receiver, slot) if slot is not None else receiver
    if not callable(target):
        raise TypeError(f"connect({signal!r}): the receiver {receiver!r} is not callable")
    stand_in_signal = _stand_in_signal(self, signal)
    if stand_in_signal is not None:
        stand_in_signal.connect(target)
        return True
    normalized = normalized_signal(self, signal)
    connection = _qobject_connect(self, QtCore.SIGNAL(normalized), trimmed_to_arguments_of(target))
    _connections.setdefault((_address(self), normalized), []).append((target, connection))
    return True


def disconnect(self: QtCore.QObject, signal: str, receiver: Any = None, slot: str | None = None) -> bool:
    """Undo connect; without a receiver, every connection of the signal. False when there was none."""
    target = _named_slot(receiver, slot) if slot is not None else receiver
    stand_in_signal = _stand_in_signal(self, signal)
    if stand_in_signal is not None:
        return stand_in_signal.disconnect(target)
    known = _connections.get((_address(self), normalized_signal(self, signal)), [])
    matching = [entry for entry in known if target is None or entry[0] == target]
    for entry in matching:
        _qobject_disconnect(entry[1])
        known.remove(entry)
    return bool(matching)


def connection_count(widget: QtCore.QObject, signal: str) -> int:
    """How many Python callables are connected to a signal by its signature (for tests of leaks)."""
    stand_in_signal = _stand_in_signal(widget, signal)
    if stand_in_signal is not None:
        return len(stand_in_signal.handlers)
    return len(_connections.get((_address(widget), normalized_signal(widget, signal)), []))


def normalized_signal(sender: QtCore.QObject, signal: str) -> str:
    """The signature as Qt writes it; ValueError when the class has no such signal."""
    normalized = bytes(QtCore.QMetaObject.normalizedSignature(signal).data()).decode()
    if _qobject_getattribute(sender, "metaObject")().indexOfSignal(normalized) < 0:
        raise ValueError(f"signal {signal!r} does not exist on {class_name(sender)}")
    return normalized


def trimmed_to_arguments_of(target: Callable[..., Any]) -> Callable[..., Any]:
    """Call a function with as many of the signal's arguments as it has parameters, as PythonQt does."""
    function = getattr(target, "__func__", target)
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & 0x04:
        return target
    count = code.co_argcount - (1 if hasattr(target, "__self__") else 0)
    return lambda *arguments: target(*arguments[:count])


def forget_connections() -> None:
    """Undo every connection made by signature: the application object outlives a test, its slots must not."""
    for entries in _connections.values():
        for _target, connection in entries:
            _qobject_disconnect(connection)
    _connections.clear()


def _named_slot(receiver: Any, slot: str) -> Callable[..., Any]:
    name = slot.split("(", maxsplit=1)[0]
    return getattr(receiver, name)


def _stand_in_signal(sender: Any, signal: str) -> Any:
    signals = getattr(type(sender), "harness_signals", None)
    if signals is None:
        return None
    name = signals.get(bytes(QtCore.QMetaObject.normalizedSignature(signal).data()).decode())
    return None if name is None else name.bound(sender)


def _address(instance: QtCore.QObject) -> int:
    return shiboken6.getCppPointer(instance)[0]


def _delete(self: QtCore.QObject) -> None:
    shiboken6.delete(self)


_EXTRA_METHODS = {"connect": connect, "disconnect": disconnect, "className": class_name, "delete": _delete}


def _add_exec(cls: type) -> None:
    if "exec_" not in cls.__dict__ and hasattr(cls, "exec"):
        cls.exec_ = lambda self, *arguments: self.exec(*arguments)


def _qt_module() -> types.ModuleType:
    """The flat module `qt`: classes of Qt and the namespace Qt, nothing that only PySide6 has."""
    module = types.ModuleType("qt")
    module.__doc__ = "Qt as Slicer's Python sees it."
    for source in QT_MODULES:
        for name in dir(source):
            if members(name) is not None and name not in NOT_IN_PYTHONQT and isinstance(getattr(source, name), type):
                setattr(module, name, getattr(source, name))
    importlib.import_module("PySide6.QtSvgWidgets")
    return module
