"""Runs the flows of the golden files through the tracker and measures how far the results are apart.

The golden files hold what the official code computed with weights made from each tensor's name and shape. This module
is used by the tests and by `parity_table.py`.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from frame_encoder import FrameEncoder
from numpy.typing import NDArray

from MedSAMSegmentLib.inference.frame_features import FrameFeatures
from MedSAMSegmentLib.inference.memory_tracker import MemoryTracker, ObjectOnFrame, TrackedFrame, without_overlap
from MedSAMSegmentLib.inference.preprocessing import Sam2Transform
from MedSAMSegmentLib.inference.tracker_options import TrackerOptions
from MedSAMSegmentLib.models import sam2_builders
from MedSAMSegmentLib.models.mask_decoder import DecodedMasks
from MedSAMSegmentLib.models.position_encoding import sine_grid
from MedSAMSegmentLib.models.sam2 import Sam2, stability

REPO = Path(__file__).resolve().parents[2]
REFERENCE = Path(os.environ.get("MEDSAM_SHARED", REPO.parent / "shared")) / "reference"
GOLDEN = REFERENCE / "golden"

Arrays = dict[str, NDArray]


@dataclass(frozen=True)
class Family:
    """A network, where its golden files are, and the options that repeat its official predictor."""

    state_dict: str
    builder: Callable[[], Sam2]
    official: TrackerOptions


FAMILIES = {
    "medsam2": Family("medsam2_hiera_t512", sam2_builders.sam2_hiera_t, TrackerOptions.official_medsam2()),
    "medsam2v": Family("medsam2_hiera_t512", sam2_builders.sam2_hiera_t, TrackerOptions.official_medsam2().for_video()),
    "efftam_ti": Family("efficienttam_ti_512", sam2_builders.efficienttam_ti, TrackerOptions.official_efficienttam()),
    "efftam_s": Family("efficienttam_s_512", sam2_builders.efficienttam_s, TrackerOptions.official_efficienttam()),
}


@functools.cache
def weight_maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_weights", REFERENCE / "make_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def _model(state_dict: str) -> Sam2:
    family = next(f for f in FAMILIES.values() if f.state_dict == state_dict)
    keys = json.loads((REFERENCE / "state_dicts" / f"{state_dict}.json").read_text())["keys"]
    weights = {key: torch.from_numpy(value) for key, value in weight_maker().make_state_dict(keys).items()}
    model = family.builder()
    model.load_state_dict(weights, strict=True)
    return model.eval()


def model_of(name: str) -> Sam2:
    """The network with the weights of the golden files."""
    return _model(FAMILIES[name].state_dict)


class Frames:
    """The frames of a golden volume; each is encoded once, whatever the number of cases.

    Those of another volume that look the same, which were encoded for it, are `known`.
    """

    def __init__(self, model: Sam2, volume: NDArray[np.uint8], known: Frames | None = None) -> None:
        self.encoder = FrameEncoder(model)
        self.volume = volume
        self.kept: dict[bytes, FrameFeatures] = dict(known.kept) if known else {}

    def __call__(self, index: int) -> FrameFeatures:
        pixels = self.volume[index].tobytes()
        if pixels not in self.kept:
            self.kept[pixels] = self.encoder.encode_frame(self.volume[index])
        return self.kept[pixels]


@functools.cache
def _frames(state_dict: str, file: Path) -> Frames:
    return Frames(_model(state_dict), np.load(file)["volume"])


def frames_of(name: str, image: str = "syn") -> Frames:
    return _frames(FAMILIES[name].state_dict, GOLDEN / f"{name.replace('2v', '2')}_{image}_input.npz")


def new_tracker(name: str, frames: Frames, options: TrackerOptions | None = None) -> MemoryTracker:
    depth, height, width = frames.volume.shape[:3]
    return MemoryTracker(model_of(name), frames, depth, (height, width), options or FAMILIES[name].official)


def fork(tracker: MemoryTracker) -> MemoryTracker:
    """A tracker in the same state that goes on by itself; the network and the frames are shared."""
    return copy.deepcopy(tracker, {id(tracker.model): tracker.model, id(tracker.frames): tracker.frames})


# What the flows record, under the names of the golden files.


def record_prompt(tracker: MemoryTracker, prefix: str, object_id: int, frame: int, answer: ObjectOnFrame) -> Arrays:
    entry = tracker.remembered(object_id, frame)
    assert entry is not None
    return {
        f"{prefix}_lowres": answer.low_res_logits,
        f"{prefix}_ptr": entry.answer.object_pointer[0].numpy(),
        f"{prefix}_score": np.array([answer.object_score], np.float32),
        f"{prefix}_iou": np.array(answer.ious, np.float32),
        f"{prefix}_tokens": np.array(answer.attended),
        f"{prefix}_video_bits": np.packbits(answer.mask),
    }


def record_pass(tracker: MemoryTracker, prefix: str, frames: Iterator[TrackedFrame]) -> Arrays:
    rows: dict[str, list] = {}
    for tracked in frames:
        entries = {i: tracker.remembered(i, tracked.index) for i in tracked.objects}
        results = tracked.objects
        last = [r.attended for r in results.values() if not r.prompted] or [(0, 0)]
        row = {
            "frames": tracked.index,
            "lowres": [r.low_res_logits for r in results.values()],
            "ptr": [entry.answer.object_pointer[0].numpy() for entry in entries.values()],
            "score": [r.object_score for r in results.values()],
            "iou3": [[np.nan] * 3 if r.prompted else r.ious for r in results.values()],
            "memory_tokens": last[-1],
            "memfeat_sample": [sample(entry.memory.float().numpy(), 256) for entry in entries.values()],
            "video_bits": np.packbits([r.mask for r in results.values()]),
        }
        for key, value in row.items():
            rows.setdefault(key, []).append(np.asarray(value))
    return {f"{prefix}_{key}": np.stack(values) for key, values in rows.items()}


def sample(values: NDArray, count: int = 4096) -> NDArray:
    flat = values.reshape(-1)
    return flat[np.unique(np.linspace(0, flat.size - 1, count).astype(np.int64))]


# The flows.


def run_case(name: str, case: str) -> tuple[Arrays, Arrays]:
    """The golden arrays of a case and ours under the same names."""
    with np.load(GOLDEN / f"{name}_{case}.npz") as file:
        golden = dict(file)
    image, _, flow = case.partition("_")
    frames = frames_of(name, image)
    runner = FLOWS[flow]
    return golden, runner(name, frames, golden)


def run_single(name: str, frames: Frames, golden: Arrays) -> Arrays:
    model, found = model_of(name), {}
    transform = Sam2Transform(frames.volume.shape[1:], model.image_size)
    features = frames(6).image
    for level, values in enumerate([*(features.high_res or ()), features.embedding]):
        found[f"fpn{level}_sample"] = sample(values.numpy())
        found[f"pos{level}_sample"] = sample(sine_grid(*values.shape[-2:], 256).numpy())
    found["input_sample"] = sample(transform.network_input(frames.volume[6]))
    prompts: dict[str, dict] = {f"box{n}": {"box_xyxy": box} for n, box in enumerate(golden["boxes"])}
    for key in ("pt1", "pt3", "boxpt"):
        prompts[key] = {"points_xy": golden[f"{key}_points"], "labels": golden[f"{key}_labels"]}
    prompts["boxpt"]["box_xyxy"] = golden["boxes"][0]
    for key, prompt in prompts.items():
        tracker = new_tracker(name, frames)
        found |= record_prompt(tracker, key, 1, 6, tracker.add_points(1, 6, **prompt))
    tracker = new_tracker(name, frames)
    for n, key in ((0, "seq_a"), (2, "seq_b")):
        click = {"points_xy": golden["pt3_points"][n : n + 1], "labels": golden["pt3_labels"][n : n + 1]}
        found |= record_prompt(tracker, key, 1, 6, tracker.add_points(1, 6, **click, keep_earlier=True))
    return found


@functools.cache
def _after_box(name: str, options: TrackerOptions, box: tuple[int, ...]) -> tuple[MemoryTracker, Arrays]:
    """A tracker with a box on frame 6 after its forward pass: where four cases begin."""
    frames = frames_of(name)
    tracker = new_tracker(name, frames, options)
    found = record_prompt(tracker, "prompt", 1, 6, tracker.add_points(1, 6, box_xyxy=box))
    return tracker, found | record_pass(tracker, "fwd", tracker.propagate(1))


def after_box(name: str, golden: Arrays, options: TrackerOptions | None = None) -> tuple[MemoryTracker, Arrays]:
    box = tuple(int(v) for v in golden["box"])
    tracker, found = _after_box(name, options or FAMILIES[name].official, box)
    return fork(tracker), dict(found)


def run_box(name: str, frames: Frames, golden: Arrays) -> Arrays:
    tracker, found = after_box(name, golden)
    tracker.reset()
    tracker.add_points(1, 6, box_xyxy=golden["box"])
    return found | record_pass(tracker, "rev", tracker.propagate(-1))


def run_box_by_default(name: str, frames: Frames, golden: Arrays) -> Arrays:
    """With our defaults both directions need no reset between them."""
    tracker, found = after_box(name, golden, TrackerOptions())
    return found | record_pass(tracker, "rev", tracker.propagate(-1))


def run_recist(name: str, frames: Frames, golden: Arrays) -> Arrays:
    tracker = new_tracker(name, frames)
    answer = tracker.add_points(1, 6, box_xyxy=golden["box"])
    found = record_prompt(tracker, "box_prompt", 1, 6, answer)
    found |= record_prompt(tracker, "mask_prompt", 1, 6, tracker.add_mask(1, 6, answer.mask))
    found |= record_pass(tracker, "fwd", tracker.propagate(1))
    tracker.reset()
    tracker.add_mask(1, 6, answer.mask)
    return found | record_pass(tracker, "rev", tracker.propagate(-1))


def run_mask(name: str, frames: Frames, golden: Arrays) -> Arrays:
    tracker = new_tracker(name, frames)
    mask = unpack(golden["mask_bits"], frames.volume.shape[1:])
    found = record_prompt(tracker, "prompt", 1, 6, tracker.add_mask(1, 6, mask))
    found |= record_pass(tracker, "fwd", tracker.propagate(1))
    return found | record_pass(tracker, "rev", tracker.propagate(-1))


def run_points_track(name: str, frames: Frames, golden: Arrays) -> Arrays:
    tracker = new_tracker(name, frames)
    answer = tracker.add_points(1, 6, golden["prompt_points"], golden["prompt_labels"])
    found = record_prompt(tracker, "prompt", 1, 6, answer)
    found |= record_pass(tracker, "fwd", tracker.propagate(1))
    return found | record_pass(tracker, "rev", tracker.propagate(-1))


def run_two(name: str, frames: Frames, golden: Arrays) -> Arrays:
    found: Arrays = {}
    tracker = new_tracker(name, frames)
    for prefix, direction in (("fwd", 1), ("rev", -1)):
        for number, box in enumerate(golden["boxes"], start=1):
            answer = tracker.add_points(number, 6, box_xyxy=box)
            found |= record_prompt(tracker, f"{prefix}_prompt{number}", number, 6, answer)
        found |= record_pass(tracker, prefix, tracker.propagate(direction))
        tracker.reset()
    return found


def run_two_frames(name: str, frames: Frames, golden: Arrays) -> Arrays:
    tracker, found = new_tracker(name, frames), {}
    for number, (frame, box) in enumerate(zip((6, 4), golden["boxes"], strict=True), start=1):
        answer = tracker.add_points(number, frame, box_xyxy=box)
        found |= record_prompt(tracker, f"prompt{number}", number, frame, answer)
    found |= record_pass(tracker, "fwd", tracker.propagate(1))
    return found | record_pass(tracker, "rev", tracker.propagate(-1))


def run_correct(name: str, frames: Frames, golden: Arrays, frame: int = 9) -> Arrays:
    tracker, found = after_box(name, golden)
    return found | _click_and_again(tracker, "", frame, golden)


def run_correct_key(name: str, frames: Frames, golden: Arrays) -> Arrays:
    return run_correct(name, frames, golden, frame=6)


def run_correct_cond(name: str, frames: Frames, golden: Arrays) -> Arrays:
    """The behaviour that is our default."""
    found: Arrays = {}
    for prefix, frame in (("f9_", 9), ("key_", 6)):
        tracker, before = after_box(name, golden, TrackerOptions())
        found |= {f"{prefix}{key}": value for key, value in before.items() if key.startswith("prompt")}
        found |= _click_and_again(tracker, prefix, frame, golden)
    return found


def _click_and_again(tracker: MemoryTracker, prefix: str, frame: int, golden: Arrays) -> Arrays:
    points, labels = golden[f"{prefix}click_points"], golden[f"{prefix}click_labels"]
    answer = tracker.add_points(1, frame, points, labels, keep_earlier=False)
    found = record_prompt(tracker, f"{prefix}click", 1, frame, answer)
    return found | record_pass(tracker, f"{prefix}again", tracker.propagate(1))


def run_mask_later(name: str, frames: Frames, golden: Arrays) -> Arrays:
    tracker, found = after_box(name, golden)
    mask = unpack(golden["mask9_input_bits"], frames.volume.shape[1:])
    found |= record_prompt(tracker, "mask9", 1, 9, tracker.add_mask(1, 9, mask))
    return found | record_pass(tracker, "again", tracker.propagate(1))


def run_long(name: str, frames: Frames, golden: Arrays) -> Arrays:
    # Every other frame is one of the other cases'.
    tracker = new_tracker(name, Frames(model_of(name), golden["volume"], known=frames))
    found = record_prompt(tracker, "prompt", 1, 2, tracker.add_points(1, 2, box_xyxy=golden["box"]))
    found |= record_pass(tracker, "fwd", tracker.propagate(1))
    found["fwd_lowres"] = found["fwd_lowres"][golden["fwd_lowres_kept"]]
    return found


def run_unstable(name: str, frames: Frames, golden: Arrays) -> Arrays:
    model = model_of(name)
    kept = {key: value.clone() for key, value in model.state_dict().items() if key in golden["scaled_keys"]}
    found: Arrays = {}
    try:
        model.load_state_dict({k: v * float(golden["scale"]) for k, v in kept.items()}, strict=False)
        shares: list[float] = []
        with watched_stability(model, shares):
            for number, box in enumerate(golden["boxes"]):
                tracker = new_tracker(name, frames)
                answer = tracker.add_points(1, 6, box_xyxy=box)
                found |= record_prompt(tracker, f"box{number}", 1, 6, answer)
            tracker = new_tracker(name, frames)
            answer = tracker.add_points(1, 6, box_xyxy=golden["boxes"][0])
        found["stability"] = np.array(shares)
        found |= record_prompt(tracker, "track", 1, 6, answer)
        found |= record_pass(tracker, "fwd", tracker.propagate(1))
    finally:
        model.load_state_dict(kept, strict=False)
    return found


class watched_stability:
    """Collects the stability of mask 0 of every decoder call."""

    def __init__(self, model: Sam2, shares: list[float]) -> None:
        self.model, self.shares = model, shares

    def __enter__(self) -> None:
        decoder = self.model.sam_mask_decoder
        answer = decoder.answer

        def watched(*arguments: Any, **options: Any) -> DecodedMasks:
            decoded = answer(*arguments, **options)
            self.shares.append(float(stability(decoded.logits)[0, 0]))
            return decoded

        decoder.answer = watched  # type: ignore[method-assign]

    def __exit__(self, *error: object) -> None:
        del self.model.sam_mask_decoder.answer


def run_absent(name: str, frames: Frames, golden: Arrays) -> Arrays:
    model, key = model_of(name), str(golden["override_key"])
    kept = {key: model.state_dict()[key].clone()}
    try:
        model.load_state_dict({key: torch.from_numpy(golden["override_value"])}, strict=False)
        tracker = new_tracker(name, frames)
        found = record_prompt(tracker, "prompt", 1, 6, tracker.add_points(1, 6, box_xyxy=golden["box"]))
        found |= record_pass(tracker, "fwd", tracker.propagate(1))
        tracker.reset()
        tracker.add_points(1, 6, box_xyxy=golden["box"])
        return found | record_pass(tracker, "rev", tracker.propagate(-1))
    finally:
        model.load_state_dict(kept, strict=False)


def run_fill(name: str, frames: Frames, golden: Arrays) -> Arrays:
    tracker = new_tracker(name, frames, replace(FAMILIES[name].official, fill_hole_area=8))
    found = record_prompt(tracker, "prompt", 1, 6, tracker.add_points(1, 6, box_xyxy=golden["box"]))
    found |= record_pass(tracker, "fwd", tracker.propagate(1))
    tracker.reset()
    tracker.add_points(1, 6, box_xyxy=golden["box"])
    return found | record_pass(tracker, "rev", tracker.propagate(-1))


def run_video(name: str, frames: Frames, golden: Arrays) -> Arrays:
    tracker, found = new_tracker(name, frames), {}
    masks = unpack(golden["mask_bits"], (2, *frames.volume.shape[1:]))
    for number, mask in enumerate(masks, start=1):
        found |= record_prompt(tracker, f"prompt{number}", number, 0, tracker.add_mask(number, 0, mask))
    found |= record_pass(tracker, "fwd", tracker.propagate(1))
    painted = unpack(found["fwd_video_bits"], (2, *frames.volume.shape[1:]))
    labels = np.zeros(frames.volume.shape, np.uint8)
    for number in (2, 1):
        labels[painted[:, number - 1]] = number
    return found | {"label_frames": labels}


FLOWS: dict[str, Callable[[str, Frames, Arrays], Arrays]] = {
    "single": run_single,
    "box": run_box,
    "recist": run_recist,
    "mask": run_mask,
    "points_track": run_points_track,
    "two": run_two,
    "two_frames": run_two_frames,
    "correct": run_correct,
    "correct_key": run_correct_key,
    "correct_cond": run_correct_cond,
    "mask_later": run_mask_later,
    "long": run_long,
    "unstable": run_unstable,
    "absent": run_absent,
    "fill": run_fill,
    "video": run_video,
}

WHOLE_FAMILY = (
    "single", "box", "recist", "mask", "points_track", "two", "two_frames", "correct", "correct_key", "correct_cond",
    "mask_later", "long", "unstable",
)  # fmt: skip
EXPECTED: dict[str, tuple[str, ...]] = {
    "medsam2": WHOLE_FAMILY,
    "medsam2v": ("video",),
    "efftam_ti": WHOLE_FAMILY,
    "efftam_s": ("single", "box"),
}
"""The flows whose golden files belong to the reference, by model, the cheapest first."""


def unpack(bits: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Undo packbits; more than one row gives a first axis of rows."""
    rows = bits[None] if bits.ndim == 1 else bits
    masks = np.unpackbits(rows, axis=1, count=int(np.prod(shape))).astype(bool).reshape(len(rows), *shape)
    return masks[0] if bits.ndim == 1 else masks


