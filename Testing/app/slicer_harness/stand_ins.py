"""Stand-ins of Slicer's and CTK's Qt classes, generated from the index of the real API.

A class has exactly the properties, methods, signals and enum values that the index lists for it, over the real Qt class
it derives from. Where the dump of the running application knows the class, it decides which name is a property, whether
that can be assigned, and which is a method. What a method does comes from a behaviour class registered with
`@behaviour("qMRML...")`; a behaviour that names something the real class lacks is refused when the class is generated,
so the harness cannot invent API.
A method without behaviour raises HarnessGap instead of returning something made up.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from .api_index import ClassEntry, chain, class_entry
from .application_api import members
from .pythonqt import PropertyAttribute, dress, is_native_class, register_native_class, trimmed_to_arguments_of
from .recorder import RECORDER, HarnessGap

# Qt classes that are not in PySide6-Essentials, and what is put below a stand-in instead.
NEAREST_QT_CLASS = {"QVTKWidget": "QWidget", "QWebEngineView": "QWidget", "QUiLoader": "QObject"}
_behaviours: dict[str, type] = {}
_UNSET = object()


def behaviour(name: str) -> Callable[[type], type]:
    """Register what the methods of a class of the index do. `defaults` holds the initial values of its properties."""

    def register(cls: type) -> type:
        _behaviours[name] = cls
        return cls

    return register


class State(types.SimpleNamespace):
    """What the harness remembers of one object, out of reach of attribute access on the object itself."""


def state(instance: Any) -> State:
    """The harness's memory of a stand-in object."""
    attributes = object.__getattribute__(instance, "__dict__")
    if "__harness_state__" not in attributes:
        attributes["__harness_state__"] = State(properties={}, handlers={}, calls=[])
    return attributes["__harness_state__"]


class BoundSignal:
    """A stand-in's signal on one object: connect, disconnect, emit."""

    def __init__(self, signature: str, handlers: list[Callable[..., Any]]):
        self.signature = signature
        self.handlers = handlers

    def connect(self, target: Callable[..., Any]) -> None:
        self.handlers.append(target)

    def disconnect(self, target: Callable[..., Any] | None = None) -> bool:
        matching = [handler for handler in self.handlers if target is None or handler == target]
        for handler in matching:
            self.handlers.remove(handler)
        return bool(matching)

    def emit(self, *arguments: Any) -> None:
        """Call what is connected; an error there is printed and recorded, as in Slicer."""
        for handler in list(self.handlers):
            try:
                trimmed_to_arguments_of(handler)(*arguments)
            except Exception as error:  # noqa: BLE001 - the host swallows whatever a slot raises
                RECORDER.record(f"slot of {self.signature}", error)


class StandInSignal:
    """A signal of a stand-in class, one per signature."""

    def __init__(self, signature: str):
        self.signature = signature

    def bound(self, instance: Any) -> BoundSignal:
        return BoundSignal(self.signature, state(instance).handlers.setdefault(self.signature, []))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self.bound(instance)


def emit(instance: Any, signature: str, *arguments: Any) -> None:
    """Emit a stand-in's signal by its signature, unless the object's signals are blocked."""
    if hasattr(instance, "signalsBlocked") and instance.signalsBlocked():
        return
    type(instance).harness_signals[signature].bound(instance).emit(*arguments)


@functools.cache
def stand_in_class(name: str) -> type:
    """The stand-in for a class of the index; AttributeError when the index does not have it."""
    entry = class_entry(name)
    if entry is None:
        raise AttributeError(f"the index of Slicer's API has no class {name!r}")
    base = _base_class(entry)
    cls = type(base)(name, (base,), _namespace(entry, base))
    register_native_class(cls)
    return cls


def create(name: str, *arguments: Any) -> Any:
    """An instance of a stand-in, also of a class that Python may not construct (the application makes those)."""
    cls = stand_in_class(name)
    return cls(*arguments, harness_creates=True)


def _base_class(entry: ClassEntry) -> type:
    if entry.base is None:
        return object
    if class_entry(entry.base) is not None:
        return stand_in_class(entry.base)
    qt = dress()
    return getattr(qt, NEAREST_QT_CLASS.get(entry.base, entry.base))


def _namespace(entry: ClassEntry, base: type) -> dict[str, Any]:
    provided = _behaviours.get(entry.name, type("NoBehaviour", (), {}))
    members = {key: value for cls in reversed(provided.__mro__[:-1]) for key, value in vars(cls).items()}
    functions = {key: value for key, value in members.items() if isinstance(value, types.FunctionType | staticmethod)}
    defaults = getattr(provided, "defaults", {})
    _refuse_invented_names(entry, functions, defaults)
    namespace: dict[str, Any] = {"__module__": "slicer_harness.stand_ins", "__init__": _constructor(entry, base)}
    arity = {method: ranges for one in reversed(list(chain(entry.name))) for method, ranges in one.arity.items()}
    namespace.update({key: value for key, value in functions.items() if key not in arity})
    namespace.update({value: number for number, value in enumerate(entry.enum_values)})
    namespace.update(
        {key: value for key, value in getattr(provided, "enum_numbers", {}).items() if key in entry.enum_values}
    )
    properties = _property_names(entry)
    for method in sorted((set(entry.arity) | (set(functions) & set(arity))) - properties):
        namespace[method] = _method(entry.name, method, arity[method], functions.get(method), base)
    for name in properties:
        namespace[name] = _property(entry.name, name, functions, defaults)
    signals = dict(getattr(base, "harness_signals", {}))
    for signature in entry.signal_signatures:
        signal = StandInSignal(signature)
        signals[signature] = signal
        if signature.split("(")[0] not in entry.arity:
            namespace.setdefault(signature.split("(")[0], signal)
    namespace["harness_signals"] = signals
    return namespace


