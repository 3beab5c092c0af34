"""The official 3D algorithm: each slice's box comes from the mask of the slice before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import RunOptions, SliceSource
from .slicewise import Chain, SlicewiseStrategy, box_prompts, key_prompts, mask_box

if TYPE_CHECKING:
    from ..slice_predictor import SlicePrompts


class HandoverStrategy(SlicewiseStrategy):
    """Middle-out as in `CVPR24_LiteMedSAM_infer.py` (`MedSAM_infer_npz_3D`).

    After an empty slice the key slice's box is used again. In reference mode the label value enters the resize,
    which can widen the box of the second and later objects by a pixel; by default every object behaves as the first.
    """

    name = "handover"

    def next_prompts(self, slices: SliceSource, chain: Chain, index: int, options: RunOptions) -> SlicePrompts:
        label_value = chain.object_index + 1 if options.reference else 1
        handed_over = slices.handover_prompts(chain.previous, label_value)
        if handed_over is not None:
            return handed_over
        if chain.key.box is not None:
            return box_prompts(chain.key.box)
        box = mask_box(chain.key_mask)
        return box_prompts(box) if box is not None else key_prompts(chain.key)
