"""What a CUDA card gives: python Testing/bench/gpu.py [--weights lite_medsam.pth] [--minutes 8] [--out FILE.md]

One script for a machine that is lent for minutes: it needs torch, numpy, scipy, for the MedSAM2 family Pillow, this
repository and the weights of LiteMedSAM (else made-up ones; those of the other models are made up anyway, as times do
not depend on them). It prints a page in Markdown: the pinned answers of `Testing/parity/golden` on the card, whole
propagations of 100 slices, what a run does when the card's memory gives out, times and memory beside the CPU's. What
fails is a line of the page, and so is what there was no time for. Without CUDA it says so and ends with 1;
`--rehearse` walks through it all on the CPU, with few slices.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
for folder in (REPO, HERE.parent / "parity"):
    sys.path.insert(0, str(folder))

import make_sam2_small_golden as golden_trackers  # noqa: E402
import make_small_golden as golden_sam  # noqa: E402
from deterministic_weights import deterministic_state_dict  # noqa: E402

from MedSAMSegmentLib import registry  # noqa: E402
from MedSAMSegmentLib.checkpoints.weights import load_state_dict, load_weights  # noqa: E402
from MedSAMSegmentLib.errors import MedSAMError  # noqa: E402
from MedSAMSegmentLib.inference.device import DeviceChoice  # noqa: E402
from MedSAMSegmentLib.inference.frame_features import FrameFeatures  # noqa: E402
from MedSAMSegmentLib.inference.memory_tracker import MemoryTracker  # noqa: E402
from MedSAMSegmentLib.inference.open import open_session  # noqa: E402
from MedSAMSegmentLib.inference.slice_predictor import SlicePredictor, SlicePrompts  # noqa: E402
from MedSAMSegmentLib.inference.tracker_options import tracker_options  # noqa: E402
from MedSAMSegmentLib.models.builders import build  # noqa: E402
from MedSAMSegmentLib.prompts import Box  # noqa: E402
from MedSAMSegmentLib.results import Segmentation3D  # noqa: E402

MODELS = ("lite_medsam", "medsam2", "efficient_medsam2_tiny", "medsam")
WHOLE_RUNS = ("lite_medsam", "medsam2")
SIDE = 512
BOX = (150.0, 160.0, 330.0, 350.0)
SLICES = 100
CPU_SLICES = 8
"""The CPU computes so many of them."""

BANK = 8
"""A tracked slice is timed from here on, where the memory is full."""

MEBIBYTE = 2**20
FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16


@dataclasses.dataclass(frozen=True)
class Bench:
    """`device` is what is measured, "cuda" but for a rehearsal; `deadline` is by `time.perf_counter`."""

    device: str
    weights: Path | None
    slices: int
    deadline: float

    @property
    def precisions(self) -> tuple[torch.dtype, ...]:
        """Those that are measured; many processors only emulate bfloat16, which takes minutes."""
        return (FLOAT32, BFLOAT16) if self.device == "cuda" else (FLOAT32,)

    def choice(self, dtype: torch.dtype, device: str = "", *, by_name: bool = True) -> DeviceChoice:
        return DeviceChoice(torch.device(device or self.device), dtype, "asked for", by_name)

    def predictor(self, model_id: str, choice: DeviceChoice) -> SlicePredictor:
        """Return a model of its own on the device."""
        entry = registry.get(model_id)
        module = build(entry.builder, **entry.builder_options)
        if model_id == "lite_medsam" and self.weights is not None:
            load_weights(module, load_state_dict(self.weights), entry)
        else:
            module.load_state_dict(made_up(model_id))
        return SlicePredictor(module, entry, choice)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--weights", type=Path, help="lite_medsam.pth; default: the one in MEDSAM_MODEL_DIR")
    parser.add_argument("--minutes", type=float, default=8.0, help="no part begins after so long")
    parser.add_argument("--out", type=Path, help="write the page there, too, after each part")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with few slices")
    options = parser.parse_args(arguments)
    if not options.rehearse and not torch.cuda.is_available():
        built = torch.version.cuda
        reason = f"it was built for CUDA {built}, but finds no card" if built else "it was built without CUDA"
        print(f"No CUDA device: nothing was measured. torch {torch.__version__}: {reason}.")
        return 1
    end = time.perf_counter() + 60 * options.minutes
    bench = Bench(
        "cpu" if options.rehearse else "cuda",
        options.weights or installed_weights(),
        10 if options.rehearse else SLICES,
        end,
    )
    page: list[str] = []
    for part in parts(bench):
        page.append(part)
        print(f"{part}\n", flush=True)
        if options.out is not None:
            options.out.write_text("\n\n".join(page) + "\n", encoding="utf-8")
    return 0


def parts(bench: Bench) -> Iterator[str]:
    """Yield the page's parts, in the order in which they are wanted most."""
    started = time.perf_counter()
    yield about(bench)
    for title, work in (
        ("Pinned answers", pinned_answers),
        ("Whole runs", whole_runs),
        ("When memory gives out", memory_gives_out),
        ("Times and memory", times),
    ):
        if time.perf_counter() > bench.deadline:
            yield f"## {title}\n\nNot measured: the time was over."
            continue
        try:
            yield f"## {title}\n\n{work(bench)}"
        except Exception as error:  # noqa: BLE001 - what fails on a card is what this looks for
            yield f"## {title}\n\nFailed: {describe(error)}\n\n```\n{traceback.format_exc()}```"
        release(bench)
    yield f"{time.perf_counter() - started:.0f} s in all."