# How far apart.

TRACKED_PREFIXES = ("fwd", "rev", "again", "click", "f9_again", "f9_click", "key_again", "key_click")


@dataclass(frozen=True)
class Difference:
    """One array of a case. `pixels` differ of `of` set ones (masks only); `limit` is what is allowed for `value`."""

    name: str
    max_abs: float
    mean_abs: float
    pixels: int = 0
    dice: float = 1.0
    problems: tuple[str, ...] = ()


@dataclass
class Comparison:
    differences: list[Difference] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        return [problem for difference in self.differences for problem in difference.problems]

    def worst(self, *endings: str) -> tuple[float, float]:
        """The largest max and mean among the arrays whose name ends so."""
        chosen = [d for d in self.differences if d.name.endswith(endings)]
        return max((d.max_abs for d in chosen), default=0.0), max((d.mean_abs for d in chosen), default=0.0)

    @property
    def pixels(self) -> int:
        return sum(d.pixels for d in self.differences)


NOT_COMPARED = (
    "boxes", "box", "mask_bits", "volume", "scale", "scaled_keys", "override_key", "override_value", "fwd_lowres_kept",
    "bf16_memory_widened", "mask9_input_bits",
)  # fmt: skip


def compare(golden: Arrays, found: Arrays) -> Comparison:
    """Every array of the golden file against ours, with the limits of the reference's table of tolerances."""
    comparison = Comparison()
    for name, expected in golden.items():
        if name in NOT_COMPARED or name.endswith(("_points", "_labels")):
            continue
        if name.endswith("_info"):
            tokens = found[name.removesuffix("info") + "tokens"]
            difference = _exact(name, expected[3:], tokens)
        elif name.endswith("_iou") and float(golden[name.removesuffix("iou") + "score"][0]) == 10.0:
            # Of a mask prompt the golden file holds the IoU of a decoder call whose mask is not used.
            continue
        elif name == "label_frames":
            difference = _shared_masks(golden, found)
        elif name.endswith("_bits"):
            if name == "fwd_video_bits" and "label_frames" in golden:
                continue  # compared as `label_frames`
            difference = _masks(name, expected, found[name])
        elif name.endswith(("_frames", "_memory_tokens")):
            difference = _exact(name, expected, found[name])
        else:
            difference = _numbers(name, expected, found[name])
        comparison.differences.append(difference)
    return comparison


