"""A graph that OpenVINO has compiled, and its way to the disk and back."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.inference.engines import compiled_graph, openvino_model
from MedSAMSegmentLib.inference.engines.base import EngineFiles
from MedSAMSegmentLib.inference.engines.benchmarks import machine_signature
from MedSAMSegmentLib.inference.engines.compiled_graph import CompiledGraph, compile_graph, read_compiled
from MedSAMSegmentLib.inference.engines.graphs import Graph
from MedSAMSegmentLib.inference.engines.openvino_model import (
    compiled_path,
    convert,
    is_converted,
    model_path,
    openvino_version,
    read_or_convert,
)
from MedSAMSegmentLib.inference.engines.precision import Precision
from MedSAMSegmentLib.inference.engines.sealed_files import is_whole, seal_path

pytestmark = pytest.mark.skipif(
    bool(openvino_model.openvino_trouble()), reason=openvino_model.openvino_trouble() or "none"
)

INPUTS = (torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([2, 0]))


class Picked(nn.Module):
    """Gives the picked columns, doubled, and their sum."""

    def forward(self, values: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        picked = 2.0 * values[:, columns]
        return picked, picked.sum()[None]


A_GRAPH = Graph("picked", Picked(), lambda: (torch.ones(1, 3), torch.tensor([0, 1])), ((1, 3), (-1,)))


def files_in(folder: Path | None, weights_sha256: str = "0123456789abcdef") -> EngineFiles:
    return EngineFiles(registry.get("lite_medsam"), weights_sha256, folder)


def refuse(*arguments: object) -> None:
    raise OSError("no room")


@pytest.fixture(scope="module")
def compiled() -> CompiledGraph:
    return compile_graph(convert(A_GRAPH), torch.float32)


@pytest.fixture
def saved(compiled: CompiledGraph, tmp_path: Path) -> Path:
    path = tmp_path / "picked.blob"
    compiled.save(path)
    return path


def answer(graph: CompiledGraph) -> list[list[float]]:
    return [output.flatten().tolist() for output in graph.run(INPUTS)]


def test_it_answers_for_any_size_of_an_open_side(compiled: CompiledGraph) -> None:
    assert answer(compiled) == [[6.0, 2.0], [8.0]]
    assert [output.tolist() for output in compiled.run((INPUTS[0], torch.tensor([1])))] == [[[4.0]], [4.0]]
    compiled.warm_up()
    assert not compiled.in_file


def test_an_answer_is_not_overwritten_by_the_next(compiled: CompiledGraph) -> None:
    first = compiled.run(INPUTS)
    compiled.run((INPUTS[0] * 7, INPUTS[1]))
    assert first[0].tolist() == [[6.0, 2.0]]


def test_an_input_may_lie_anywhere_and_want_a_gradient(compiled: CompiledGraph) -> None:
    turned = torch.tensor([[1.0], [2.0], [3.0]], requires_grad=True).T
    spread = torch.tensor([[1.0, 9.0, 2.0, 9.0, 3.0, 9.0]])[:, ::2]
    for values in (turned, spread):
        assert compiled.run((values, INPUTS[1]))[0].tolist() == [[6.0, 2.0]]


def test_it_computes_for_one_answer_at_a_time_on_cores_that_torch_needs_too(compiled: CompiledGraph) -> None:
    properties = ("INFERENCE_PRECISION_HINT", "PERFORMANCE_HINT", "ENABLE_CPU_PINNING")
    precision, hint, pinned = (compiled._compiled.get_property(name) for name in properties)
    assert "float" in str(precision) or "f32" in str(precision)
    assert "LATENCY" in str(hint)
    assert pinned is False


def test_zeros_have_the_type_of_an_input_and_two_where_a_side_is_open() -> None:
    import openvino

    def port(kind: openvino.Type, shape: list[int]) -> SimpleNamespace:
        return SimpleNamespace(get_element_type=lambda: kind, get_partial_shape=lambda: openvino.PartialShape(shape))

    zeros = compiled_graph._zeros(port(openvino.Type.f32, [1, -1, 4]))
    assert zeros.dtype == torch.float32
    assert torch.equal(zeros, torch.zeros(1, 2, 4))
    assert compiled_graph._zeros(port(openvino.Type.i64, [-1])).dtype == torch.int64


def test_what_was_saved_answers_the_same_and_is_used_where_it_lies(saved: Path) -> None:
    os.utime(saved, (0, 0))
    found = read_compiled(saved, torch.float32)
    assert found is not None
    assert found.in_file
    assert answer(found) == [[6.0, 2.0], [8.0]]
    assert saved.stat().st_mtime > 0, "to read is to use"


def test_what_is_missing_altered_or_no_graph_is_not_read(saved: Path, tmp_path: Path) -> None:
    assert read_compiled(tmp_path / "nothing.blob", torch.float32) is None
    other = tmp_path / "other.blob"
    other.write_bytes(b"no graph" * 100)
    compiled_graph.seal(other)
    os.utime(other, (0, 0))
    assert read_compiled(other, torch.float32) is None
    assert other.stat().st_mtime == 0
    saved.write_bytes(saved.read_bytes() + b"x")
    assert read_compiled(saved, torch.float32) is None


@pytest.mark.parametrize("step", ["write_atomically", "seal"])
def test_a_graph_that_was_not_saved_to_its_end_has_no_seal(
    compiled: CompiledGraph, saved: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """So it counts as new, not as damaged."""
    assert is_whole(saved)
    monkeypatch.setattr(compiled_graph, step, refuse)
    with pytest.raises(OSError, match="no room"):
        compiled.save(saved)
    assert not seal_path(saved).exists()


def test_files_are_named_by_graph_release_precision_and_machine(tmp_path: Path) -> None:
    files, release = files_in(tmp_path), f"openvino-{openvino_version()}"
    assert model_path(files) == tmp_path / f"{files.stem}.{release}.xml"
    assert model_path(files, "decoder") == tmp_path / f"{files.stem}.decoder.{release}.xml"
    blob = compiled_path(files, "decoder", Precision(torch.bfloat16))
    assert blob == tmp_path / f"{files.stem}.decoder.{release}.bfloat16.{machine_signature()}.blob"
    assert "-" not in openvino_version()
    assert openvino_version().count(".") == 2
    for nowhere in (files_in(None), files_in(tmp_path, "")):
        assert model_path(nowhere) is None
        assert compiled_path(nowhere, "", Precision()) is None


@pytest.mark.parametrize(
    ("change", "found"), [({}, True), ({"weights_sha256": "f" * 64}, False), ({"release": "2024.1.0"}, False)]
)
def test_a_converted_network_is_known_by_weights_and_release(
    tmp_path: Path, change: dict[str, str], found: bool
) -> None:
    files = files_in(tmp_path)
    path = model_path(files)
    assert path is not None
    assert not is_converted(tmp_path, files.weights_sha256)
    if "release" in change:
        path = path.with_name(path.name.replace(openvino_version(), change["release"]))
    path.touch()
    assert is_converted(tmp_path, change.get("weights_sha256", files.weights_sha256)) is found


def test_a_graph_is_converted_once_and_then_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_in(tmp_path)
    read_or_convert(A_GRAPH, files)
    path = model_path(files, "picked")
    assert path is not None
    assert is_whole(path)
    assert is_whole(path.with_suffix(".bin"))
    for kept in (path, path.with_suffix(".bin")):
        os.utime(kept, (0, 0))
    monkeypatch.setattr(openvino_model, "convert", refuse)
    assert answer(compile_graph(read_or_convert(A_GRAPH, files), torch.float32)) == [[6.0, 2.0], [8.0]]
    assert all(kept.stat().st_mtime > 0 for kept in (path, path.with_suffix(".bin")))
    assert files.notes == []


@pytest.mark.parametrize("ending", [".xml", ".bin"])
def test_a_converted_graph_that_was_altered_is_noted_and_converted_again(tmp_path: Path, ending: str) -> None:
    files = files_in(tmp_path)
    read_or_convert(A_GRAPH, files)
    path = model_path(files, "picked")
    assert path is not None
    altered = path.with_suffix(ending)
    altered.write_bytes(altered.read_bytes() + b" ")
    read_or_convert(A_GRAPH, files)
    assert files.notes == [f"{altered.name} was altered or damaged and is made again"]
    assert is_whole(altered)


def test_a_file_without_its_weights_or_that_is_no_model_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "graph.xml"
    assert openvino_model._read(path) is None
    path.write_text("<net")
    compiled_graph.seal(path)
    assert openvino_model._read(path) is None
    path.with_suffix(".bin").write_bytes(b"")
    compiled_graph.seal(path.with_suffix(".bin"))
    assert openvino_model._read(path) is None


def test_what_another_process_converted_meanwhile_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([None, "converted elsewhere"])
    monkeypatch.setattr(openvino_model, "_read", lambda path: next(answers))
    monkeypatch.setattr(openvino_model, "convert", refuse)
    assert read_or_convert(A_GRAPH, files_in(tmp_path)) == "converted elsewhere"


def test_a_conversion_that_was_not_saved_to_its_end_has_no_seal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = files_in(tmp_path)
    read_or_convert(A_GRAPH, files)
    model = convert(A_GRAPH)
    path = model_path(files, "picked")
    assert path is not None
    monkeypatch.setattr(openvino_model, "seal", refuse)
    with pytest.raises(OSError, match="no room"):
        openvino_model._save(model, path)
    assert not is_whole(path.with_suffix(".bin"))
    assert not seal_path(path.with_suffix(".bin")).exists()
    assert not list(tmp_path.glob(".converting-*"))


@pytest.mark.parametrize(
    ("spec", "trouble"), [(None, "the package openvino is not installed"), (object(), "")], ids=["missing", "there"]
)
def test_trouble_is_told_where_openvino_is_missing(monkeypatch: pytest.MonkeyPatch, spec: object, trouble: str) -> None:
    monkeypatch.setattr(openvino_model, "find_spec", lambda name: spec)
    assert openvino_model.openvino_trouble() == trouble


@pytest.mark.parametrize(
    ("devices", "trouble"), [(["CPU", "GPU"], ""), (["GPU"], "openvino has no plug-in for this processor")]
)
def test_openvino_needs_its_plug_in_for_the_processor(
    monkeypatch: pytest.MonkeyPatch, devices: list[str], trouble: str
) -> None:
    import openvino

    monkeypatch.setattr(openvino, "Core", lambda: SimpleNamespace(available_devices=devices))
    assert openvino_model.openvino_trouble() == trouble


class SharedBias(nn.Module):
    """Two convolutions with one bias, and a sum that is none of a convolution."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(3)
        self.first, self.second = (nn.Parameter(torch.randn(3, 2, 3, 3, generator=random)) for _ in range(2))
        self.bias = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
        self.offset = nn.Parameter(torch.randn(1, 2, 1, 1, generator=random))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x + self.offset
        return nn.functional.conv2d(x, self.first, self.bias), nn.functional.conv2d(x, self.second, self.bias, 2)