def about(bench: Bench) -> str:
    lines = [f"torch {torch.__version__}, Python {platform.python_version()}, {os.cpu_count()} processors"]
    if bench.device == "cuda":
        card = torch.cuda.get_device_properties(0)
        major, minor = torch.cuda.get_device_capability(0)
        lines += [
            f"{card.name}, {card.total_memory / 2**30:.0f} GiB, compute capability {major}.{minor}",
            f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
            f"bfloat16: {'yes' if torch.cuda.is_bf16_supported(including_emulation=False) else 'emulated or none'}",
            f"TF32: products {torch.backends.cuda.matmul.allow_tf32}, convolutions {torch.backends.cudnn.allow_tf32}",
        ]
    else:
        lines.append("a rehearsal on the CPU: no figure of a card")
    lines.append(f"LiteMedSAM: {'its own weights' if bench.weights else 'made-up weights'}; the others': made up")
    return "# On a CUDA card\n\n" + ". ".join(lines) + "."


def pinned_answers(bench: Bench) -> str:
    """Compare the card's answers with the pinned ones of the CPU in float32."""
    rows: list[list[str]] = []
    names = [name for name in ("sam_small", "sam_lite_deterministic", "sam_lite_real") if named(name, bench)]
    for dtype in bench.precisions:
        for name in names:
            label = [name, precision(dtype)]
            attempt(rows, label, lambda n=name, d=dtype: differences(f"{n}.npz", sam_answers(bench, n, d)))
        for name in golden_trackers.NAMES:
            label = [f"tracker, {name}", precision(dtype)]
            work = lambda n=name, d=dtype: differences(f"tracker_{n}.npz", tracker_answers(bench, n, d))  # noqa: E731
            attempt(rows, label, work)
    head = ["answers", "precision", "largest difference of a logit", "mean", "of a score", "different pixels"]
    return table(head, rows)


def named(name: str, bench: Bench) -> bool:
    """Return whether these pinned answers can be had here."""
    return name != "sam_lite_real" or bench.weights is not None


def sam_answers(bench: Bench, name: str, dtype: torch.dtype) -> dict[str, NDArray]:
    weights = bench.weights if name == "sam_lite_real" else None
    made = golden_sam.small_sam() if name == "sam_small" else golden_sam.lite_medsam(weights)
    return golden_sam.packed(golden_sam.answers(SlicePredictor(made.module, made.entry, bench.choice(dtype))))


def tracker_answers(bench: Bench, name: str, dtype: torch.dtype) -> dict[str, NDArray]:
    """Return what the small tracker answers on the device, its slices encoded as the product does."""
    model = golden_trackers.model_of(name)
    entry = next(e for e in registry.entries() if e.builder == name)
    predictor = SlicePredictor(model, dataclasses.replace(entry, input_size=256), bench.choice(dtype))
    features = [FrameFeatures.of_embedding(predictor.encode(frame)) for frame in golden_trackers.drawn_volume()]
    return golden_trackers.packed(golden_trackers.tracked(predictor.sam2, features, dtype))


