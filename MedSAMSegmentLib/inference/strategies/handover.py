"""The official 3D algorithm: each slice's box comes from the mask of the slice before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import PromptableSlices, RunOptions
from .slicewise import SlicewiseStrategy, Sweep, box_prompts, key_prompts, mask_box

if TYPE_CHECKING:
    from ..slice_predictor import SlicePrompts


class HandoverStrategy(SlicewiseStrategy):
    """Middle-out as in `CVPR24_LiteMedSAM_infer.py` (`MedSAM_infer_npz_3D`).

    After an empty slice the key slice's box is used again. In reference mode the label value enters the resize,
    which can widen the box of the second and later objects by a pixel; by default every object behaves as the first.
    """

    name = "handover"

    def next_prompts(self, slices: PromptableSlices, sweep: Sweep, index: int, options: RunOptions) -> SlicePrompts:
        label_value = sweep.object_index + 1 if options.reference else 1
        handed_over = slices.handover_prompts(sweep.previous, label_value)
        if handed_over is not None:
            return handed_over
        if sweep.key.box is not None:
            return box_prompts(sweep.key.box)
        box = mask_box(sweep.key_mask)
        return box_prompts(box) if box is not None else key_prompts(sweep.key)