def test_convolutions_that_share_a_bias_get_one_each() -> None:
    module = SharedBias()
    images = torch.randn(1, 2, 9, 9, generator=torch.Generator().manual_seed(4))
    model = convert(Graph("", module, lambda: (images,), ((1, 2, -1, -1),)))
    biases = [
        node.input_value(1).get_node()
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Add" and node.input_value(0).get_node().get_type_name() == "Convolution"
    ]
    assert [(bias.get_type_name(), bias.data.flatten().tolist()) for bias in biases] == [
        ("Constant", [1.0, 2.0, 3.0])
    ] * 2
    assert [list(bias.shape) for bias in biases] == [[1, 3, 1, 1]] * 2
    assert biases[0].get_friendly_name() != biases[1].get_friendly_name()
    found = compile_graph(model, torch.float32).run((images,))
    with torch.no_grad():
        for mine, theirs in zip(found, module(images), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)


def test_what_is_converted_answers_as_it_does_when_it_is_not_trained() -> None:
    """Also where the module was left in training; sizes that may differ do."""
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)).train()
    images = torch.randn(1, 1, 5, 5, generator=torch.Generator().manual_seed(4))
    graph = compile_graph(convert(Graph("", module, lambda: (images,), ((1, 1, -1, -1),))), torch.float32)
    larger = torch.randn(1, 1, 7, 6, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = module.eval()(larger)
    torch.testing.assert_close(graph.run((larger,))[0], expected, atol=1e-4, rtol=1e-4)


def test_what_is_written_into_a_mapped_graph_never_reaches_its_file(saved: Path) -> None:
    found = read_compiled(saved, torch.float32)
    assert found is not None
    mapped, _ = found._file  # type: ignore[misc]
    del found
    mapped[-1] ^= 1
    mapped.flush()
    assert is_whole(saved)
