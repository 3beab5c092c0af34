"""Eight-bit products: marked where ranges are known, taken where they are faster, refused with a sentence elsewhere."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from toy_sam import CPU, toy_encoder, toy_sam

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.errors import DeviceError
from MedSAMSegmentLib.inference.device import resolve_device
from MedSAMSegmentLib.inference.engines import choose, int8, openvino_model
from MedSAMSegmentLib.inference.engines.base import EngineFiles, probe_input, relative_error
from MedSAMSegmentLib.inference.engines.benchmarks import BenchmarkStore, EngineBenchmark
from MedSAMSegmentLib.inference.engines.choose import choose_engine, open_openvino
from MedSAMSegmentLib.inference.engines.graphs import graphs_of
from MedSAMSegmentLib.inference.engines.precision import Precision
from MedSAMSegmentLib.inference.engines.torch_engine import TorchEngine

needs_openvino = pytest.mark.skipif(bool(openvino_model.openvino_trouble()), reason=openvino_model.openvino_trouble())
EIGHT = dataclasses.replace(CPU, eight_bit=True)
LITE = registry.get("lite_medsam")
RANGES = {
    "layers.1.blocks.0.attn": (-4.0, 4.0 * 127 / 128),
    "layers.1.blocks.0.mlp.fc1": (-4.0, 4.0 * 127 / 128),
    "layers.1.blocks.0.mlp.fc2": (-0.5, 4.0 - 0.5),
    "neck.2": (-4.0, 4.0 * 127 / 128),
}


@pytest.fixture
def known_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDSAM_ENGINE", raising=False)
    look_at(monkeypatch, RANGES)


def look_at(monkeypatch: pytest.MonkeyPatch, ranges: int8.Ranges) -> None:
    """As if these were the ranges of the toy's weights."""
    sha256 = toy_encoder(None).files.weights_sha256
    monkeypatch.setattr(int8, "_all_ranges", lambda: {"lite_medsam": {"sha256": sha256, "ranges": ranges}})


def test_the_ranges_are_those_of_the_published_weights_alone() -> None:
    assert LITE.sha256 is not None
    ranges = int8.ranges_of(EngineFiles(LITE, LITE.sha256, None))
    assert ranges is not None
    assert len(ranges) == 41
    assert all(low < 0 < high for low, high in ranges.values())
    assert int8.ranges_of(EngineFiles(LITE, "0" * 64, None)) is None
    assert int8.ranges_of(EngineFiles(registry.get("medsam"), LITE.sha256, None)) is None


def test_zero_is_told_exactly() -> None:
    """Padding and what a GELU shuts off are zeros: none of them may become a small number."""
    for low, high in json.loads(Path(int8.__file__).with_name("int8_ranges.json").read_text())["lite_medsam"][
        "ranges"
    ].values():
        level = -low / ((high - low) / (int8.LEVELS - 1))
        assert level == pytest.approx(round(level), abs=1e-3)


@needs_openvino
def test_products_are_marked_by_their_layer() -> None:
    encoder = toy_encoder(None)
    model = openvino_model.convert(graphs_of(encoder.network, encoder.module, probe_input(encoder.files.entry))[0])
    int8.quantize_products(model, RANGES)
    marks = [node for node in model.get_ops() if node.get_type_name() == "FakeQuantize"]
    # Queries, keys and values share what goes in: 1 + 3 marks; each of the other three has 1 + 1.
    assert len(marks) == 4 + 3 * 2


@needs_openvino
def test_a_layer_that_the_graph_lacks_is_an_error() -> None:
    encoder = toy_encoder(None)
    model = openvino_model.convert(graphs_of(encoder.network, encoder.module, probe_input(encoder.files.entry))[0])
    with pytest.raises(RuntimeError, match=r"no products of layers\.9"):
        int8.quantize_products(model, {**RANGES, "layers.9.blocks.0.attn": (-1.0, 1.0)})


@needs_openvino
@pytest.mark.usefixtures("known_ranges")
def test_eight_bits_come_close_to_torch(tmp_path: Path) -> None:
    encoder = toy_encoder(tmp_path, device=EIGHT)
    engine = open_openvino(encoder, Precision(eight_bit=True))
    images = probe_input(encoder.files.entry) * 2 - 1
    expected = TorchEngine(encoder.network, CPU).encode(images)
    error = relative_error(engine.encode(images), expected)
    assert 1e-4 < error < 0.1, "in float32 alone the error is below 1e-5"


@needs_openvino
@pytest.mark.usefixtures("known_ranges")
@pytest.mark.parametrize(("quicker", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_rest_is_computed_in_what_is_quicker(tmp_path: Path, quicker: str, dtype: torch.dtype) -> None:
    encoder = toy_encoder(tmp_path, device=EIGHT)
    known = BenchmarkStore(encoder.files)
    for name in ("float32", "bfloat16"):
        label = f"openvino {openvino_model.openvino_version()} int8 and {name}"
        known.put(label, EngineBenchmark(0.0, 1.0 if name == quicker else 2.0))
    assert choose_engine(encoder).engine.precision == Precision(dtype, eight_bit=True)


@needs_openvino
@pytest.mark.usefixtures("known_ranges")
def test_eight_bits_are_never_taken_unasked(tmp_path: Path) -> None:
    chosen = choose_engine(toy_encoder(tmp_path), free_precision=True)
    assert not chosen.engine.precision.eight_bit
    assert "int8" not in chosen.reason


@needs_openvino
@pytest.mark.usefixtures("known_ranges")
def test_eight_bits_that_give_other_numbers_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = {layer: (low / 100, high / 100) for layer, (low, high) in RANGES.items()}
    look_at(monkeypatch, narrow)
    with pytest.raises(DeviceError, match="other numbers than torch for LiteMedSAM in int8"):
        choose_engine(toy_encoder(tmp_path, toy_sam(), EIGHT))


@pytest.mark.parametrize(
    ("wanted", "device", "trouble", "reason"),
    [
        ("auto", "cpu", "", "nobody has looked at the ranges of these weights of LiteMedSAM"),
        ("openvino", "cpu", "", "nobody has looked"),
        ("torch", "cpu", "", "it is none of the engine torch"),
        ("auto", "cuda", "", "OpenVINO runs on the CPU here"),
        ("auto", "cpu", "the package openvino is not installed", "the package openvino is not installed"),
    ],
)
def test_eight_bits_are_refused_with_the_reason_and_a_cure(
    wanted: str, device: str, trouble: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEDSAM_ENGINE", raising=False)
    monkeypatch.setattr(choose, "openvino_trouble", lambda: trouble)
    encoder = toy_encoder(None, device=dataclasses.replace(EIGHT, device=torch.device(device)))
    with pytest.raises(DeviceError, match=f"The precision int8 cannot be used: {reason}") as refused:
        choose_engine(encoder, wanted)
    assert "Use another precision" in refused.value.cure


def test_the_precision_is_one_of_a_device() -> None:
    device = resolve_device("cpu", "int8")
    assert (device.dtype, device.eight_bit) == (torch.float32, True)
    assert resolve_device("auto", "int8").device.type == "cpu"
    assert str(Precision(torch.bfloat16, eight_bit=True)) == "int8 and bfloat16"
