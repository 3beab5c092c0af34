"""The choice of an engine for a model's encoder: the one asked for, or the fastest in a short benchmark."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import nn

from ...errors import DeviceError, UsageError
from ...models.sam import Sam
from ...models.sam2 import Sam2
from ..device import DeviceChoice, reduced_precision
from ..slice_networks import SliceNetwork
from . import ENGINES
from .base import EngineFiles, Features, ImageEncoderEngine, probe_input, relative_error
from .benchmarks import BenchmarkStore, EngineBenchmark
from .graphs import attention_probe, decoder_probe, graphs_of, memory_probe, sam2_decoder_probe
from .openvino_engine import OpenVinoEngine, open_engine
from .openvino_model import computes_in_bfloat16, openvino_trouble, openvino_version
from .precision import Precision
from .torch_engine import TorchEngine
from .unused_files import remove_unused

BFLOAT16_AGREES = frozenset({"lite_medsam"})
"""Models whose masks on the judging set are as good in bfloat16, in the mean (Resources/docs/accuracy.md)."""

ENGINE_VARIABLE = "MEDSAM_ENGINE"
"""Environment variable that stands in for "auto"."""

MEASURED_RUNS, MEASURED_SECONDS = 5, 2.0
"""An engine is timed by so many runs at most, and by no third one after so long; the choice is remembered for good."""

PREPARING_PAYS_FROM = 64
"""Slices: of fewer, torch has done all before OpenVINO has converted, compiled and measured a network it does not know.

On two cores preparing takes as long as torch takes for 10 to 20 slices, and a slice in OpenVINO takes three quarters of
one in torch, or less."""

OPENING_SECONDS = 0.5
"""To read what OpenVINO has compiled; torch has nothing to read."""

WARM_UP_SECONDS = 0.5
"""An encoder that takes longer is not run while a model opens: its first run loses less than that would take."""


@dataclass(frozen=True)
class Encoder:
    """A built network on its device, with where derived files may be kept."""

    network: SliceNetwork
    module: nn.Module
    device: DeviceChoice
    files: EngineFiles

    @cached_property
    def expected(self) -> Features:
        """The outputs of torch in float32 for a fixed input."""
        return _probe(self, TorchEngine(self.network, replace(self.device, dtype=torch.float32)))


@dataclass(frozen=True)
class EngineChoice:
    engine: ImageEncoderEngine
    reason: str


def choose_engine(
    encoder: Encoder, wanted: str = "auto", *, free_precision: bool = False, slices: int | None = None
) -> EngineChoice:
    """Return the engine of that name. "auto" never fails: what cannot be used is left out, and the reason says why.

    The environment variable `MEDSAM_ENGINE` names what "auto" stands for on this machine.
    With `free_precision` "auto" may compute in bfloat16 where that is known to keep the masks and the processor has
    instructions for it. Where about so many `slices` will be encoded, None for any number, "auto" is what is done with
    them first, from now on: few do not pay for preparing OpenVINO.
    What OpenVINO compiled for the choice is kept with `encoder.files`.
    Raises `UsageError` for an unknown name, `DeviceError` when the engine or the precision asked for cannot be used.
    """
    choice = _choose(encoder, wanted, free_precision, slices)
    if encoder.files.notes:
        choice = replace(choice, reason="; ".join((choice.reason, *dict.fromkeys(encoder.files.notes))))
    if isinstance(choice.engine, OpenVinoEngine):
        choice.engine.keep(encoder.files)
        remove_unused(encoder.files)
    return choice


def resolve_engine(wanted: str) -> str:
    """Return what an engine's name stands for on this machine: `MEDSAM_ENGINE` is what "auto" means."""
    return os.environ.get(ENGINE_VARIABLE, "").strip() or wanted if wanted == "auto" else wanted


def pays_to_prepare(slices: int | None) -> bool:
    """Return whether so many slices, None for any number, are worth preparing OpenVINO on a machine where it was not
    used."""
    return slices is None or slices >= PREPARING_PAYS_FROM


def _choose(encoder: Encoder, wanted: str, free_precision: bool, slices: int | None) -> EngineChoice:
    wanted = resolve_engine(wanted)
    if wanted not in ENGINES:
        raise UsageError(f"The engine {wanted!r} is not known.", f"Use one of {', '.join(ENGINES)}.")
    in_torch = TorchEngine(encoder.network, encoder.device)
    if wanted == "torch":
        return EngineChoice(in_torch, "asked for")
    trouble = _openvino_trouble(encoder)
    own = Precision(encoder.device.dtype)
    if wanted == "openvino":
        if trouble:
            raise DeviceError(f"The engine openvino cannot be used: {trouble}.", "Use the engine torch, or auto.")
        return EngineChoice(open_openvino(encoder, own), "asked for")
    if trouble:
        return EngineChoice(in_torch, trouble)
    precisions = [own]
    if free_precision and encoder.files.entry.id in BFLOAT16_AGREES and computes_in_bfloat16():
        precisions += [Precision(torch.bfloat16)]
    return _fastest(encoder, precisions, in_torch, slices)


def open_openvino(encoder: Encoder, precision: Precision) -> OpenVinoEngine:
    """Convert, compile or read the graphs, and compare their answers with torch's when that was not done before.

    Raises `DeviceError` when OpenVINO cannot run the network or gives other numbers.
    """
    return _open_openvino(encoder, precision)[0]


