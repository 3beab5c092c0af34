"""The split by patient: nobody is trained on and tested with."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UsageError
from .sources import TrainingSource


@dataclass(frozen=True)
class Split:
    """`validation` is empty with a single patient, or if none was to be kept: then nothing can be said of others."""

    training: tuple[TrainingSource, ...]
    validation: tuple[TrainingSource, ...]

    @property
    def is_validated(self) -> bool:
        return bool(self.validation)

    @property
    def reason(self) -> str:
        """The reason why nothing is known of how the model does on others, "" where it is validated."""
        if self.is_validated:
            return ""
        if len(self.patients()["training"]) > 1:
            return "no patient was kept aside for it"
        return "there is one patient alone with enough of the object"

    def patients(self) -> dict[str, list[str]]:
        """Return the patients of both sides, in the order of their names."""
        sides = {"training": self.training, "validation": self.validation}
        return {side: sorted({source.patient for source in sources}) for side, sources in sides.items()}


def split_by_patient(sources: Sequence[TrainingSource], fraction: float, seed: int) -> Split:
    """Return a split in which about that fraction of the patients, one at least, is kept for validation.

    Which ones follows from their names and the seed alone. A fraction of 0 and a single patient keep none.
    """
    patients = sorted({source.patient for source in sources}, key=lambda name: _draw(name, seed))
    count = min(max(1, round(fraction * len(patients))), len(patients) - 1) if fraction > 0 else 0
    kept = set(patients[:count])
    return Split(
        tuple(source for source in sources if source.patient not in kept),
        tuple(source for source in sources if source.patient in kept),
    )


def given_split(training: Sequence[TrainingSource], validation: Sequence[TrainingSource]) -> Split:
    """Return the split that the user made. Raises `UsageError` for a patient, or an image, on both sides."""
    both = {source.patient for source in training} & {source.patient for source in validation}
    images = {source.image.resolve() for source in training} & {source.image.resolve() for source in validation}
    if both or images:
        named = ", ".join(sorted(both) or sorted(image.name for image in images))
        raise UsageError(f"{named} would be trained on and tested with.", "Give other patients for validation.")
    return Split(tuple(training), tuple(validation))


def _draw(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
