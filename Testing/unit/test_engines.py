"""Engines give torch's numbers, keep what they derive, and stand aside when they cannot."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_sam import CPU, toy_encoder, toy_sam
from toy_sam2 import toy_model

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.store import CheckpointStore
from MedSAMSegmentLib.errors import DeviceError, UsageError
from MedSAMSegmentLib.inference.device import DeviceChoice
from MedSAMSegmentLib.inference.engines import base, choose, openvino_engine, openvino_model
from MedSAMSegmentLib.inference.engines.base import ImageEncoderEngine, probe_input, relative_error, sources_digest
from MedSAMSegmentLib.inference.engines.benchmarks import BenchmarkStore, EngineBenchmark
from MedSAMSegmentLib.inference.engines.choose import choose_engine, label
from MedSAMSegmentLib.inference.engines.compiled_graph import CompiledGraph
from MedSAMSegmentLib.inference.engines.openvino_engine import OpenVinoEngine
from MedSAMSegmentLib.inference.engines.precision import Precision
from MedSAMSegmentLib.inference.engines.torch_engine import TorchEngine
from MedSAMSegmentLib.inference.slice_predictor import SliceEmbedding, SlicePredictor, SlicePrompts
from MedSAMSegmentLib.models.sam2 import Sam2

needs_openvino = pytest.mark.skipif(bool(openvino_model.openvino_trouble()), reason=openvino_model.openvino_trouble())


@pytest.fixture(scope="session")
def converted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    choose_engine(toy_encoder(folder), "openvino")
    return folder


@dataclasses.dataclass(frozen=True)
class Converted:
    """A network with a memory, its engine, and the folder of what was derived from it."""

    model: Sam2
    engine: ImageEncoderEngine
    folder: Path


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Converted]:
    """Converts the network with a memory, with fine features or without, once for all tests."""

    @functools.cache
    def convert(high_res: bool) -> Converted:
        model, folder = toy_model(high_res), tmp_path_factory.mktemp("tracker")
        return Converted(model, choose_engine(toy_encoder(folder, model), "openvino").engine, folder)

    return convert


@pytest.fixture
def kept(converted_once: Path, tmp_path: Path) -> Path:
    """A folder as it is after the first use of OpenVINO."""
    return Path(shutil.copytree(converted_once, tmp_path / "engines"))


@pytest.fixture(autouse=True)
def auto_is_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDSAM_ENGINE", raising=False)


def refuse(*arguments: object) -> None:
    raise AssertionError("this was done before and is remembered")


@needs_openvino
@pytest.mark.parametrize("make", [toy_sam, toy_model])
def test_openvino_gives_the_numbers_of_torch(make: Callable[[], torch.nn.Module]) -> None:
    encoder = toy_encoder(None, make())
    images = probe_input(encoder.files.entry) * 2 - 1
    expected = TorchEngine(encoder.network, CPU).encode(images)
    found = choose_engine(encoder, "openvino").engine.encode(images)
    assert [tensor.shape for tensor in found] == [tensor.shape for tensor in expected]
    assert relative_error(found, expected) < 1e-5


@needs_openvino
def test_openvino_answers_prompts_of_any_length_as_torch_does(kept: Path) -> None:
    sam = toy_sam()
    engine = choose_engine(toy_encoder(kept, sam), "openvino").engine
    entry = dataclasses.replace(registry.get("lite_medsam"), input_size=64)
    in_torch = SlicePredictor(sam, entry, CPU)
    in_openvino = SlicePredictor(sam, entry, CPU, engine=engine)
    embedding = SliceEmbedding((torch.randn(1, 16, 16, 16),), in_torch.transform((64, 64)))
    points = np.array([[10.0, 20.0], [40.0, 50.0], [3.0, 60.0]], dtype=np.float32)
    labels = np.array([1, 0, 1])
    mask = np.where(np.arange(64)[:, None] < np.full(64, 20), 8, -8).astype(np.float32)
    for prompts in (
        SlicePrompts(box_xyxy=(5, 6, 40, 50)),
        SlicePrompts(points_xy=points[:1], labels=labels[:1]),
        SlicePrompts(box_xyxy=(5, 6, 40, 50), within=(10, 20, 30, 44)),
        SlicePrompts(points_xy=points, labels=labels, box_xyxy=(5, 6, 40, 50), mask_logits=mask),
    ):
        for multimask in (False, True):
            expected = in_torch.predict(embedding, prompts, multimask)
            found = in_openvino.predict(embedding, prompts, multimask)
            np.testing.assert_allclose(found.low_res_logits, expected.low_res_logits, atol=1e-4, rtol=1e-4)
            assert found.score == pytest.approx(expected.score, abs=1e-5)


@needs_openvino
@pytest.mark.parametrize(("memories", "pointer_tokens"), [(1, 0), (1, 4), (7, 64), (9, 12)])
def test_openvino_looks_back_at_any_number_of_memories_as_torch_does(
    memories: int, pointer_tokens: int, converted: Callable[[bool], Converted]
) -> None:
    model, engine = converted(False).model, converted(False).engine
    assert engine.memory_steps is not None
    random = torch.Generator().manual_seed(memories)
    cells = model.config.grid[0] * model.config.grid[1]
    tokens = memories * cells + pointer_tokens
    x = torch.randn((1, cells, model.config.dim), generator=random)
    key, memory = (torch.randn((1, tokens, model.config.memory_dim), generator=random) for _ in range(2))
    arguments = (x, key, memory, model.memory_attention.key_rotation(tokens, pointer_tokens))
    with torch.inference_mode():
        expected = model.memory_attention.attend_to_memories(*arguments)
    assert relative_error((engine.memory_steps.attend_to_memories(*arguments),), (expected,)) < 1e-5


@needs_openvino
@pytest.mark.parametrize("high_res", [False, True])
@pytest.mark.parametrize("tokens", [2, 3, 9])
def test_openvino_decodes_and_remembers_a_frame_as_torch_does(
    tokens: int, high_res: bool, converted: Callable[[bool], Converted]
) -> None:
    model, steps = converted(high_res).model, converted(high_res).engine.memory_steps
    assert steps is not None
    random = torch.Generator().manual_seed(tokens)
    (height, width), dim = model.config.grid, model.config.dim
    cells, sparse = (torch.randn((1, n, dim), generator=random) for n in (height * width, tokens))
    skips = (torch.randn(1, dim // 8, 4 * height, 4 * width), torch.randn(1, dim // 4, 2 * height, 2 * width))
    mask = torch.randn((1, 1, model.image_size, model.image_size), generator=random)
    embedding = torch.randn((1, dim, height, width), generator=random)
    with torch.inference_mode():
        remembered = model.memory_encoder(embedding, mask)
        found = steps.decode(cells, sparse, skips if high_res else None)
        expected = model.steps.decode(cells, sparse, skips if high_res else None)
    for name in ("logits", "ious", "tokens", "object_score"):
        assert relative_error((getattr(found, name),), (getattr(expected, name),)) < 1e-5, name
    assert relative_error((steps.encode_memory(embedding, mask),), (remembered,)) < 1e-5


@needs_openvino
@pytest.mark.parametrize("step", ["_attend_to_memories", "_decode", "_encode_memory"])
def test_a_step_with_other_numbers_is_not_used(
    step: str, converted: Callable[[bool], Converted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Path(shutil.copytree(converted(False).folder, tmp_path / "engines"))
    encoder = toy_encoder(kept, converted(False).model)
    # The graphs are there, but nobody has compared their numbers.
    next(kept.glob("*.engines.json")).unlink()
    honest = getattr(OpenVinoEngine, step)

    def wrong(self: OpenVinoEngine, *arguments: object) -> object:
        right = honest(self, *arguments)
        if isinstance(right, torch.Tensor):
            return right * 1.01
        return dataclasses.replace(right, object_score=right.object_score + 0.5)

    monkeypatch.setattr(OpenVinoEngine, step, wrong)
    with pytest.raises(DeviceError, match="other numbers than torch"):
        choose_engine(encoder, "openvino")


@needs_openvino
def test_an_answer_does_not_change_when_the_next_slice_is_encoded(kept: Path) -> None:
    engine = choose_engine(toy_encoder(kept), "openvino").engine
    first = engine.encode(torch.zeros(1, 3, 64, 64))[0]
    kept = first.clone()
    second = engine.encode(torch.ones(1, 3, 64, 64))[0]
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)


@needs_openvino
@pytest.mark.parametrize("compiled_is_kept", [False, True])
def test_a_network_is_converted_and_compiled_once_and_then_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled_is_kept: bool
) -> None:
    images = torch.rand(1, 3, 64, 64)
    first = choose_engine(toy_encoder(tmp_path), "openvino").engine.encode(images)
    paths, compiled = sorted(tmp_path.glob("*.xml")), list(tmp_path.glob("*.float32.*.blob"))
    assert len(paths) == len(compiled) == 2
    assert ".decoder." in paths[0].name
    assert all(path.name.startswith(f"lite_medsam.0123456789ab.s{sources_digest()}.") for path in paths)
    assert all(openvino_model.openvino_version() in path.name for path in paths)
    if compiled_is_kept:
        monkeypatch.setattr(openvino_engine, "compile_graph", refuse)
    else:
        for path in compiled:
            path.unlink()
    monkeypatch.setattr(openvino_model, "convert", refuse)
    monkeypatch.setattr(choose, "_measure", refuse)
    again = choose_engine(toy_encoder(tmp_path), "openvino").engine.encode(images)
    assert torch.equal(first[0], again[0])
    assert not list(tmp_path.glob(".converting-*"))
    assert not list(tmp_path.glob("*.part"))


@needs_openvino
def test_other_weights_are_converted_by_themselves(kept: Path) -> None:
    encoder = toy_encoder(kept)
    others = dataclasses.replace(encoder, files=dataclasses.replace(encoder.files, weights_sha256="f" * 64))
    choose_engine(others, "openvino")
    assert len(list(kept.glob("*.xml"))) == 4


@needs_openvino
def test_removing_a_checkpoint_removes_what_was_derived_from_it(
    converted_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSAM_CACHE_DIR", str(tmp_path / "cache"))
    store = CheckpointStore(tmp_path)
    shutil.copytree(converted_once, store.derived_folder)
    another = store.derived_folder / "medsam2.0123456789ab.v1.engines.json"
    another.write_text("{}")
    store.remove(registry.get("lite_medsam"))
    assert list(store.derived_folder.iterdir()) == [another]


@needs_openvino
@pytest.mark.parametrize("damage", ["", "<net", None])
def test_a_damaged_file_is_converted_anew(kept: Path, damage: str | None) -> None:
    encoder = toy_encoder(kept)
    for path in kept.glob("*.blob"):
        path.unlink()
    for path in kept.glob("*.xml"):
        if damage is None:
            path.with_suffix(".bin").unlink()
        else:
            path.write_text(damage)
    choose_engine(encoder, "openvino")
    for path in kept.glob("*.xml"):
        assert path.with_suffix(".bin").stat().st_size > 1000
        assert path.stat().st_size > 1000


@needs_openvino
@pytest.mark.parametrize("ending", ["*.xml", "*.bin", "*.blob", "*.engines.json"])
def test_one_changed_byte_of_what_was_derived_is_seen(kept: Path, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file could still be read: a graph of other numbers would give other masks."""
    if ending != "*.blob":
        for path in kept.glob("*.blob"):
            path.unlink()
    path = sorted(kept.glob(ending))[-1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    measured: list[object] = []
    honest = choose._measure
    monkeypatch.setattr(choose, "_measure", lambda *parts: measured.append(parts) or honest(*parts))
    chosen = choose_engine(toy_encoder(kept), "openvino")
    assert (f"{path.name} was altered" in chosen.reason) == (ending != "*.engines.json")
    assert bool(measured) == (ending == "*.engines.json")
    assert path.read_bytes() != content


@needs_openvino
def test_a_file_whose_digest_was_never_written_is_made_again(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process leaves it that ends between the two."""
    for path in kept.glob("*.sha256"):
        path.unlink()
    converted: list[str] = []
    honest = openvino_model.convert
    monkeypatch.setattr(openvino_model, "convert", lambda graph: converted.append(graph.name) or honest(graph))
    choose_engine(toy_encoder(kept), "openvino")
    assert len(converted) == 2


def test_other_sources_of_what_is_traced_have_other_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "MedSAMSegmentLib"
    shutil.copytree(Path(base.__file__).parents[2] / "models", library / "models")
    shutil.copytree(Path(base.__file__).parents[1], library / "inference")
    monkeypatch.setattr(base, "__file__", str(library / "inference" / "engines" / "base.py"))
    base.sources_digest.cache_clear()
    try:
        before = base.sources_digest()
        with (library / "models" / "layers.py").open("a") as file:
            file.write("\n# one more line\n")
        base.sources_digest.cache_clear()
        assert base.sources_digest() != before
    finally:
        monkeypatch.undo()
        base.sources_digest.cache_clear()
    assert before == base.sources_digest()


@needs_openvino
def test_only_what_is_used_is_kept_as_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = toy_encoder(tmp_path)
    known = BenchmarkStore(encoder.files)
    version = openvino_model.openvino_version()
    for name, seconds in (("torch float32", 3.0), (f"openvino {version} float32", 1.0)):
        known.put(name, EngineBenchmark(0.0, seconds))
    monkeypatch.setattr(choose, "computes_in_bfloat16", lambda: True)
    choose_engine(encoder, free_precision=True)  # bfloat16 is measured, and one of the two is used
    assert len({path.name.split(".")[-3] for path in tmp_path.glob("*.blob")}) == 1


@needs_openvino
@pytest.mark.parametrize(
    "damage", [lambda content: b"", lambda content: content[: len(content) // 2], lambda _: b"x" * 999]
)
def test_a_damaged_compiled_graph_is_compiled_anew(kept: Path, damage: Callable[[bytes], bytes]) -> None:
    images = torch.rand(1, 3, 64, 64)
    expected = choose_engine(toy_encoder(kept), "openvino").engine.encode(images)
    damaged = {path: damage(path.read_bytes()) for path in kept.glob("*.blob")}
    assert len(damaged) == 2
    for path, content in damaged.items():
        path.write_bytes(content)
    chosen = choose_engine(toy_encoder(kept), "openvino")
    assert chosen.reason.count("was altered or damaged and is made again") == 2
    found = chosen.engine.encode(images)
    assert torch.equal(found[0], expected[0])
    assert "altered" not in choose_engine(toy_encoder(kept), "openvino").reason
    assert all(path.read_bytes() != content for path, content in damaged.items())


@needs_openvino
@pytest.mark.parametrize(("seconds", "runs"), [(0.5, 2), (0.6, 1)])
def test_a_quick_encoder_is_warm_when_it_is_open(
    kept: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, runs: int
) -> None:
    encoder = toy_encoder(kept)
    BenchmarkStore(encoder.files).put(
        f"openvino {openvino_model.openvino_version()} float32", EngineBenchmark(0.0, seconds)
    )
    warmed: list[CompiledGraph] = []

    def warm_up(graph: CompiledGraph) -> None:
        warmed.append(graph)

    monkeypatch.setattr(CompiledGraph, "warm_up", warm_up)
    choose_engine(encoder, "openvino")
    assert len(warmed) == runs, "the decoder always, a slow encoder not"


@needs_openvino
def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert choose_engine(toy_encoder(blocked / "engines"), "openvino").engine.name == "openvino"


@needs_openvino
def test_an_engine_with_other_numbers_is_not_used(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    next(kept.glob("*.json")).unlink()
    honest = OpenVinoEngine.encode
    monkeypatch.setattr(OpenVinoEngine, "encode", lambda self, images: tuple(x * 1.01 for x in honest(self, images)))
    with pytest.raises(DeviceError, match="other numbers than torch for LiteMedSAM"):
        choose_engine(toy_encoder(kept), "openvino")
    chosen = choose_engine(toy_encoder(kept), "auto")
    assert chosen.engine.name == "torch"
    assert "other numbers" in chosen.reason


@needs_openvino
@pytest.mark.parametrize(("in_torch", "in_openvino", "winner"), [(1.0, 0.4, "openvino"), (0.4, 1.0, "torch")])
def test_auto_takes_what_was_measured_to_be_faster(
    kept: Path, monkeypatch: pytest.MonkeyPatch, in_torch: float, in_openvino: float, winner: str
) -> None:
    monkeypatch.setattr(choose, "_measure", refuse)
    encoder = toy_encoder(kept)
    known = BenchmarkStore(encoder.files)
    known.put("torch float32", EngineBenchmark(0.0, in_torch))
    known.put(f"openvino {openvino_model.openvino_version()} float32", EngineBenchmark(1e-6, in_openvino))
    chosen = choose_engine(encoder)
    assert chosen.engine.name == winner
    assert "torch float32" in chosen.reason


@needs_openvino
def test_auto_prepares_nothing_for_a_few_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "_measure", refuse)
    chosen = choose_engine(toy_encoder(tmp_path), slices=9)
    assert chosen.engine.name == "torch"
    assert "not prepared, which 9 slices do not pay for" in chosen.reason
    assert not list(tmp_path.iterdir())


@needs_openvino
def test_auto_takes_openvino_for_a_few_slices_where_it_was_asked_for_once(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "_measure", refuse)
    assert choose_engine(toy_encoder(kept), slices=9).engine.name == "openvino"


@needs_openvino
def test_auto_prepares_openvino_for_many_slices(tmp_path: Path) -> None:
    choose_engine(toy_encoder(tmp_path), slices=choose.PREPARING_PAYS_FROM)
    assert len(list(tmp_path.glob("*.xml"))) == 2


@needs_openvino
@pytest.mark.parametrize(("slices", "winner"), [(1, "torch"), (9, "openvino"), (None, "openvino")])
def test_auto_counts_the_opening_where_few_slices_follow(
    kept: Path, monkeypatch: pytest.MonkeyPatch, slices: int | None, winner: str
) -> None:
    monkeypatch.setattr(choose, "_measure", refuse)
    encoder = toy_encoder(kept)
    known = BenchmarkStore(encoder.files)
    known.put("torch float32", EngineBenchmark(0.0, 0.9))
    known.put(f"openvino {openvino_model.openvino_version()} float32", EngineBenchmark(1e-6, 0.6))
    assert choose_engine(encoder, slices=slices).engine.name == winner


@pytest.mark.parametrize(
    ("in_torch", "in_openvino", "slices", "best"),
    [
        (1.0, 0.9, None, "openvino"),
        (0.9, 0.9, None, "torch"),
        (0.9, 0.6, 1, "torch"),
        (0.9, 0.6, 2, "openvino"),
        (1.2, 0.6, 0, "openvino"),
        (1.0, 0.6, 0, "torch"),
    ],
)
def test_the_best_is_done_first_with_half_a_second_to_open_openvino(
    in_torch: float, in_openvino: float, slices: int | None, best: str
) -> None:
    known = {"torch": EngineBenchmark(0.0, in_torch), "openvino": EngineBenchmark(0.0, in_openvino)}
    assert choose._best(known, {"openvino": Precision()}, slices) == best


@pytest.mark.parametrize(("slices", "pays"), [(None, True), (64, True), (63, False), (0, False)])
def test_openvino_is_prepared_for_64_slices_or_more(slices: int | None, pays: bool) -> None:
    assert choose.pays_to_prepare(slices) is pays


@pytest.mark.parametrize(("seconds", "runs"), [(0.125, 5), (0.875, 3), (1.0, 2), (1.5, 2), (5.0, 2)])
def test_an_engine_is_measured_five_times_or_for_two_seconds_but_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, runs: int
) -> None:
    """By a clock of the test's own: every other time that is asked for is the end of a run, the first is slower."""
    encoder = toy_encoder(tmp_path)
    times = [0.0]

    def perf_counter() -> float:
        if len(times) % 2 == 0:
            times.append(times[-1] + seconds + (0.0625 if len(times) == 2 else 0.0))
        else:
            times.append(times[-1])
        return times[-1]

    monkeypatch.setattr(choose.time, "perf_counter", perf_counter)
    benchmark = choose._measure(encoder, TorchEngine(encoder.network, CPU))
    assert benchmark == EngineBenchmark(0.0, seconds)
    assert (len(times) - 1) // 2 == runs
    assert BenchmarkStore(encoder.files).get("torch float32") == benchmark


@needs_openvino
@pytest.mark.parametrize(("error", "complete"), [(1e-3, {"torch float32", "openvino"}), (1.1e-3, {"torch float32"})])
def test_what_is_remembered_to_give_other_numbers_is_known_but_not_used(
    tmp_path: Path, error: float, complete: set[str]
) -> None:
    encoder = toy_encoder(tmp_path)
    in_torch = TorchEngine(encoder.network, CPU)
    known = BenchmarkStore(encoder.files)
    known.put("torch float32", EngineBenchmark(0.0, 1.0))
    assert choose._remembered(encoder, {"openvino": Precision()}, in_torch)[1] is False
    known.put("openvino", EngineBenchmark(error, 0.1))
    usable, all_known = choose._remembered(encoder, {"openvino": Precision()}, in_torch)
    assert set(usable) == complete
    assert all_known


def test_what_was_found_altered_is_told_once_with_the_reason(tmp_path: Path) -> None:
    encoder = toy_encoder(tmp_path)
    encoder.files.notes.extend(["a was altered", "b was altered", "a was altered"])
    assert choose_engine(encoder, "torch").reason == "asked for; a was altered; b was altered"


@needs_openvino
def test_auto_measures_once(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = choose_engine(toy_encoder(kept))
    monkeypatch.setattr(choose, "_measure", refuse)
    assert choose_engine(toy_encoder(kept)).engine.name == first.engine.name


@pytest.mark.parametrize("text", ["", "[]", '{"x": 3}', '{"SIGNATURE": {"torch float32": {"seconds": "fast"}}}'])
def test_benchmarks_that_cannot_be_read_are_made_again(tmp_path: Path, text: str) -> None:
    files = toy_encoder(tmp_path).files
    known = BenchmarkStore(files)
    known.put("torch float32", EngineBenchmark(0.0, 1.0))
    (path,) = tmp_path.glob("*.engines.json")
    signature = next(iter(json.loads(path.read_text())))
    path.write_text(text.replace("SIGNATURE", signature))
    assert known.get("torch float32") is None
    known.put("torch float32", EngineBenchmark(0.0, 2.0))
    assert known.get("torch float32") == EngineBenchmark(0.0, 2.0)


@needs_openvino
def test_bfloat16_is_taken_only_where_the_masks_allow_it(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = toy_encoder(kept)
    known = BenchmarkStore(encoder.files)
    version = openvino_model.openvino_version()
    for name, seconds in (
        ("torch float32", 3),
        (f"openvino {version} float32", 2),
        (f"openvino {version} bfloat16", 1),
    ):
        known.put(name, EngineBenchmark(0.0, seconds))
    monkeypatch.setattr(choose, "computes_in_bfloat16", lambda: True)
    monkeypatch.setattr(choose, "BFLOAT16_AGREES", frozenset())
    assert choose_engine(encoder, free_precision=True).engine.precision == Precision()
    monkeypatch.setattr(choose, "BFLOAT16_AGREES", frozenset({"lite_medsam"}))
    assert choose_engine(encoder, free_precision=True).engine.precision == Precision(torch.bfloat16)
    assert choose_engine(encoder, free_precision=False).engine.precision == Precision()
    monkeypatch.setattr(choose, "computes_in_bfloat16", lambda: False)
    assert choose_engine(encoder, free_precision=True).engine.precision == Precision(), "it would be float32 again"


def test_without_openvino_auto_is_torch_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "openvino_trouble", lambda: "the package openvino is not installed")
    chosen = choose_engine(toy_encoder(None))
    assert label(chosen.engine) == "torch float32"
    assert chosen.reason == "the package openvino is not installed"
    with pytest.raises(DeviceError, match="not installed"):
        choose_engine(toy_encoder(None), "openvino")


def test_a_gpu_is_left_to_torch() -> None:
    device = DeviceChoice(torch.device("cuda"), torch.bfloat16, "found")
    assert choose_engine(toy_encoder(None, device=device)).engine.name == "torch"


def test_an_unknown_engine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="'tensorrt' is not known"):
        choose_engine(toy_encoder(None), "tensorrt")
    monkeypatch.setenv("MEDSAM_ENGINE", "onnx")
    with pytest.raises(UsageError, match="'onnx' is not known"):
        choose_engine(toy_encoder(None))


def test_the_environment_stands_in_for_auto_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSAM_ENGINE", "torch")
    assert choose_engine(toy_encoder(None)).engine.name == "torch"
    assert choose.resolve_engine("openvino") == "openvino"
    for nothing in ("", "  "):
        monkeypatch.setenv("MEDSAM_ENGINE", nothing)
        assert choose.resolve_engine("auto") == "auto"


def test_bfloat16_in_torch_returns_float32() -> None:
    encoder = toy_encoder(None, device=dataclasses.replace(CPU, dtype=torch.bfloat16))
    images = torch.rand(1, 3, 64, 64)
    rough = choose_engine(encoder, "torch").engine.encode(images)
    exact = TorchEngine(encoder.network, CPU).encode(images)
    assert rough[0].dtype == torch.float32
    assert 0 < relative_error(rough, exact) < 0.1


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        ((torch.tensor([3.0, 4.0]),), (torch.tensor([3.0, 4.0]),), 0.0),
        ((torch.tensor([3.0, 4.5]),), (torch.tensor([3.0, 4.0]),), 0.1),
        ((torch.tensor([3.0]),), (torch.tensor([3.0, 4.0]),), float("inf")),
        ((torch.tensor([float("nan"), 4.0]),), (torch.tensor([3.0, 4.0]),), float("inf")),
        ((torch.ones(1), torch.zeros(1)), (torch.ones(1), torch.ones(1)), 1.0),
    ],
)
def test_the_relative_error_is_that_of_the_worst_output(found: tuple, expected: tuple, error: float) -> None:
    assert relative_error(found, expected) == pytest.approx(error)