def _open_openvino(encoder: Encoder, precision: Precision) -> tuple[OpenVinoEngine, EngineBenchmark]:
    title = encoder.files.entry.title
    cure = "Use the engine torch, or auto."
    try:
        graphs = graphs_of(encoder.network, encoder.module, probe_input(encoder.files.entry))
        engine = open_engine(graphs, encoder.files, precision)
        known = BenchmarkStore(encoder.files).get(label(engine))
        if known is None:
            known = _measure(encoder, engine)
        else:
            engine.warm_up(encoder=known.seconds <= WARM_UP_SECONDS)
    except RuntimeError as failure:
        detail = str(failure)
        raise DeviceError(f"OpenVINO cannot run {title} in {precision}.", cure, detail) from failure
    if known.error > precision.error_limit:
        raise DeviceError(
            f"OpenVINO gives other numbers than torch for {title} in {precision} (relative error {known.error:.2g}).",
            cure,
        )
    return engine, known


def label(engine: ImageEncoderEngine) -> str:
    """Return the engine and its precision, for people and as a key: "openvino 2025.3.0 float32"."""
    return _label(engine.name, engine.precision)


def _label(engine: str, precision: Precision) -> str:
    name = f"openvino {openvino_version()}" if engine == "openvino" else engine
    return f"{name} {precision}"


def _fastest(
    encoder: Encoder, precisions: Sequence[Precision], in_torch: TorchEngine, slices: int | None
) -> EngineChoice:
    """Choose among OpenVINO at these precisions and torch, which is left if all else fails."""
    labels = {_label("openvino", precision): precision for precision in precisions}
    troubles: list[DeviceError] = []
    opened: tuple[str, OpenVinoEngine] | None = None
    known, complete = _remembered(encoder, labels, in_torch)
    if not complete and not pays_to_prepare(slices):
        # OpenVINO is there where it was asked for by name; torch need not be measured beside it.
        if not known.keys() & labels.keys():
            return EngineChoice(in_torch, f"OpenVINO is not prepared, which {slices} slices do not pay for")
    elif not complete:
        known = {label(in_torch): _known(encoder, in_torch)}
        for name, precision in labels.items():
            try:
                engine, known[name] = _open_openvino(encoder, precision)
            except DeviceError as error:
                troubles.append(error)
                continue
            if name == _best(known, labels, None):  # the others are not kept: each takes a few hundred megabytes
                opened = name, engine
            del engine
    figures = ", ".join(f"{name} {known[name].seconds:.2f} s a slice" for name in known)
    best = _best(known, labels, slices)
    if best in labels:
        try:
            engine = opened[1] if opened and opened[0] == best else open_openvino(encoder, labels[best])
            return EngineChoice(engine, figures)
        except DeviceError as error:
            troubles.append(error)
    return EngineChoice(in_torch, " ".join(error.message for error in troubles) or figures)


def _best(known: Mapping[str, EngineBenchmark], labels: Mapping[str, Precision], slices: int | None) -> str:
    """Return the engine that is done first with so many slices, or with many."""

    def seconds(name: str) -> float:
        opening = OPENING_SECONDS if name in labels else 0.0
        return known[name].seconds + (opening / max(slices, 1) if slices is not None else 0.0)

    return min(known, key=seconds)


def _remembered(
    encoder: Encoder, labels: Mapping[str, Precision], in_torch: TorchEngine
) -> tuple[dict[str, EngineBenchmark], bool]:
    """Return the figures of this machine that the choice rests on, and whether none is missing.

    `labels` are OpenVINO's, with their precisions. Those of engines that are not to be used are left out. With all of
    them, one engine alone need be compiled.
    """
    store = BenchmarkStore(encoder.files)
    names = [label(in_torch), *labels]
    found = {name: figures for name in names if (figures := store.get(name)) is not None}
    usable = {
        name: figures
        for name, figures in found.items()
        if name not in labels or figures.error <= labels[name].error_limit
    }
    return usable, len(found) == len(names)


def _known(encoder: Encoder, engine: ImageEncoderEngine) -> EngineBenchmark:
    return BenchmarkStore(encoder.files).get(label(engine)) or _measure(encoder, engine)


def _measure(encoder: Encoder, engine: ImageEncoderEngine) -> EngineBenchmark:
    """Compare with torch in float32 on a fixed input, time the best of a few runs, and remember both.

    A run is a slice and a prompt on it, for a network with memory also a look back at a full memory and what it keeps.
    """
    expected = encoder.expected
    seconds: list[float] = []
    # What takes a while needs no more than two; of quick runs, other load can spoil two in a row.
    while len(seconds) < 2 or (len(seconds) < MEASURED_RUNS and sum(seconds) < MEASURED_SECONDS):
        started = time.perf_counter()
        found = _probe(encoder, engine)
        seconds.append(time.perf_counter() - started)
    benchmark = EngineBenchmark(relative_error(found, expected), min(seconds))
    BenchmarkStore(encoder.files).put(label(engine), benchmark)
    return benchmark


@torch.inference_mode()
def _probe(encoder: Encoder, engine: ImageEncoderEngine) -> Features:
    features = engine.encode(probe_input(encoder.files.entry))
    if isinstance(encoder.module, Sam):
        decoded = (engine.decode or encoder.module.answer)(*decoder_probe(encoder.module, features))
        return (*features, *decoded)
    assert isinstance(encoder.module, Sam2)
    steps = engine.memory_steps or encoder.module.steps
    answer = steps.decode(*sam2_decoder_probe(encoder.module, features))
    assert answer.object_score is not None
    with reduced_precision(encoder.device.device, engine.precision.dtype):
        conditioned = steps.attend_to_memories(*attention_probe(encoder.module))
        memory = steps.encode_memory(*memory_probe(encoder.module, features))
    # Together, as a score by itself may be next to nothing.
    scores = torch.cat([answer.ious, answer.object_score], dim=1)
    return (*features, answer.logits, scores, answer.tokens, conditioned.float(), memory.float())


def _openvino_trouble(encoder: Encoder) -> str:
    if encoder.device.device.type != "cpu":
        return "OpenVINO runs on the CPU here"
    return openvino_trouble()
