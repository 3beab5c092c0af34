"""One object that is followed from frame to frame: its prompts, its answers and its memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..models.sam2 import ABSENT_LOGIT, MASK_LOGIT, MaskAnswer, MemorySteps, PointPrompt, Sam2
from .device import reduced_precision
from .frame_features import FrameFeatures
from .memory_bank import FrameMemory, MemoryBank
from .tracker_options import TrackerOptions

EARLIER_LOGIT_LIMIT = 32.0
HOLE_LOGIT = 0.1


class ObjectTrack:
    """One object: its prompts, its memory bank, and answers that have not entered the bank yet (`pending`)."""

    def __init__(
        self,
        model: Sam2,
        options: TrackerOptions,
        dtype: torch.dtype,
        num_frames: int,
        steps: MemorySteps,
    ) -> None:
        self.model = model
        self.options = options
        self.dtype = dtype
        self.num_frames = num_frames
        self.steps = steps
        self.bank = MemoryBank(options.separate_directions, options.retained_frames)
        self.pending: dict[int, FrameMemory] = {}
        self._clicks: dict[int, PointPrompt] = {}

    def latest(self, frame: int) -> FrameMemory | None:
        return self.pending.get(frame) or self.bank.get(frame)

    def answer_points(
        self, frame: int, features: FrameFeatures, prompt: PointPrompt, keep_earlier: bool
    ) -> FrameMemory:
        """Answer clicks on a frame; its earlier mask goes in as well. A frame that was tracked before also has a
        memory."""
        earlier_clicks = self._clicks.get(frame)
        if keep_earlier and earlier_clicks is not None:
            prompt = PointPrompt(
                torch.cat([earlier_clicks.points, prompt.points], dim=1),
                torch.cat([earlier_clicks.labels, prompt.labels], dim=1),
            )
        self._clicks[frame] = prompt
        earlier = self.latest(frame)
        logits = None
        if earlier is not None:
            logits = earlier.answer.low_res_logits.float().clamp(-EARLIER_LOGIT_LIMIT, EARLIER_LOGIT_LIMIT)
        entry = self._answer(frame, features, self.bank.visited.get(frame), prompt, logits)
        self.pending[frame] = replace(self._with_filled_holes(entry), prompted=True)
        return self.pending[frame]

    def answer_mask(self, frame: int, features: FrameFeatures, mask: Tensor) -> FrameMemory:
        """Take a mask as its own answer; the clicks on this frame are forgotten."""
        self._clicks.pop(frame, None)
        answer = self.model.adopt_mask(features.image, mask, stability_fallback=self.options.stability_fallback)
        self.pending[frame] = replace(self._with_filled_holes(FrameMemory(answer)), prompted=True)
        return self.pending[frame]

    def track(self, frame: int, features: FrameFeatures, direction: int) -> FrameMemory:
        """Find the object on a frame without a prompt and remember it."""
        entry = self._answer(frame, features, direction)
        answer = entry.answer
        memory = self._memory(features, answer, binarize=False)
        entry = self._with_filled_holes(entry).with_memory(memory)
        self.bank.store_tracked(frame, direction, entry)
        return entry

    def settle(self, frame: int, features: FrameFeatures, entry: FrameMemory) -> None:
        """Remember a prompted frame, as a key frame or, by `corrections`, as a tracked one."""
        answer = entry.answer
        memory = self._memory(features, answer, binarize=self.options.binarize_prompted)
        entry = entry.with_memory(memory)
        direction = self.bank.visited.get(frame)
        if direction is None or self.options.corrections == "conditioning":
            self.bank.store_conditioning(frame, entry)
        elif frame not in self.bank.conditioning:
            self.bank.store_tracked(frame, direction, entry)

    def placeholder(self) -> FrameMemory:
        """Return the answer of an object without prompt or output on a shared key frame: nothing, said to be
        present."""
        size = self.model.sam_prompt_encoder.mask_input_size
        device = self.model.device
        answer = MaskAnswer(
            low_res_logits=torch.full((1, 1, *size), ABSENT_LOGIT, device=device),
            iou=0.0,
            ious=(0.0,),
            object_pointer=self.model.no_obj_ptr.detach(),
            object_score=torch.full((1, 1), MASK_LOGIT, device=device),
        )
        return FrameMemory(answer)

    def held(self, frame: int, direction: int) -> FrameMemory | None:
        """Return the output that a pass leaves alone: that of a key frame or of a kept correction."""
        if frame in self.bank.conditioning:
            return self.bank.conditioning[frame]
        entry = self.bank.tracked[direction].get(frame)
        if entry is not None and entry.prompted and self.options.corrections == "kept":
            return entry
        return None

    def has_key_behind(self, frame: int, direction: int) -> bool:
        return any((frame - key) * direction >= 0 for key in self.bank.conditioning)

    def _answer(
        self,
        frame: int,
        features: FrameFeatures,
        direction: int | None,
        prompt: PointPrompt | None = None,
        mask_logits: Tensor | None = None,
    ) -> FrameMemory:
        """Answer a prompt, or track. `direction` None: the frame is looked at by itself."""
        model, image = self.model, features.image
        attended = (0, 0)
        if direction is None:
            embedding = model.without_memory(image)
        else:
            memories, pointers = self.bank.select(frame, direction, self.num_frames)
            with reduced_precision(model.device, self.dtype):
                embedding = model.with_memory(image, memories, pointers, self.steps).float()
            attended = _token_counts(model, len(memories), len(pointers))
        fallback = self.options.stability_fallback
        answer = model.decode(embedding, image, prompt, mask_logits, stability_fallback=fallback, steps=self.steps)
        return FrameMemory(answer, attended=attended)

    def _memory(self, features: FrameFeatures, answer: MaskAnswer, *, binarize: bool) -> Tensor:
        with reduced_precision(self.model.device, self.dtype):
            memory = self.model.encode_memory(
                features.image, answer.low_res_logits, answer.object_score, binarize=binarize, steps=self.steps
            )
        return memory.float()

    def _with_filled_holes(self, entry: FrameMemory) -> FrameMemory:
        if not self.options.fill_hole_area:
            return entry
        filled = fill_holes(entry.answer.low_res_logits, self.options.fill_hole_area)
        return replace(entry, answer=replace(entry.answer, low_res_logits=filled))


def fill_holes(low_res_logits: Tensor, area: int) -> Tensor:
    """Give background components (8-connected) of up to `area` pixels in (1,1,h,w) a small positive logit."""
    from scipy import ndimage

    background = (low_res_logits[0, 0] <= 0).cpu().numpy()
    labels, count = ndimage.label(background, structure=np.ones((3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    small = (sizes <= area)[labels] & background
    return low_res_logits.masked_fill(torch.from_numpy(small).to(low_res_logits.device), HOLE_LOGIT)


def _token_counts(model: Sam2, memories: int, pointers: int) -> tuple[int, int]:
    height, width = model.config.grid
    pointer_tokens = pointers * (model.config.dim // model.config.memory_dim)
    return memories * height * width + pointer_tokens, pointer_tokens
