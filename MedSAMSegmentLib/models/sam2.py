"""SAM 2 and its relatives MedSAM2 and EfficientTAM: all weights of a checkpoint and the steps that a tracker combines.

Ravi et al. 2024, "SAM 2: Segment Anything in Images and Videos". What happens when on a frame is in
`inference.memory_tracker`; here is only what a frame, a prompt and a list of memories give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .fpn_neck import ImageEncoder
from .layers import MLP, DerivedTensors, as_tokens
from .mask_decoder import DecodedMasks, MaskDecoder
from .memory_attention import MemoryAttention, MemoryLayers
from .memory_encoder import MemoryEncoder
from .position_encoding import sine_grid, sine_of_distance
from .prompt_encoder import PADDING, PromptEncoder

STRIDE = 16
NUM_MEMORIES = 7
"""Spatial memories with a time code of their own: the conditioning frames share one, then six earlier frames."""
CONDITIONING_SLOT = NUM_MEMORIES - 1
ABSENT_LOGIT = -1024.0
"""Every logit of an object that is not on the frame."""
MASK_LOGIT = 10.0
"""Logit of a pixel inside a mask prompt; outside it is the negative."""
MEMORY_SCALE, MEMORY_BIAS = 20.0, -10.0
STABILITY_OFFSET, STABILITY_THRESHOLD = 0.05, 0.98


@dataclass(frozen=True)
class Sam2Config:
    """The differences between the relatives.

    `high_res_features`: skip connections of strides 4 and 8 into the mask decoder (Hiera trunks).
    `pointer_time_code`: object pointers carry how many frames ago they were made.
    `absent_code`: memories of frames without the object are marked.
    """

    image_size: int = 512
    dim: int = 256
    memory_dim: int = 64
    high_res_features: bool = True
    pointer_time_code: bool = True
    absent_code: bool = True

    @property
    def grid(self) -> tuple[int, int]:
        return (self.image_size // STRIDE, self.image_size // STRIDE)


@dataclass(frozen=True)
class ImageFeatures:
    """An encoded frame: `embedding` (1,C,h,w) at stride 16 and the skip features at strides 4 and 8, if any."""

    embedding: Tensor
    high_res: tuple[Tensor, Tensor] | None

    @property
    def nbytes(self) -> int:
        tensors = (self.embedding, *(self.high_res or ()))
        return sum(t.numel() * t.element_size() for t in tensors)


@dataclass(frozen=True)
class MaskAnswer:
    """The decoder's answer for one object on one frame.

    `low_res_logits` (1,1,4h,4w), `iou` of that mask, `ious` of all candidates it was chosen from (one or three),
    `object_pointer` (1,C), `object_score` logit (1,1): positive means present.
    """

    low_res_logits: Tensor
    iou: float
    ious: tuple[float, ...]
    object_pointer: Tensor
    object_score: Tensor


EncodeMemory: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""`MemoryEncoder.forward`, or what runs the same elsewhere."""

Sam2Decode: TypeAlias = Callable[[Tensor, Tensor, "tuple[Tensor, Tensor] | None"], DecodedMasks]
"""`Sam2.answer`, or what runs the same elsewhere."""


@dataclass(frozen=True)
class MemorySteps:
    """Parts of tracking that may run elsewhere: each is the network's own method, or does the same."""

    attend_to_memories: MemoryLayers
    decode: Sam2Decode
    encode_memory: EncodeMemory


@dataclass(frozen=True)
class PointPrompt:
    """Points (1,N,2), x, y in network pixels, with labels (1,N); a box is two points with the labels 2 and 3."""

    points: Tensor
    labels: Tensor

    @property
    def is_ambiguous(self) -> bool:
        """A single click may mean several things: all three candidate masks compete."""
        return self.labels.shape[1] <= 1


