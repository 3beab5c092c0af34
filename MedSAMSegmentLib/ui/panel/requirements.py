"""What Slicer's Python must have for the worker to run in it, and what of it is missing. Nothing is imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True)
class Requirement:
    """`size` is what the download takes, in words."""

    name: str
    requirement: str
    size: str
    licence: str


TORCH = Requirement("torch", "torch>=2.4", "200 MB without a GPU, up to 3 GB with CUDA", "BSD-3-Clause")

SMALL: tuple[Requirement, ...] = (
    Requirement("filelock", "filelock>=3.12", "0.1 MB", "Unlicense"),
    Requirement("platformdirs", "platformdirs>=4", "0.1 MB", "MIT"),
    Requirement("safetensors", "safetensors>=0.4", "1 MB", "Apache-2.0"),
)


def is_installed(name: str) -> bool:
    """Whether a package of that name is there; its version is left to pip."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def missing(installed: Callable[[str], bool] = is_installed) -> list[Requirement]:
    return [requirement for requirement in (TORCH, *SMALL) if not installed(requirement.name)]


def question(needed: Sequence[Requirement]) -> str:
    """What the one dialog says: names, sizes, licences."""
    lines = [f"{r.name}: {r.size}, licence {r.licence}" for r in needed]
    return "\n".join(["These packages will be installed into Slicer's Python:", "", *lines])
