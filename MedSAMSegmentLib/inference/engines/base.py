"""The interface of everything that runs an image encoder."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ...models.sam import Decode
from ...models.sam2 import MemorySteps
from ...registry import ModelEntry
from ...version import __version__
from .precision import Precision

Features = tuple[Tensor, ...]

TRACING = ("inference/slice_networks.py", "inference/engines/graphs.py", "inference/engines/openvino_model.py")
"""What a converted graph rests on besides the networks."""


class ImageEncoderEngine(Protocol):
    """Runs one image encoder at one precision, and what else of the network pays.

    May be called from several threads.
    """

    @property
    def name(self) -> str:
        """ "torch" or "openvino"."""

    @property
    def precision(self) -> Precision:
        """The precision that it computes in; inputs and outputs are float32 all the same."""

    @property
    def decode(self) -> Decode | None:
        """Answers single prompts of a SAM; None leaves them to the network itself."""

    @property
    def memory_steps(self) -> MemorySteps | None:
        """Runs the other parts of a SAM 2; None leaves them to the network itself."""

    def encode(self, images: Tensor) -> Features:
        """Encode a network input (1,3,S,S) float32 to the features, float32, in the order of `SliceNetwork.encode`."""


@dataclass(frozen=True)
class EngineFiles:
    """The folder and names of the files that an engine derives from a model's weights.

    `folder` None: nothing is kept. `weights_sha256` tells derived files of different weights apart. `notes` gathers
    what was found altered.
    """

    entry: ModelEntry
    weights_sha256: str
    folder: Path | None
    notes: list[str] = field(default_factory=list, compare=False)

    @property
    def stem(self) -> str:
        """The beginning of every file name: the model, its weights and the sources of what is traced."""
        return f"{self.entry.id}.{weights_key(self.weights_sha256)}"

    @property
    def weights_stem(self) -> str:
        """The same up to the sources."""
        return self.stem.removesuffix(sources_digest())


def weights_key(weights_sha256: str) -> str:
    """Return the part of a derived file's name that tells weights, and sources of what is traced, apart."""
    return f"{weights_sha256[:12]}.s{sources_digest()}"


@cache
def sources_digest() -> str:
    """Return a hash of the sources that decide on a converted graph; of the library's version where they are not
    readable, as in an archive."""
    library = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    try:
        for path in sorted((library / "models").rglob("*.py")) + [library / name for name in TRACING]:
            digest.update(path.relative_to(library).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    except OSError:
        return __version__
    return digest.hexdigest()[:12]


def relative_error(found: Features, expected: Features) -> float:
    """Return the largest |found - expected| / |expected| over the outputs; infinite when shapes differ or a number is
    bad."""
    if [tensor.shape for tensor in found] != [tensor.shape for tensor in expected]:
        return float("inf")
    errors = [
        float((mine - theirs).norm() / theirs.norm().clamp(min=1e-12))
        for mine, theirs in zip(found, expected, strict=True)
    ]
    return max(float("inf") if math.isnan(error) else error for error in errors)


def probe_input(entry: ModelEntry) -> Tensor:
    """Return a fixed network input (1,3,S,S) to compare and time engines with."""
    side = entry.input_size
    return torch.rand((1, 3, side, side), generator=torch.Generator().manual_seed(0))