class Sam2(DerivedTensors):
    """Parameter names are those of the official checkpoints, which load strictly."""

    def __init__(self, image_encoder: ImageEncoder, config: Sam2Config) -> None:
        super().__init__()
        self.config = config
        dim, memory_dim, grid = config.dim, config.memory_dim, config.grid
        self.image_encoder = image_encoder
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.memory_attention = MemoryAttention(grid, dim, memory_dim)
        self.memory_encoder = MemoryEncoder(dim, memory_dim)
        self.sam_prompt_encoder = PromptEncoder(dim, grid, (config.image_size, config.image_size))
        self.sam_mask_decoder = MaskDecoder(dim, sam2=True, high_res_features=config.high_res_features)
        self.obj_ptr_proj = MLP(dim, dim, dim, num_layers=3)
        self.maskmem_tpos_enc = nn.Parameter(torch.zeros(NUM_MEMORIES, 1, 1, memory_dim))
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, dim))
        # Part of every checkpoint, although only training without any memory frame reads it.
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, dim))
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, dim))
        if config.absent_code:
            self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, memory_dim))
        if config.pointer_time_code:
            self.obj_ptr_tpos_proj = nn.Linear(dim, memory_dim)

    @property
    def image_size(self) -> int:
        return self.config.image_size

    @property
    def device(self) -> torch.device:
        return self.no_mem_embed.device

    @property
    def steps(self) -> MemorySteps:
        """This network's own."""
        return MemorySteps(self.memory_attention.attend_to_memories, self.answer, self.memory_encoder)

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """Encode (1,3,S,S), normalised, to features; the skip convolutions run here, once for a frame."""
        if not self.config.high_res_features:
            return ImageFeatures(self.image_encoder(images)[-1], None)
        decoder = self.sam_mask_decoder
        stride_4, stride_8, embedding = self.image_encoder(images, decoder.conv_s0, decoder.conv_s1)
        return ImageFeatures(embedding, (stride_4, stride_8))

    def without_memory(self, features: ImageFeatures) -> Tensor:
        """Return the embedding (1,C,h,w) of a frame that is looked at by itself."""
        return features.embedding + self.no_mem_embed.view(1, -1, 1, 1)

    def with_memory(
        self,
        features: ImageFeatures,
        memories: Sequence[tuple[Tensor, int]],
        pointers: Sequence[tuple[Tensor, float]],
        steps: MemorySteps | None = None,
    ) -> Tensor:
        """Return the embedding (1,C,h,w) conditioned on memories.

        `memories`: at least one of (memory (1,memory_dim,h,w), slot of its time code); `pointers`: any number of
        (object pointer (1,C), distance in time as a share of the furthest that is used).
        """
        embedding = features.embedding
        grid_code = self._grid_code("memory position", self.config.memory_dim)
        tokens = [as_tokens(memory.to(embedding.device, embedding.dtype)) for memory, _ in memories]
        codes = [grid_code + self.maskmem_tpos_enc[slot] for _, slot in memories]
        pointer_count = 0
        if pointers:
            pointer_tokens, pointer_codes = self._pointer_tokens(pointers)
            tokens.append(pointer_tokens)
            codes.append(pointer_codes)
            pointer_count = pointer_tokens.shape[1]
        conditioned = self.memory_attention(
            as_tokens(embedding),
            self._grid_code("position", self.config.dim),
            torch.cat(tokens, dim=1),
            torch.cat(codes, dim=1),
            pointer_count,
            attend_to_memories=(steps or self.steps).attend_to_memories,
        )
        return conditioned.transpose(1, 2).unflatten(2, self.config.grid)

    def decode(
        self,
        embedding: Tensor,
        features: ImageFeatures,
        prompt: PointPrompt | None = None,
        mask_logits: Tensor | None = None,
        *,
        stability_fallback: bool = True,
        steps: MemorySteps | None = None,
    ) -> MaskAnswer:
        """Return the mask on a frame. Without a prompt (a tracked frame) the candidates compete as for a single click.

        `mask_logits` (1,1,4h,4w) is an earlier answer. With `stability_fallback` an unstable mask 0 gives way to the
        best candidate; the pointer still comes from mask 0, as the networks were trained.
        """
        ambiguous = prompt is None or prompt.is_ambiguous
        if prompt is None:
            prompt = self._no_points()
        return self._decode(
            embedding, features, prompt, mask_logits, steps, ambiguous=ambiguous, stability_fallback=stability_fallback
        )

    def adopt_mask(self, features: ImageFeatures, mask: Tensor, *, stability_fallback: bool = True) -> MaskAnswer:
        """Take a mask prompt (1,1,S,S) of 0 and 1 as the answer itself; the decoder only gives its object pointer."""
        logits = mask * (2 * MASK_LOGIT) - MASK_LOGIT
        size = self.sam_prompt_encoder.mask_input_size
        prompt = self._no_points()
        answer = self._decode(
            features.embedding,
            features,
            prompt,
            self.mask_downsample(mask),
            None,
            ambiguous=False,
            stability_fallback=stability_fallback,
        )
        present = mask.flatten(1).any(dim=1, keepdim=True)
        return MaskAnswer(
            low_res_logits=resize_antialiased(logits, size),
            iou=1.0,
            ious=(1.0,),
            object_pointer=torch.where(present, answer.object_pointer, self.no_obj_ptr),
            object_score=torch.where(present, MASK_LOGIT, -MASK_LOGIT),
        )

    def encode_memory(
        self,
        features: ImageFeatures,
        low_res_logits: Tensor,
        object_score: Tensor,
        *,
        binarize: bool,
        steps: MemorySteps | None = None,
    ) -> Tensor:
        """Return the memory (1,memory_dim,h,w) of a frame from its mask logits (1,1,4h,4w) and object score (1,1)."""
        size = (self.image_size, self.image_size)
        logits = F.interpolate(low_res_logits, size=size, mode="bilinear", align_corners=False)
        mask = (logits > 0).to(logits.dtype) if binarize else logits.sigmoid()
        memory = (steps or self.steps).encode_memory(features.embedding, mask * MEMORY_SCALE + MEMORY_BIAS)
        if self.config.absent_code:
            absent = (object_score <= 0).to(memory.dtype)
            memory = memory + (absent * self.no_obj_embed_spatial)[:, :, None, None]
        return memory

    def answer(self, image: Tensor, sparse: Tensor, high_res: tuple[Tensor, Tensor] | None) -> DecodedMasks:
        """Return all four masks from cells (1,N,C), the prompts' dense map added, and the prompts' tokens (1,T,C)."""
        position = self.sam_prompt_encoder.dense_position_encoding()
        return self.sam_mask_decoder.answer(image, position, sparse, high_res)

    def _decode(
        self,
        embedding: Tensor,
        features: ImageFeatures,
        prompt: PointPrompt,
        mask_logits: Tensor | None,
        steps: MemorySteps | None,
        *,
        ambiguous: bool,
        stability_fallback: bool,
    ) -> MaskAnswer:
        sparse, dense = self.sam_prompt_encoder(points=prompt.points, labels=prompt.labels, masks=mask_logits)
        cells = as_tokens(embedding).contiguous() + dense
        decoded = (steps or self.steps).decode(cells, sparse, features.high_res)
        assert decoded.object_score is not None
        logits, iou, token = _choose(decoded, ambiguous, stability_fallback)
        present = decoded.object_score > 0
        return MaskAnswer(
            low_res_logits=torch.where(present[:, :, None, None], logits, ABSENT_LOGIT).float(),
            iou=float(iou),
            ious=tuple(decoded.select(True).ious[0].tolist()) if ambiguous else (float(iou),),
            object_pointer=torch.where(present, self.obj_ptr_proj(token), self.no_obj_ptr).float(),
            object_score=decoded.object_score.float(),
        )

    def _no_points(self) -> PointPrompt:
        return PointPrompt(torch.zeros(1, 1, 2, device=self.device), torch.full((1, 1), PADDING, device=self.device))

    def _pointer_tokens(self, pointers: Sequence[tuple[Tensor, float]]) -> tuple[Tensor, Tensor]:
        """Split each pointer into C / memory_dim tokens that share one time code: (1,n,memory_dim) twice."""
        memory_dim = self.config.memory_dim
        stacked = torch.cat([pointer.to(self.device) for pointer, _ in pointers])
        tokens = stacked.reshape(1, -1, memory_dim)
        if not self.config.pointer_time_code:
            return tokens, torch.zeros_like(tokens)
        distances = torch.tensor([distance for _, distance in pointers], device=self.device)
        codes = self.obj_ptr_tpos_proj(sine_of_distance(distances, self.config.dim))
        return tokens, codes.repeat_interleave(self.config.dim // memory_dim, dim=0)[None]

    def _grid_code(self, name: str, channels: int) -> Tensor:
        return self.derived(name, lambda: as_tokens(sine_grid(*self.config.grid, channels)).to(self.device))


def resize_antialiased(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (B,C,H,W) by antialiased bilinear interpolation. Metal has no such kernel: there the CPU does it."""
    source = x.cpu() if x.device.type == "mps" else x
    return F.interpolate(source, size=size, mode="bilinear", align_corners=False, antialias=True).to(x.device)


def stability(logits: Tensor) -> Tensor:
    """Measure how little the area of masks (B,M,h,w) depends on the threshold, (B,M): 1 is not at all."""
    inner = (logits > STABILITY_OFFSET).flatten(2).sum(-1).float()
    outer = (logits > -STABILITY_OFFSET).flatten(2).sum(-1).float()
    return torch.where(outer > 0, inner / outer.clamp(min=1), 1.0)


def _choose(decoded: DecodedMasks, ambiguous: bool, stability_fallback: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits (1,1,h,w), IoU () and token (1,C) of the mask that answers."""
    single, candidates = decoded.select(False), decoded.select(True)
    best = int(candidates.ious[0].argmax())
    if ambiguous:
        return candidates.logits[:, best : best + 1], candidates.ious[0, best], candidates.tokens[:, best]
    token = single.tokens[:, 0]
    if stability_fallback and float(stability(single.logits)[0, 0]) < STABILITY_THRESHOLD:
        return candidates.logits[:, best : best + 1], candidates.ious[0, best], token
    return single.logits, single.ious[0, 0], token
