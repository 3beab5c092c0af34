"""The 3D box on every slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import RunOptions, SliceSource
from .handover import HandoverStrategy
from .slicewise import Chain, box_prompts

if TYPE_CHECKING:
    from ..slice_predictor import SlicePrompts


class StaticStrategy(HandoverStrategy):
    """Every slice gets the in-plane bounds of the 3D box. An object without a 3D box is handed over instead."""

    name = "static"

    def next_prompts(self, slices: SliceSource, chain: Chain, index: int, options: RunOptions) -> SlicePrompts:
        if chain.plan.box is None:
            return super().next_prompts(slices, chain, index, options)
        return box_prompts(chain.plan.box.in_plane(slices.axis))