def differences(file_name: str, found: dict[str, NDArray]) -> list[str]:
    """Return the largest and the mean difference of logits, the largest of scores, and the share of other pixels."""
    logits, scores, different, pixels = [], [], 0, 0
    with np.load(golden_sam.FOLDER / file_name, allow_pickle=False) as golden:
        for key in golden.files:
            if key.endswith("_bits"):
                changed = np.unpackbits(golden[key]) != np.unpackbits(found[key])
                different, pixels = different + int(changed.sum()), pixels + changed.size
            else:
                apart = np.abs(np.asarray(golden[key], np.float64) - found[key])
                (logits if key.endswith("_logits") else scores).append(apart.reshape(-1))
    every = np.concatenate(logits)
    return [
        f"{every.max():.2g}",
        f"{every.mean():.2g}",
        f"{np.concatenate(scores).max():.2g}",
        f"{different} of {pixels}",
    ]


def times(bench: Bench) -> str:
    """Time one slice's encoding, one more tracked slice and a second prompt, each model on the card and the CPU."""
    rows: list[list[str]] = []
    devices = [(bench.device, dtype) for dtype in bench.precisions]
    devices += [("cpu", FLOAT32)] if bench.device != "cpu" else []
    for model_id in MODELS:
        for device, dtype in devices:
            label = [model_id, f"{device} {precision(dtype)}"]
            if time.perf_counter() > bench.deadline:
                rows.append([*label, *["no time left"] * 4])
                continue
            release(bench)
            choice = bench.choice(dtype, device)
            attempt(rows, label, lambda m=model_id, c=choice: times_of(bench, m, c))
    head = ["model", "device", "encode ms", "prompt ms", "tracked slice ms, encoded before", "peak MiB of the card"]
    return table(head, rows)


def times_of(bench: Bench, model_id: str, choice: DeviceChoice) -> list[str]:
    predictor, device = bench.predictor(model_id, choice), choice.device.type
    embedding, prompts = predictor.encode(picture(0)), SlicePrompts(box_xyxy=BOX)
    return [
        f"{1000 * best(lambda: predictor.encode(picture(0)), device):.1f}",
        f"{1000 * best(lambda: predictor.predict(embedding, prompts), device):.1f}",
        f"{1000 * tracked_slice(predictor, device):.1f}" if predictor.entry.kind == "memory" else "",
        f"{peak(device):.0f}" if device == "cuda" else "",
    ]


def tracked_slice(predictor: SlicePredictor, device: str) -> float:
    """Return the seconds of one more tracked slice with a full memory, its features at hand."""
    number = BANK + (8 if device == "cuda" else 2)
    frame = FrameFeatures.of_embedding(predictor.encode(picture(0)))
    tracker = MemoryTracker(
        predictor.sam2,
        lambda _: frame,
        number + 1,
        (SIDE, SIDE),
        tracker_options(predictor.entry.family),
        dtype=predictor.device.dtype,
    )
    tracker.add_points(1, 0, box_xyxy=BOX)
    marks = []
    for _ in tracker.propagate():
        synchronise(device)
        marks.append(time.perf_counter())
    return statistics.median(np.diff(marks[BANK:]))


def whole_runs(bench: Bench) -> str:
    """Propagate through a drawn volume: seconds and memory, and whether the answers are those of the CPU."""
    rows: list[list[str]] = []
    few = min(CPU_SLICES, bench.slices)
    for model_id in WHOLE_RUNS:
        try:
            expected, slow = propagate(bench, model_id, bench.choice(FLOAT32, "cpu"), few)
        except Exception as error:  # noqa: BLE001 - the other models go on
            rows.append([model_id, "cpu float32", describe(error), *[""] * 5])
            continue
        rows.append([model_id, "cpu float32", str(few), f"{slow:.1f}", f"{1000 * slow / few:.0f}", "", "", ""])
        for dtype in bench.precisions:
            if time.perf_counter() > bench.deadline:
                rows.append([model_id, precision(dtype), "no time left", *[""] * 5])
                continue
            label = [model_id, f"{bench.device} {precision(dtype)}", str(bench.slices)]
            attempt(rows, label, lambda m=model_id, d=dtype, e=expected.mask: whole_run(bench, m, d, e))
    head = ["model", "device", "slices", "s", "ms a slice", "peak MiB of the card"]
    return table([*head, f"Dice with the CPU's, {few} slices", "slices filled"], rows)


def whole_run(bench: Bench, model_id: str, dtype: torch.dtype, expected: NDArray[np.bool_]) -> list[str]:
    same, _ = propagate(bench, model_id, bench.choice(dtype), len(expected))
    release(bench)
    result, seconds = propagate(bench, model_id, bench.choice(dtype), bench.slices)
    return [
        f"{seconds:.1f}",
        f"{1000 * seconds / bench.slices:.0f}",
        f"{peak(bench.device):.0f}" if bench.device == "cuda" else "",
        f"{overlap(expected, same.mask):.4f}",
        str(len(result.objects[0].packed.slices)),
    ]


