"""The Slicer process never imports torch. While the ban holds, an import of torch or torchvision fails."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager

FORBIDDEN = ("torch", "torchvision", "timm", "hydra")
LIBRARY = "MedSAMSegmentLib"


class TorchBan:
    """A finder that refuses the forbidden packages and remembers who asked."""

    def __init__(self) -> None:
        self.attempts: list[str] = []

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".", maxsplit=1)[0] in FORBIDDEN:
            self.attempts.append(name)
            raise ImportError(f"{name} must not be imported in the Slicer process")


@contextmanager
def torch_banned() -> Iterator[TorchBan]:
    """Hide torch and every module of the library that holds it, and refuse to import them again; restore both after."""
    hidden = {name: module for name, module in sys.modules.items() if _is_forbidden(name) or _holds_torch(name, module)}
    for name in hidden:
        del sys.modules[name]
    ban = TorchBan()
    sys.meta_path.insert(0, ban)
    try:
        yield ban
    finally:
        sys.meta_path.remove(ban)
        for name in [name for name in sys.modules if _is_forbidden(name)]:
            del sys.modules[name]
        sys.modules.update(hidden)


def _is_forbidden(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in FORBIDDEN


def _holds_torch(name: str, module: types.ModuleType | None) -> bool:
    """True for a module of the library that imported torch, or that may have (its layer uses torch)."""
    if not name.startswith(f"{LIBRARY}.") or module is None:
        return False
    layer = name.split(".")[1]
    if layer in ("models", "inference") and name.count(".") > 1:
        return True
    values = list(vars(module).values())
    return any(isinstance(value, types.ModuleType) and _is_forbidden(value.__name__) for value in values)
