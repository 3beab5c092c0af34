"""Names of the application's API that source files use, checked without running them.

The stand-ins refuse unknown names when code runs; this finds those in code that no scenario runs.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .api_index import class_entry, function_parameters, load_index
from .pythonqt import dress

# slicer.<name> that no index lists: set by the application at start-up, or classes of MRML, which slicer-core has.
SLICER_ATTRIBUTES = frozenset(
    {"app", "mrmlScene", "modules", "moduleNames", "util", "packaging", "cli", "logic", "i18n"}
)
SLICER_ATTRIBUTES |= {"testing", "parameterNodeWrapper", "ScriptedLoadableModule", "vtkSegment"}


def unknown_names(path: Path) -> list[str]:
    """`file:line: name` for each qt, ctk or slicer name of a source file that the application does not have."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    problems = [f"{path.name}:{node.lineno}: {'.'.join(names)}" for node, names in _chains(tree) if not is_known(names)]
    problems += [f"{path.name}:{line}: import of {name}" for line, name in _pyside_imports(tree)]
    return sorted(set(problems))


def is_known(names: list[str]) -> bool:
    """True unless the chain starts with qt, ctk or slicer and leaves what the application has."""
    root, *rest = names
    if not rest or root not in ("qt", "ctk", "slicer"):
        return True
    if root == "qt":
        return _known_in_qt(rest)
    if root == "ctk":
        return rest[0].startswith("ctk") and _known_in_class(rest)
    return _known_in_slicer(rest)


def _known_in_qt(rest: list[str]) -> bool:
    cls = getattr(dress(), rest[0], None)
    if cls is None:
        return False
    if len(rest) == 1:
        return True
    member = getattr(cls, rest[1], None)
    is_enum_class = isinstance(member, type) and issubclass(member, enum.Enum)
    return member is not None and not (is_enum_class and len(rest) > 2)


def _known_in_class(rest: list[str]) -> bool:
    if class_entry(rest[0]) is None:
        return False
    if len(rest) == 1:
        return True
    from .stand_ins import stand_in_class

    return hasattr(stand_in_class(rest[0]), rest[1])


def _known_in_slicer(rest: list[str]) -> bool:
    name = rest[0]
    if name.startswith("vtk"):
        import slicer

        return hasattr(slicer, name) and (len(rest) == 1 or hasattr(getattr(slicer, name), rest[1]))
    if name.startswith("q"):
        return _known_in_class(rest)
    if name in ("util", "packaging") and len(rest) > 1:
        return _known_in_module(f"slicer.{name}", rest[1])
    if name == "modules" and len(rest) > 1:
        return rest[1].endswith(("Instance", "Widget")) or rest[1] in _module_attributes()
    return name in SLICER_ATTRIBUTES


def _known_in_module(module: str, name: str) -> bool:
    entry = load_index()["python_modules"][module]
    return (
        function_parameters(module, name) is not None
        or name in entry.get("classes", {})
        or name in entry.get("constants", ())
    )


def _module_attributes() -> set[str]:
    return set(load_index()["slicer_namespace"]["modules"]["attributes"]) | {"medsamsegment"}


def _chains(tree: ast.AST) -> Iterator[tuple[ast.Attribute, list[str]]]:
    """Attribute chains that start with a plain name, the longest of each."""
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            names = _names_of(node)
            if names:
                yield node, names
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("qt", "ctk", "slicer"):
            for alias in node.names:
                yield node, [node.module, alias.name]  # type: ignore[misc]


def _names_of(node: Any) -> list[str]:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else []


def _pyside_imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for module in modules:
            if module.split(".")[0] in ("PySide6", "PyQt5", "PyQt6", "shiboken6"):
                yield node.lineno, module