def propagate(bench: Bench, model_id: str, choice: DeviceChoice, slices: int) -> tuple[Segmentation3D, float]:
    """Return a run of the default in a box through all of `slices` slices, and its seconds without the opening."""
    predictor = bench.predictor(model_id, choice)
    predictor.encode(picture(0))  # kernels are chosen and loaded
    volume = np.stack([picture(index) for index in range(slices)])
    box = Box(i=(150, 330), j=(160, 350), k=(0, slices - 1))
    with open_session(predictor, volume, window="none") as session:
        synchronise(choice.device.type)
        started = time.perf_counter()
        result = session.propagate([box])
        synchronise(choice.device.type)
        return result, time.perf_counter() - started


def memory_gives_out(bench: Bench) -> str:
    """Run with less memory than a slice needs: "auto" is to go on on the CPU and say so, "cuda" to say what helps."""
    if bench.device != "cuda":
        return "Only on a card."
    lines = []
    for by_name in (False, True):
        release(bench)
        predictor = bench.predictor("lite_medsam", bench.choice(FLOAT32, by_name=by_name))
        total = torch.cuda.get_device_properties(0).total_memory
        volume = np.stack([picture(index) for index in range(4)])
        asked = "cuda" if by_name else "auto"
        with open_session(predictor, volume, window="none") as session:
            torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 4 * MEBIBYTE) / total)
            try:
                result = session.propagate([Box(i=(150, 330), j=(160, 350), k=(0, 3))])
                lines.append(
                    f"- `{asked}`: ended on {result.device}; {len(result.objects[0].packed.slices)} of 4 slices."
                )
            except MedSAMError as error:
                lines.append(f"- `{asked}`: {describe(error)}")
            finally:
                torch.cuda.set_per_process_memory_fraction(1.0)
        del predictor, session
    release(bench)
    again, _ = propagate(bench, "lite_medsam", bench.choice(FLOAT32), 4)
    lines.append(f"- afterwards, with all memory: ended on {again.device}.")
    return "\n".join(lines)


def best(work: Callable[[], object], device: str) -> float:
    """Return the shortest seconds of several calls, the card waited for; the first two warm up."""
    seconds: list[float] = []
    while len(seconds) < 4 or (len(seconds) < 20 and sum(seconds) < 2.0):
        synchronise(device)
        started = time.perf_counter()
        work()
        synchronise(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds[2:])


def synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def release(bench: Bench) -> None:
    """Give memory that nothing holds back to the card, and begin to look for its peak anew."""
    if bench.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak(device: str) -> float:
    """Return the most MiB that tensors held on the card since `release`."""
    return torch.cuda.max_memory_allocated() / MEBIBYTE if device == "cuda" else 0.0


def overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def describe(error: Exception) -> str:
    cure = f" {error.cure}" if isinstance(error, MedSAMError) and error.cure else ""
    return f"{type(error).__name__}: {error}{cure}"


def installed_weights() -> Path | None:
    path = Path(os.environ.get("MEDSAM_MODEL_DIR", "")) / "lite_medsam.pth"
    return path if path.is_file() else None


@cache
def made_up(model_id: str) -> dict[str, torch.Tensor]:
    entry = registry.get(model_id)
    return dict(deterministic_state_dict(build(entry.builder, **entry.builder_options)))


@cache
def picture(index: int) -> NDArray[np.uint8]:
    """Return a slice: a bright disc on noise that moves a little from one to the next."""
    random = np.random.default_rng(index)
    image = random.integers(20, 60, (SIDE, SIDE))
    y, x = np.mgrid[:SIDE, :SIDE]
    image[(x - 240 - index // 8) ** 2 + (y - 255) ** 2 < 80**2] += 150
    return image.astype(np.uint8)


def attempt(rows: list[list[str]], label: list[str], work: Callable[[], list[str]]) -> None:
    """Add a row: the label and what `work` returns, or why it failed."""
    try:
        rows.append(label + work())
    except Exception as error:  # noqa: BLE001 - what fails on a card is what this looks for
        rows.append([*label, describe(error).replace("\n", " ").replace("|", "/")])


def precision(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    short = ([*row, *[""] * (len(head) - len(row))] for row in rows)
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in short)])


if __name__ == "__main__":
    sys.exit(main())