def _limits(name: str) -> tuple[float, float]:
    """Largest max and mean of the absolute difference."""
    if name in ("stability",):
        return 2e-4, 1e-4
    if name.startswith(("fpn", "pos", "input")):
        return 1e-4, 2e-5
    tracked = name.startswith(TRACKED_PREFIXES) and "_prompt" not in name
    if name.endswith("_lowres"):
        return (0.5, 0.02) if tracked else (1e-3, 1e-4)
    if name.endswith("_ptr"):
        return (0.05, 0.05) if tracked else (1e-4, 1e-4)
    if name.endswith("memfeat_sample"):
        return np.inf, 5e-3
    return (5e-3, 5e-3) if tracked else (1e-4, 1e-4)


def _numbers(name: str, expected: NDArray, found: NDArray) -> Difference:
    if expected.shape != found.shape:
        return Difference(name, np.inf, np.inf, problems=(f"{name}: {found.shape} instead of {expected.shape}",))
    known = ~np.isnan(expected)
    if not np.array_equal(known, ~np.isnan(found)):
        return Difference(name, np.inf, np.inf, problems=(f"{name}: other frames are prompted",))
    apart = np.abs(found[known].astype(np.float64) - expected[known]) if known.any() else np.zeros(1)
    largest, mean = float(apart.max()), float(apart.mean())
    limit_max, limit_mean = _limits(name)
    problems = []
    if largest > limit_max:
        problems.append(f"{name}: max {largest:.3g} > {limit_max:g}")
    if mean > limit_mean:
        problems.append(f"{name}: mean {mean:.3g} > {limit_mean:g}")
    if name.endswith("memfeat_sample") and not np.array_equal(torch.from_numpy(found).bfloat16().float(), found):
        problems.append(f"{name}: not rounded to bfloat16")
    return Difference(name, largest, mean, problems=tuple(problems))


