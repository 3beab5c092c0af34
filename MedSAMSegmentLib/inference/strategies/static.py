"""The 3D box on every slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import PromptableSlices, RunOptions
from .handover import HandoverStrategy
from .slicewise import Sweep, box_prompts

if TYPE_CHECKING:
    from ..slice_predictor import SlicePrompts


class StaticStrategy(HandoverStrategy):
    """Every slice gets the in-plane bounds of the 3D box. An object without a 3D box is handed over instead."""

    name = "static"

    def next_prompts(self, slices: PromptableSlices, sweep: Sweep, index: int, options: RunOptions) -> SlicePrompts:
        if sweep.plan.box is None:
            return super().next_prompts(slices, sweep, index, options)
        return box_prompts(sweep.plan.box.in_plane(slices.axis))
