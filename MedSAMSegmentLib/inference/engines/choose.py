"""Which engine runs a model's encoder: the one asked for, or the one that a short measurement finds fastest."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from ...errors import DeviceError, UsageError
from ...models.sam import Sam
from ...models.sam2 import Sam2
from ..device import DeviceChoice, reduced_precision
from ..slice_networks import SliceNetwork
from . import ENGINES
from .base import ERROR_LIMITS, EngineFiles, Features, ImageEncoderEngine, probe_input, relative_error
from .graphs import decoder_probe, graphs_of, look_back_probe, sam2_decoder_probe
from .measurements import Measurement, Measurements
from .openvino_engine import OpenVinoEngine
from .openvino_model import openvino_trouble, openvino_version, read_or_convert
from .torch_engine import TorchEngine

BFLOAT16_AGREES = frozenset({"lite_medsam"})
"""Models whose masks on the public cases are as good in bfloat16 (Resources/docs/benchmarks.md): there "auto" may."""


ENGINE_VARIABLE = "MEDSAM_ENGINE"
"""Environment variable that stands in for "auto"."""


@dataclass(frozen=True)
class Encoder:
    """A built network on its device, with where derived files may be kept."""

    network: SliceNetwork
    module: nn.Module
    device: DeviceChoice
    files: EngineFiles


@dataclass(frozen=True)
class EngineChoice:
    engine: ImageEncoderEngine
    reason: str


def choose_engine(encoder: Encoder, wanted: str = "auto", *, free_precision: bool = False) -> EngineChoice:
    """The engine of that name. "auto" never fails: what cannot be used is left out, and the reason says why.

    The environment variable `MEDSAM_ENGINE` names what "auto" stands for on this machine.
    With `free_precision` "auto" may compute in bfloat16 where that is known to keep the masks.
    Raises `UsageError` for an unknown name, `DeviceError` when the engine asked for cannot be used.
    """
    if wanted == "auto":
        wanted = os.environ.get(ENGINE_VARIABLE, "").strip() or "auto"
    if wanted not in ENGINES:
        raise UsageError(f"The engine {wanted!r} is not known.", f"Use one of {', '.join(ENGINES)}.")
    in_torch = TorchEngine(encoder.network, encoder.device)
    if wanted == "torch":
        return EngineChoice(in_torch, "asked for")
    trouble = _openvino_trouble(encoder)
    if wanted == "openvino":
        if trouble:
            raise DeviceError(f"The engine openvino cannot be used: {trouble}.", "Use the engine torch, or auto.")
        return EngineChoice(open_openvino(encoder, encoder.device.dtype), "asked for")
    if trouble:
        return EngineChoice(in_torch, trouble)
    return _fastest(encoder, in_torch, free_precision)


def open_openvino(encoder: Encoder, precision: torch.dtype) -> OpenVinoEngine:
    """Convert or read the encoder, compile it, and compare its answer with torch's when that was not done before.

    Raises `DeviceError` when OpenVINO cannot run the network or gives other numbers.
    """
    return _open_openvino(encoder, precision)[0]


def _open_openvino(encoder: Encoder, precision: torch.dtype) -> tuple[OpenVinoEngine, Measurement]:
    title = encoder.files.entry.title
    try:
        engine = _compile(encoder, precision)
        known = _known(encoder, engine)
    except RuntimeError as failure:
        detail = str(failure)
        raise DeviceError(f"OpenVINO cannot run {title}.", "Use the engine torch, or auto.", detail) from failure
    if known.error > ERROR_LIMITS[precision]:
        raise DeviceError(
            f"OpenVINO gives other numbers than torch for {title} (relative error {known.error:.2g}).",
            "Use the engine torch, or auto.",
        )
    return engine, known


def _compile(encoder: Encoder, precision: torch.dtype) -> OpenVinoEngine:
    files = encoder.files
    graphs = graphs_of(encoder.network, encoder.module, probe_input(files.entry))
    return OpenVinoEngine({graph.name: read_or_convert(graph, files) for graph in graphs}, precision)


def label(engine: ImageEncoderEngine) -> str:
    """The engine and its precision, for people and as a key: "openvino 2025.3.0 float32"."""
    return _label(engine.name, engine.precision)


def _label(engine: str, precision: torch.dtype) -> str:
    name = f"openvino {openvino_version()}" if engine == "openvino" else engine
    return f"{name} {str(precision).removeprefix('torch.')}"


def _fastest(encoder: Encoder, in_torch: TorchEngine, free_precision: bool) -> EngineChoice:
    precisions = {encoder.device.dtype}
    if free_precision and encoder.files.entry.id in BFLOAT16_AGREES:
        precisions.add(torch.bfloat16)
    labels = {_label("openvino", precision): precision for precision in sorted(precisions, key=str)}
    notes = []
    opened: dict[str, OpenVinoEngine] = {}
    known = _remembered(encoder, in_torch, labels)
    if known is None:
        known = {label(in_torch): _known(encoder, in_torch)}
        for name, precision in labels.items():
            try:
                opened[name], known[name] = _open_openvino(encoder, precision)
            except DeviceError as error:
                notes.append(error.message)
    best = min(known, key=lambda name: known[name].seconds)
    figures = ", ".join(f"{name} {known[name].seconds:.2f} s a slice" for name in known)
    if best in labels:
        try:
            return EngineChoice(opened.get(best) or open_openvino(encoder, labels[best]), figures)
        except DeviceError as error:
            notes.append(error.message)
    return EngineChoice(in_torch, " ".join(notes) or figures)


def _remembered(
    encoder: Encoder, in_torch: TorchEngine, labels: Mapping[str, torch.dtype]
) -> dict[str, Measurement] | None:
    """All figures of this machine that the choice needs, without those of engines that are not to be used.

    `labels` are OpenVINO's, with their precisions. None where a figure is missing. With all of them, one engine alone
    need be compiled.
    """
    measurements = Measurements(encoder.files)
    names = (label(in_torch), *labels)
    found = {name: figures for name in names if (figures := measurements.get(name)) is not None}
    if len(found) < len(names):
        return None
    return {
        name: figures
        for name, figures in found.items()
        if name not in labels or figures.error <= ERROR_LIMITS[labels[name]]
    }


def _known(encoder: Encoder, engine: ImageEncoderEngine) -> Measurement:
    return Measurements(encoder.files).get(label(engine)) or _measure(encoder, engine)


def _measure(encoder: Encoder, engine: ImageEncoderEngine) -> Measurement:
    """Compare with torch in float32 on a fixed input, time the better of two runs, and remember both.

    A run is a slice and a prompt on it, for a network with memory a slice and its look back at a full memory.
    """
    expected = _probe(encoder, TorchEngine(encoder.network, replace(encoder.device, dtype=torch.float32)))
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        found = _probe(encoder, engine)
        seconds.append(time.perf_counter() - started)
    measurement = Measurement(relative_error(found, expected), min(seconds))
    Measurements(encoder.files).put(label(engine), measurement)
    return measurement


@torch.inference_mode()
def _probe(encoder: Encoder, engine: ImageEncoderEngine) -> Features:
    features = engine.encode(probe_input(encoder.files.entry))
    if isinstance(encoder.module, Sam):
        decoded = (engine.decode or encoder.module.answer)(*decoder_probe(encoder.module, features))
        return (*features, *decoded)
    assert isinstance(encoder.module, Sam2)
    steps = engine.memory_steps or encoder.module.steps
    answer = steps.decode(*sam2_decoder_probe(encoder.module, features))
    with reduced_precision(encoder.device.device, engine.precision):
        conditioned = steps.look_back(*look_back_probe(encoder.module))
    return (*features, answer.logits, answer.ious, answer.tokens, conditioned.float())


def _openvino_trouble(encoder: Encoder) -> str:
    if encoder.device.device.type != "cpu":
        return "OpenVINO runs on the CPU here"
    return openvino_trouble()
