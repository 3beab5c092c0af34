"""The precision that an engine computes in."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Precision:
    """`dtype` of all that is computed, but for the products of `int8` where `eight_bit`."""

    dtype: torch.dtype = torch.float32
    eight_bit: bool = False

    @property
    def error_limit(self) -> float:
        """The largest relative error (Euclidean norms) of any of a network's outputs against torch in float32."""
        if self.eight_bit:
            # LiteMedSAM has 0.09 where the processor adds up eight-bit products without overflow.
            return 0.12
        return 1e-3 if self.dtype == torch.float32 else 0.1

    def __str__(self) -> str:
        name = str(self.dtype).removeprefix("torch.")
        return f"int8 and {name}" if self.eight_bit else name