def _masks(name: str, expected: NDArray, found: NDArray) -> Difference:
    if expected.shape != found.shape:
        return Difference(name, np.inf, np.inf, problems=(f"{name}: {found.shape} instead of {expected.shape}",))
    first, second = (np.unpackbits(bits).astype(bool) for bits in (expected, found))
    pixels = int((first != second).sum())
    total = int(first.sum() + second.sum())
    dice = 2 * int((first & second).sum()) / total if total else 1.0
    single = expected.ndim == 1
    wrong = pixels > 5 if single else dice < 0.9995
    problems = (f"{name}: {pixels} pixels differ, Dice {dice:.5f}",) if wrong else ()
    return Difference(name, 0.0, 0.0, pixels, dice, problems)


def _shared_masks(golden: Arrays, found: Arrays) -> Difference:
    """Frames (n,H,W) labelled with two objects that do not overlap.

    Where both objects' logits are all but equal, rounding decides who owns a pixel: the official code run with one
    thread instead of two changes as many. So what belongs to any object must agree as masks do, and a pixel may
    change its owner only where the official logits are as close as the logits of the two results are apart.
    """
    expected, ours = golden["label_frames"], found["label_frames"]
    first, second = expected > 0, ours > 0
    dice = 2 * int((first & second).sum()) / int(first.sum() + second.sum())
    problems = [f"label_frames: Dice of both objects together {dice:.5f}"] if dice < 0.9995 else []
    low_res = torch.from_numpy(golden["fwd_lowres"])
    full = torch.stack([F.interpolate(rows[:, None], expected.shape[1:], mode="bilinear")[:, 0] for rows in low_res])
    gap = (full[:, 0] - full[:, 1]).abs().numpy()
    owner_changed = first & second & (expected != ours)
    allowed = 2 * np.abs(golden["fwd_lowres"] - found["fwd_lowres"]).max()
    if owner_changed.any() and gap[owner_changed].max() > allowed:
        problems.append(f"label_frames: another owner where the logits differ by {gap[owner_changed].max():.3g}")
    by_rule = np.stack([without_overlap(rows[:, None])[:, 0].numpy() > 0 for rows in full])
    if not np.array_equal(np.packbits(by_rule.reshape(len(full), -1), axis=1), golden["fwd_video_bits"]):
        problems.append("fwd_video_bits: our rule on the official logits gives other masks")
    return Difference("label_frames", 0.0, 0.0, int((expected != ours).sum()), dice, tuple(problems))


def _exact(name: str, expected: NDArray, found: NDArray) -> Difference:
    same = np.array_equal(expected, found)
    return Difference(name, 0.0, 0.0, problems=() if same else (f"{name}: {found.tolist()} not {expected.tolist()}",))


def cases(name: str) -> tuple[str, ...]:
    """The golden cases of a model: each must be there where the reference is."""
    return tuple(f"syn_{flow}" for flow in EXPECTED[name])


def cases_there(name: str) -> set[str]:
    """The golden files of a model that belong to a flow."""
    found = {path.stem.removeprefix(f"{name}_") for path in GOLDEN.glob(f"{name}_*_*.npz")}
    return {case for case in found if case.partition("_")[2] in FLOWS}
