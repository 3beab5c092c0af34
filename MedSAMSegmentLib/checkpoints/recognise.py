"""Recognition of the model that a state dict belongs to, by its keys and shapes.

MedSAM has exactly the tensors of SAM ViT-B, and MedSAM2 those of SAM 2.1 Hiera tiny: between such models the file's
hash decides, then its name, then the registry's order, in which the medical model comes first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import registry
from ..errors import CheckpointError
from ..registry import ModelEntry
from .fingerprints import fingerprint, known_fingerprints
from .key_report import Shapes

_NEAR = 0.4


@dataclass(frozen=True)
class Recognition:
    """The model that a file is taken for, the others that it could as well be, and why this one was chosen."""

    entry: ModelEntry
    others: tuple[ModelEntry, ...]
    reason: str


def recognise(shapes: Shapes, *, file_name: str = "", sha256: str = "") -> Recognition:
    """Recognise the model whose state dict has exactly these keys and shapes, and say why it was chosen among equals.

    Raises CheckpointError, naming the nearest model, when there is none.
    """
    entries = candidates(shapes)
    if not entries:
        raise CheckpointError(
            f"These weights ({len(shapes)} tensors) belong to no known model.", nearest_sentence(shapes)
        )
    chosen, reason = _choose(entries, file_name, sha256)
    return Recognition(chosen, tuple(entry for entry in entries if entry is not chosen), reason)


def candidates(shapes: Shapes) -> tuple[ModelEntry, ...]:
    """Return all models whose state dict has exactly these keys and shapes, in the registry's order."""
    digest = fingerprint(shapes).digest
    builders = {name for name, item in known_fingerprints().items() if item.digest == digest}
    return tuple(entry for entry in registry.entries() if entry.builder in builders)


def nearest_sentence(shapes: Shapes) -> str:
    """Say what the weights are, or are nearest to: the cure of an error about weights that do not fit."""
    exact = candidates(shapes)
    if exact:
        return f"They are the weights of {_names(exact)}: choose that model."
    builder, likeness = max(
        ((name, item.likeness(shapes)) for name, item in known_fingerprints().items()), key=lambda pair: pair[1]
    )
    if likeness < _NEAR:
        return "No known model comes near; choose a file with the weights of a known model."
    entries = tuple(entry for entry in registry.entries() if entry.builder == builder)
    return f"The nearest is {_names(entries)}, but some tensors are missing, too many or of another shape."


def _choose(entries: tuple[ModelEntry, ...], file_name: str, sha256: str) -> tuple[ModelEntry, str]:
    if len(entries) == 1:
        return entries[0], "its keys and shapes"
    for entry in entries:
        if sha256 and entry.sha256 == sha256:
            return entry, "its SHA-256"
    for entry in entries:
        if Path(entry.file_name).stem.lower() in file_name.lower():
            return entry, f"its file name, {file_name}"
    others = ", ".join(entry.title for entry in entries[1:])
    return entries[0], f"its keys and shapes, which {others} share"


def _names(entries: tuple[ModelEntry, ...]) -> str:
    return " or ".join(f"{entry.title} ({entry.id})" for entry in entries)
