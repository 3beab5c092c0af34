"""The import table of `Resources/docs/architecture.md`, held by walking the code."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
LIBRARY = REPO / "MedSAMSegmentLib"

SLICER = {"slicer", "qt", "ctk", "vtkSegmentationCorePython", "SegmentEditorEffects"}
VOCABULARY = {
    "cancellation",
    "errors",
    "geometry",
    "intensity",
    "measurements",
    "auto_window",
    "paths",
    "prompts",
    "propagation",
    "registry",
    "results",
    "version",
}
FORBIDDEN_ANYWHERE = {"torchvision", "timm", "hydra", "iopath", "pickle", "multiprocessing"}

# For each layer: top-level packages and own layers that it must not import, at any depth of the code.
FORBIDDEN_PACKAGES = {
    "vocabulary": SLICER | {"torch", "vtk", "requests", "SimpleITK", "slicerio", "scipy"},
    "checkpoints": SLICER | {"vtk", "SimpleITK"},
    "models": SLICER | {"vtk", "SimpleITK", "requests", "scipy"},
    "inference": SLICER | {"vtk", "SimpleITK"},
    "io": SLICER | {"vtk", "torch"},
    "worker": {"slicer", "vtk", "ctk"},
    "evaluation": SLICER | {"vtk", "torch"},
    "mrml": {"qt", "ctk", "torch", "SimpleITK"},
    "ui": {"torch"},
    "runs": SLICER | {"vtk", "torch"},
    "cohort": SLICER | {"vtk", "torch"},
    "commands": SLICER | {"vtk"},
    "service": SLICER | {"vtk", "torch", "SimpleITK"},
    "challenge": SLICER | {"vtk", "torch", "SimpleITK"},
    "training": SLICER | {"vtk", "SimpleITK", "requests"},
    # One Qt for all bindings that napari takes.
    "napari": SLICER | {"vtk", "torch", "SimpleITK", "PySide6", "PyQt6", "PyQt5"},
}
ALLOWED_LAYERS = {
    "vocabulary": set(),
    "checkpoints": {"models"},
    "models": set(),
    "inference": {"checkpoints", "models"},
    "io": set(),
    "worker": {"inference", "checkpoints"},
    "evaluation": {"io"},
    "mrml": set(),
    "ui": {"worker", "mrml", "checkpoints", "io"},
    "runs": {"checkpoints", "inference", "io"},
    "cohort": {"checkpoints", "inference", "io", "evaluation", "worker", "runs"},
    "commands": {"checkpoints", "models", "inference", "io", "evaluation", "worker", "service", "runs", "cohort"},
    "service": {"checkpoints", "io", "worker"},
    "challenge": {"inference", "io", "evaluation"},
    "napari": {"checkpoints", "io", "worker"},
}
ALLOWED_LAYERS["training"] = {"checkpoints", "models", "inference", "io", "cohort", "worker"}
ALLOWED_LAYERS["commands"] |= {"challenge", "training", "napari"}
WORKER_CHILD = {"main", "session_host", "self_check", "bootstrap", "admission"}
PANEL_JOBS = {"model_job"}
"""Files of `ui` that run in a process of their own."""

LAZY_IN_VOCABULARY = {"paths": {"platformdirs"}, "measurements": {"scipy"}}
TORCH_IN_CHECKPOINTS = {"weights"}


def layer_of(path: Path) -> str:
    parts = path.relative_to(LIBRARY).parts
    return parts[0] if len(parts) > 1 else "vocabulary"


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Each imported module as a dotted name, own modules as `MedSAMSegmentLib.x`; with whether it is at file scope."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = ("MedSAMSegmentLib", *path.relative_to(LIBRARY).parts[:-1])
    top = {id(node) for node in tree.body}
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            yield module, id(node) in top
            yield from ((f"{module}.{alias.name}", id(node) in top) for alias in node.names if node.level)


SOURCES = sorted(p for p in LIBRARY.rglob("*.py") if p.name not in ("__main__.py", "cli.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_a_file_imports_only_what_its_layer_may(path: Path) -> None:
    layer = layer_of(path)
    for name, _ in imports(path):
        top = name.split(".")[0]
        exempt = path.parts[-2:] == ("checkpoints", "weights.py") and name == "pickle"  # for its error type only
        assert exempt or top not in FORBIDDEN_ANYWHERE, f"{path} imports {name}"
        if top == "MedSAMSegmentLib":
            _check_own(path, layer, name)
        else:
            _check_package(path, layer, top)


def _check_own(path: Path, layer: str, name: str) -> None:
    target = name.split(".")[1] if "." in name else ""
    if not target or target in VOCABULARY or target == layer or not (LIBRARY / target).is_dir():
        return
    allowed = ALLOWED_LAYERS[layer]
    if layer == "worker" and path.stem not in WORKER_CHILD:
        allowed = set()
    if layer == "ui" and path.stem in PANEL_JOBS:
        allowed = allowed | {"training"}
    assert target in allowed, f"{path} ({layer}) imports {name}"


def _check_package(path: Path, layer: str, top: str) -> None:
    forbidden = FORBIDDEN_PACKAGES[layer] - LAZY_IN_VOCABULARY.get(path.stem, set())
    if layer == "worker" and path.stem == "qprocess_transport":
        forbidden = forbidden - {"qt"}
    elif layer == "worker":
        forbidden = forbidden | {"qt"}
        if path.stem not in WORKER_CHILD:
            forbidden = forbidden | {"torch"}
        if path.stem != "bridge":
            forbidden = forbidden | {"requests", "urllib3"}
    if layer == "checkpoints" and path.stem not in TORCH_IN_CHECKPOINTS:
        forbidden = forbidden | {"torch"}
    assert top not in forbidden, f"{path} ({layer}) imports {top}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(LIBRARY)))
def test_the_heavy_packages_are_not_imported_at_file_scope_outside_their_layers(path: Path) -> None:
    heavy = {"torch", "scipy", "openvino", "pydicom", "slicerio", "requests", "safetensors", "PIL"}
    at_home = {
        "models": {"torch"},
        "training": {"torch"},
        "inference": {"torch", "scipy", "PIL"},
        "io": {"slicerio", "PIL", "pydicom"},
    }
    for name, at_file_scope in imports(path):
        top = name.split(".")[0]
        if at_file_scope and top in heavy:
            assert top in at_home.get(layer_of(path), set()), f"{path} imports {name} at file scope"


def test_every_folder_of_the_library_is_a_layer_of_the_table() -> None:
    folders = {p.name for p in LIBRARY.iterdir() if p.is_dir() and not p.name.startswith("__")}
    assert folders <= set(ALLOWED_LAYERS)


KNOWN_CIRCLES: set[frozenset[str]] = set()
"""Modules that import each other in a circle today. The list may only shrink: a circle that is gone must leave it."""


def module_name(path: Path) -> str:
    """Return the dotted name of a module, `MedSAMSegmentLib.io.volume`; of a package that of its folder."""
    parts = path.relative_to(REPO).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(files: Iterable[Path]) -> dict[str, set[str]]:
    """Return for each module the own modules that it imports, at file scope or in a function; types alone left out."""
    sources = {module_name(path): path for path in files}
    return {
        name: {imported for imported, _ in imports(path) if imported in sources} - {name}
        for name, path in sources.items()
    }


def circles(graph: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """Return the strongly connected components of more than one module (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: set[frozenset[str]] = set()

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in stack:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            place = stack.index(name)
            component = frozenset(stack[place:])
            del stack[place:]
            if len(component) > 1:
                found.add(component)

    for name in sorted(graph):
        if name not in order:
            visit(name)
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    found = circles(import_graph(LIBRARY.rglob("*.py")))
    new = [sorted(circle) for circle in found - KNOWN_CIRCLES]
    assert not new, f"circles of imports: {new}"
    gone = [sorted(circle) for circle in KNOWN_CIRCLES - found]
    assert not gone, f"no circles any more, take them out of KNOWN_CIRCLES: {gone}"


def test_a_circle_is_seen_through_functions_but_not_through_types(tmp_path: Path) -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {frozenset("bc")}
    package = tmp_path / "MedSAMSegmentLib"
    package.mkdir()
    first, second, third = (package / f"{name}.py" for name in ("first", "second", "third"))
    first.write_text("from .second import x\nfrom . import third\n")
    second.write_text("def later() -> None:\n    from .first import y\n")
    third.write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .first import y\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "REPO", tmp_path)
        patch.setitem(globals(), "LIBRARY", package)
        graph = import_graph([first, second, third])
    assert graph["MedSAMSegmentLib.third"] == set()
    assert circles(graph) == {frozenset({"MedSAMSegmentLib.first", "MedSAMSegmentLib.second"})}