def _property_names(entry: ClassEntry) -> set[str]:
    """The properties of the index and what the application has as such, without what is a method there or nothing."""
    known = members(entry.name)
    if known is None:
        return set(entry.properties)
    methods = {name for name in entry.arity if known.kind(name) == "property"}
    return methods | {name for name in entry.properties if known.kind(name) in ("property", "function")}


def _refuse_invented_names(entry: ClassEntry, functions: dict[str, Any], defaults: dict[str, Any]) -> None:
    known = {name for one in chain(entry.name) for name in one.methods | one.properties}
    invented = {name for name in functions if not name.startswith(("_", "harness_")) and name not in known}
    invented = {name for name in invented if not _is_qt_virtual(entry, name)}
    invented |= set(defaults) - known
    if invented:
        raise HarnessGap(f"the real class {entry.name} has no {sorted(invented)}")


def _is_qt_virtual(entry: ClassEntry, name: str) -> bool:
    """A stand-in may draw and measure itself: overrides of Qt's event and size functions are no API."""
    return name.endswith("Event") or name in {"sizeHint", "minimumSizeHint"}


def _constructor(entry: ClassEntry, base: type) -> Callable[..., None]:
    def construct(self: Any, *arguments: Any, harness_creates: bool = False, **properties: Any) -> None:
        if (
            is_native_class(type(self))
            and type(self).__name__ == entry.name
            and not entry.constructible
            and not harness_creates
        ):
            raise TypeError(f"{entry.name} can not be constructed from Python")
        if base is object:
            object.__init__(self)
        elif hasattr(base, "harness_signals"):
            base.__init__(self, *arguments, harness_creates=True)
        elif base.__name__ == "QAbstractButton" and arguments and isinstance(arguments[0], str):
            base.__init__(self, *arguments[1:])
            self.setText(arguments[0])
        else:
            base.__init__(self, *(argument for argument in arguments if argument is not None))
        initialise = (
            type(self).__dict__.get("_init")
            if type(self).__name__ == entry.name
            else vars(_behaviours.get(entry.name, object)).get("_init")
        )
        if initialise is not None:
            initialise(self)
        for key, value in properties.items():
            if not any(key in one.properties for one in chain(entry.name)) and not hasattr(type(self), key):
                raise AttributeError(f"{entry.name} has no property {key!r}")
            setattr(self, key, value)

    return construct


def _method(class_name: str, name: str, ranges: tuple[tuple[int, int], ...], function: Any, base: type) -> Any:
    static = isinstance(function, staticmethod)
    target = function.__func__ if static else function

    def call(self: Any, *arguments: Any) -> Any:
        if not any(low <= len(arguments) <= high for low, high in ranges):
            wanted = " or ".join(f"{low}-{high}" if low != high else str(low) for low, high in ranges)
            raise TypeError(f"{class_name}.{name}() takes {wanted} arguments, {len(arguments)} given")
        if target is None:
            return _without_behaviour(self, class_name, name, arguments, base)
        return target(*arguments) if static else target(self, *arguments)

    call.__name__ = name
    return _ClassCallable(call) if static else call


class _ClassCallable:
    """A method that may be called on the class as well, such as `qSlicerSegmentEditorEffectFactory.instance()`."""

    def __init__(self, call: Callable[..., Any]):
        self.call = call

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., Any]:
        return lambda *arguments: self.call(instance, *arguments)


def _without_behaviour(self: Any, class_name: str, name: str, arguments: tuple[Any, ...], base: type) -> Any:
    """A setter of a property sets it; another method that only sets something is noted; the rest is a gap."""
    inherited = getattr(base, name, None)
    if inherited is not None and not isinstance(inherited, PropertyAttribute):
        return inherited(self, *arguments)
    property_name = name[3:4].lower() + name[4:]
    if name.startswith("set") and any(property_name in one.properties for one in chain(class_name)):
        setattr(self, property_name, arguments[0])
        return None
    if name.startswith("set"):
        state(self).calls.append((name, arguments))
        return None
    raise HarnessGap(f"{class_name}.{name}() exists in Slicer, but the harness has no behaviour for it")


def _property(class_name: str, name: str, functions: dict[str, Any], defaults: dict[str, Any]) -> PropertyAttribute:
    reader = functions.get(f"_get_{name}", functions.get(name))
    writer = functions.get(f"_set_{name}")
    known = members(class_name)
    writable = known is None or known.kind(name) != "property" or known.is_writable(name)

    def read(self: Any) -> Any:
        if reader is not None:
            return reader(self)
        value = state(self).properties.get(name, _default(self, name, defaults))
        if value is _UNSET:
            raise HarnessGap(f"{class_name}.{name} exists in Slicer, but the harness knows no default for it")
        return value

    def write(self: Any, value: Any) -> None:
        if reader is not None and reader is functions.get(name) and writer is None:
            raise HarnessGap(f"{class_name}.{name} can be assigned in Slicer, but the harness has no behaviour for it")
        state(self).properties[name] = value
        if writer is not None:
            writer(self, value)

    return PropertyAttribute(name, read, write if writable else None, None)


def _default(instance: Any, name: str, defaults: dict[str, Any]) -> Any:
    """The value before it was set: of the most derived behaviour that has one."""
    for cls in type(instance).__mro__:
        provided = _behaviours.get(cls.__name__)
        if provided is not None and name in getattr(provided, "defaults", {}):
            return provided.defaults[name]
    return defaults.get(name, _UNSET)