def test_a_predictor_goes_back_to_torch_for_the_reference() -> None:
    class Elsewhere:
        name, precision, decode, memory_steps = "openvino", Precision(torch.bfloat16), None, None

    entry = dataclasses.replace(registry.get("lite_medsam"), input_size=64)
    predictor = SlicePredictor(toy_sam(), entry, CPU, weights_sha256="ab", engine=Elsewhere())  # type: ignore[arg-type]
    assert predictor.title == "cpu bfloat16, openvino"
    reference = predictor.with_torch()
    assert reference.title == "cpu float32, torch"
    assert reference.module is predictor.module
    assert reference.weights_sha256 == "ab"


@needs_openvino
def test_what_nothing_has_used_for_a_while_is_deleted(kept: Path) -> None:
    files = toy_encoder(kept).files
    in_use = set(kept.iterdir())
    assert in_use
    of_an_older_release = kept / f"{files.weights_stem}0.0.1.decoder.openvino-2025.0.0.xml"
    of_the_last_release = kept / f"{files.weights_stem}0.0.2.openvino-2025.0.0.bfloat16.blob"
    of_other_weights = kept / "other.0123456789ab.v0.0.1.openvino-2025.0.0.xml"
    for path in (of_an_older_release, of_the_last_release, of_other_weights):
        path.write_bytes(b"derived")
    for path in {*in_use, of_an_older_release, of_other_weights}:
        os.utime(path, (0, 0))
    choose_engine(toy_encoder(kept), "openvino")
    left = set(kept.iterdir())
    assert not of_an_older_release.exists()
    assert {of_the_last_release, of_other_weights} <= left
    compiled = {path for path in in_use if path.suffix == ".blob"}
    assert compiled
    assert compiled <= left, "they were read just now"
