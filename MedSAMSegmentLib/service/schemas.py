"""Bodies of requests and answers. Unknown fields and wrong types are refused.

Lists stand for tuples: JSON has no others, and strict types take none in their place.
"""

from __future__ import annotations

from itertools import product
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..geometry import VolumeGeometry
from ..prompts import Box, Line, MaskPrompt, Point, Prompt
from .mask_bits import mask_from_json

Space = Literal["voxel", "LPS", "RAS"]
Axis = Literal["k", "j", "i"]
Position = Annotated[list[float], Field(min_length=3, max_length=3)]
Pair = Annotated[list[int], Field(min_length=2, max_length=2)]
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")]
ModelId = Annotated[str, Field(min_length=1, max_length=120)]

AXIS_NUMBERS = {"k": 0, "j": 1, "i": 2}
MOST_PROMPTS = 200
MOST_OBJECTS = 100


class Body(BaseModel):
    """A request's body, or a part of it."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Placed(Body):
    space: Space = Field("voxel", description="voxel: indices i, j, k; LPS or RAS: millimetres")

    def _ijk(self, positions: list[list[float]], geometry: VolumeGeometry) -> list[tuple[float, float, float]]:
        if self.space == "voxel":
            return [(i, j, k) for i, j, k in positions]
        to_ijk = geometry.lps_to_ijk if self.space == "LPS" else geometry.ras_to_ijk
        return [(float(i), float(j), float(k)) for i, j, k in to_ijk(np.array(positions, np.float64))]


class BoxBody(_Placed):
    """A box between two corners, both included: whole voxel indices, or millimetres."""

    type: Literal["box"]
    lower: Position
    upper: Position

    def prompt(self, geometry: VolumeGeometry) -> Prompt:
        if self.space == "voxel":
            return Box.from_corners(self.lower, self.upper)
        corners = [list(corner) for corner in product(*zip(self.lower, self.upper, strict=True))]
        return Box.enclosing(np.array(self._ijk(corners, geometry)))


class PointBody(_Placed):
    """A voxel that belongs to the object, or does not."""

    type: Literal["point"]
    position: Position
    positive: bool = True

    def prompt(self, geometry: VolumeGeometry) -> Prompt:
        return Point(*self._ijk([self.position], geometry)[0], self.positive)


class LineBody(_Placed):
    """A RECIST diameter: its two ends on one slice."""

    type: Literal["line"]
    start: Position
    end: Position

    def prompt(self, geometry: VolumeGeometry) -> Prompt:
        return Line(*self._ijk([self.start, self.end], geometry))


class MaskBits(Body):
    """A mask of one slice: `numpy.packbits` of its pixels, row by row, in base64."""

    rows: int = Field(ge=1, le=65536)
    columns: int = Field(ge=1, le=65536)
    bits: str = Field(max_length=12_000_000)


class MaskBody(Body):
    """The object's outline on slice `index` across `axis`."""

    type: Literal["mask"]
    axis: Axis
    index: int = Field(ge=0)
    mask: MaskBits

    def prompt(self, geometry: VolumeGeometry) -> Prompt:
        bits = mask_from_json(self.mask.rows, self.mask.columns, self.mask.bits)
        return MaskPrompt(AXIS_NUMBERS[self.axis], self.index, bits)


PromptBody = Annotated[BoxBody | PointBody | LineBody | MaskBody, Field(discriminator="type")]
Prompts = Annotated[list[PromptBody], Field(min_length=1, max_length=MOST_PROMPTS)]


class _Asked(Body):
    """The fields of previews and runs alike."""

    axis: Axis = Field("k", description="slices lie across this axis")
    model: ModelId | None = Field(None, description="a model that the server has; default: the server's")
    window: str = Field("auto", min_length=1, max_length=40, description="auto, a preset, or LEVEL/WIDTH")
    reading: int = Field(1, ge=1, le=2, description="2: the other thing that a box may mean")


class PreviewBody(_Asked):
    """One object on one slice."""

    index: int = Field(ge=0, description="the slice across axis")
    prompts: Prompts


class ObjectBody(Body):
    """One object: prompts that belong together, and its name."""

    name: Name | None = None
    prompts: Prompts
    terminology: str | None = Field(None, max_length=200, description="SCT:CODE:MEANING")


class RunBody(_Asked):
    """Objects in 3D."""

    objects: Annotated[list[ObjectBody], Field(min_length=1, max_length=MOST_OBJECTS)]
    slice_range: Pair | None = Field(None, description="first and last slice across axis")
    direction: Literal["both", "up", "down"] = "both"
    strategy: str | None = Field(None, max_length=40, description="how slices are linked; default: the model's best")
    stop: bool = Field(False, description="end by itself where the object seems to end")


class SegmentBody(Body):
    """The object of a run that is done, as a segment of a file."""

    run: str = Field(max_length=40)
    name: Name
    color: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]


class SegmentationBody(Body):
    """Segments of one image, and the format of their file; `dcm` is DICOM SEG."""

    format: Literal["seg.nrrd", "nii.gz", "npz", "dcm", "rtstruct"] = "seg.nrrd"
    segments: Annotated[list[SegmentBody], Field(min_length=1, max_length=MOST_OBJECTS)]


class ProblemAnswer(BaseModel):
    """An error: `code` for programs, `message` says what is wrong, `cure` what to do."""

    type: str
    title: str
    status: int
    code: str
    message: str
    cure: str
    errors: list[dict[str, str]] | None = None


class StateAnswer(BaseModel):
    status: str


class ModelAnswer(BaseModel):
    id: str
    title: str
    state: str
    licence: str
    licence_note: str
    good_for: str


class InfoAnswer(BaseModel):
    """The server: `device` is the one that computes, or the one asked for while nothing was computed."""

    name: str
    version: str
    versions: dict[str, str]
    device: str
    model: str
    models: list[ModelAnswer]
    windows: list[str]
    limits: dict[str, float]


class SessionAnswer(BaseModel):
    """An image that was sent: `shape_zyx` slices, rows, columns; `ijk_to_lps` the 4x4 affine in mm."""

    id: str
    kind: str
    modality: str | None
    shape_zyx: list[int]
    channels: int
    spacing_zyx: list[float]
    spacing_known_zyx: list[bool]
    ijk_to_lps: list[list[float]]
    time_series: bool
    frames: int
    window: str
    notes: list[str]
    runs: list[str]
    idle_seconds: float


class PreviewAnswer(BaseModel):
    """The mask of one slice; see the body of a mask for its bits."""

    axis: Axis
    index: int
    score: float
    flags: list[str]
    mask: MaskBits


class RunAnswer(BaseModel):
    """A run: `state` is queued, running, done, failed or cancelled; `progress` counts slices."""

    id: str
    session: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    objects: list[str]
    progress: dict[str, Any] | None
    problem: ProblemAnswer | None
    seconds: float | None
