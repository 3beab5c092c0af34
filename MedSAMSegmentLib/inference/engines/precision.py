"""The precision that an engine computes in."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Precision:
    """`dtype` of all that is computed."""

    dtype: torch.dtype = torch.float32

    @property
    def error_limit(self) -> float:
        """The largest relative error (Euclidean norms) of any of a network's outputs against torch in float32."""
        return 1e-3 if self.dtype == torch.float32 else 0.1

    def __str__(self) -> str:
        return str(self.dtype).removeprefix("torch.")
