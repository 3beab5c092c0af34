"""What is remembered of engines on a machine, and the names and fixed inputs that this rests on."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
from pathlib import Path

import pytest
import torch

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.inference.engines import benchmarks
from MedSAMSegmentLib.inference.engines.base import EngineFiles, probe_input, relative_error, sources_digest
from MedSAMSegmentLib.inference.engines.benchmarks import (
    BenchmarkStore,
    EngineBenchmark,
    machine_signature,
    processor_name,
)
from MedSAMSegmentLib.inference.engines.precision import Precision
from MedSAMSegmentLib.inference.engines.sealed_files import is_whole, seal_path

BENCHMARK = EngineBenchmark(0.25, 1.5)
CPU_INFO = Path("/proc/cpuinfo")


def files_in(folder: Path | None, weights_sha256: str = "0123456789abcdef") -> EngineFiles:
    return EngineFiles(registry.get("lite_medsam"), weights_sha256, folder)


def refuse(*arguments: object, **options: object) -> None:
    raise OSError("no room")


@pytest.mark.skipif(not CPU_INFO.exists(), reason="only Linux tells it so")
def test_the_processor_is_told_as_linux_names_it() -> None:
    text = CPU_INFO.read_text(encoding="utf-8")
    found = re.search(r"^model name\s*:\s*(.*?)\s*$", text, re.MULTILINE)
    assert processor_name() == (found[1] if found else platform.processor() or platform.machine())


@pytest.mark.parametrize(("told", "name"), [("A fast one", "A fast one"), ("", platform.machine())])
def test_elsewhere_the_processor_is_told_by_python_or_by_its_kind(
    monkeypatch: pytest.MonkeyPatch, told: str, name: str
) -> None:
    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(platform, "processor", lambda: told)
    assert processor_name() == name


def test_a_machine_is_known_by_sixteen_hexadecimal_digits() -> None:
    assert re.fullmatch("[0-9a-f]{16}", machine_signature())
    assert machine_signature() == machine_signature()


def test_a_benchmark_is_kept_for_this_machine_and_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    BenchmarkStore(files_in(tmp_path)).put("torch float32", BENCHMARK)
    known = BenchmarkStore(files_in(tmp_path))
    assert known.get("torch float32") == BENCHMARK
    assert known.get("openvino float32") is None
    monkeypatch.setattr(benchmarks, "machine_signature", lambda: "another")
    assert known.get("torch float32") is None


def test_benchmarks_are_kept_beside_each_other_in_one_sealed_file(tmp_path: Path) -> None:
    known = BenchmarkStore(files_in(tmp_path))
    known.put("torch float32", BENCHMARK)
    known.put("openvino float32", EngineBenchmark(0.0, 2.0))
    assert known.get("torch float32") == BENCHMARK
    path = tmp_path / f"lite_medsam.0123456789ab.s{sources_digest()}.engines.json"
    assert is_whole(path)
    assert set(tmp_path.iterdir()) == {path, seal_path(path)}
    assert set(json.loads(path.read_text())[machine_signature()]) == {"torch float32", "openvino float32"}


def test_a_missing_folder_is_made_for_the_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "one" / "two"
    known = BenchmarkStore(files_in(folder))
    known.put("torch float32", BENCHMARK)
    assert known.get("torch float32") == BENCHMARK
    if os.name == "posix":
        assert folder.stat().st_mode & 0o777 == 0o700


def test_reading_counts_as_a_use(tmp_path: Path) -> None:
    known = BenchmarkStore(files_in(tmp_path))
    known.put("torch float32", BENCHMARK)
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    known.get("torch float32")
    assert all(path.stat().st_mtime > 0 for path in tmp_path.iterdir())


@pytest.mark.parametrize("files", [files_in(None), files_in(Path("/nowhere"), "")], ids=["no folder", "no weights"])
def test_nothing_is_kept_without_a_folder_or_known_weights(files: EngineFiles) -> None:
    known = BenchmarkStore(files)
    known.put("torch float32", BENCHMARK)
    assert known.get("torch float32") is None


@pytest.mark.parametrize("step", ["write_atomically", "seal"])
def test_a_file_that_was_not_written_to_its_end_has_no_seal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """That it was not is no error, and no sign of damage."""
    known = BenchmarkStore(files_in(tmp_path))
    known.put("torch float32", BENCHMARK)
    monkeypatch.setattr(benchmarks, step, refuse)
    known.put("torch float32", EngineBenchmark(0.0, 9.0))
    assert not list(tmp_path.glob("*.sha256"))
    assert known.get("torch float32") is None


@pytest.mark.parametrize("content", ['{"error": 0.1}', '{"seconds": 1.0}', '{"error": 0.1, "seconds": null}'])
def test_a_benchmark_that_lacks_a_figure_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    known = BenchmarkStore(files_in(tmp_path))
    monkeypatch.setattr(known, "_all", lambda: {machine_signature(): {"torch float32": json.loads(content)}})
    assert known.get("torch float32") is None


def test_derived_files_are_named_by_model_weights_and_sources() -> None:
    files = files_in(Path("folder"))
    assert re.fullmatch("[0-9a-f]{12}", sources_digest())
    assert files.stem == f"lite_medsam.0123456789ab.s{sources_digest()}"
    assert files.weights_stem == "lite_medsam.0123456789ab.s"


def test_what_was_found_altered_makes_no_other_files_of_them() -> None:
    files = files_in(None)
    noted = dataclasses.replace(files, notes=["altered"])
    assert noted == files
    assert files_in(None).notes is not files.notes


def test_engines_are_compared_on_the_same_numbers_in_every_release() -> None:
    images = probe_input(dataclasses.replace(registry.get("lite_medsam"), input_size=8))
    assert images.shape == (1, 3, 8, 8)
    assert torch.equal(images, torch.rand((1, 3, 8, 8), generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(("found", "error"), [(0.0, 0.0), (1e-12, 1.0), (2e-12, 2.0)])
def test_the_relative_error_of_next_to_nothing_is_finite(found: float, error: float) -> None:
    assert relative_error((torch.tensor([found]),), (torch.zeros(1),)) == pytest.approx(error)


def test_one_output_less_is_another_network() -> None:
    one = torch.ones(2)
    assert relative_error((one,), (one, one)) == float("inf")


def test_a_precision_says_how_far_its_numbers_may_be_off() -> None:
    assert (str(Precision()), Precision().error_limit) == ("float32", 0.001)
    rough = Precision(torch.bfloat16)
    assert (str(rough), rough.error_limit) == ("bfloat16", 0.1)
