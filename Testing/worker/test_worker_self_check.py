"""The self-check in a real child: this interpreter's torch, and torches that are missing, broken or deadly."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from MedSAMSegmentLib.errors import WorkerError
from MedSAMSegmentLib.worker import memory
from MedSAMSegmentLib.worker.client import WorkerClient
from MedSAMSegmentLib.worker.self_check import self_check

StartClient = Callable[..., WorkerClient]


def fake_torch(folder: Path, source: str | None) -> str:
    """A folder whose `torch` is found before the real one; None leaves an empty package behind."""
    package = folder / "torch"
    package.mkdir()
    if source is not None:
        (package / "__init__.py").write_text(source)
    return f"path={folder}"


def test_the_self_check_reports_python_torch_memory_and_a_product_per_device(start_client: StartClient) -> None:
    torch = pytest.importorskip("torch")
    client = start_client()
    report = client.wait(client.self_check(), 120)
    assert report["python"]["version"].count(".") == 2
    assert report["torch"]["version"] == torch.__version__
    assert 0 < report["memory"]["available"] <= report["memory"]["total"]
    assert report["devices"][0]["name"] == "cpu"
    assert report["devices"][0]["works"]
    assert report["problems"] == []


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("raise ImportError('libc10.so: cannot open shared object file')", "cannot be loaded: libc10.so: cannot open"),
        ("raise OSError('[WinError 126] The module could not be found')", "cannot be loaded: [WinError 126]"),
        (
            "import a_part_that_is_missing",
            "The package 'a_part_that_is_missing', which PyTorch needs, is not installed",
        ),
        ("", "PyTorch is only half installed"),
        ("__version__ = '2.0'", "PyTorch is only half installed"),
    ],
)
def test_a_broken_torch_is_a_sentence(start_client: StartClient, tmp_path: Path, source: str, sentence: str) -> None:
    client = start_client(fake_torch(tmp_path, source))
    report = client.wait(client.self_check(), 120)
    assert report["torch"] is None
    assert report["devices"] == []
    (problem,) = report["problems"]
    assert sentence in problem
    assert "Install" in problem


def test_a_torch_that_kills_its_process_is_a_sentence(start_client: StartClient, tmp_path: Path) -> None:
    client = start_client(fake_torch(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
    with pytest.raises(WorkerError, match=r"The worker crashed \(signal 11\), during: import torch\."):
        client.wait(client.self_check(), 120)


def torch_with_a_card(fails: str | None) -> types.ModuleType:
    """A torch with one graphics card, on which a product `fails` with these words."""
    torch = types.ModuleType("torch")

    class Ones:
        def __init__(self, device: str) -> None:
            self.device = device

        def __matmul__(self, other: Ones) -> Ones:
            if self.device.startswith("cuda") and fails:
                raise RuntimeError(fails)
            return self

        def tolist(self) -> list[list[float]]:
            return [[2.0, 2.0], [2.0, 2.0]]

    cuda = types.SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 1,
        get_device_capability=lambda name: (12, 0),
        get_device_name=lambda name: "NVIDIA RTX 5090",
        mem_get_info=lambda name: (30 << 30, 32 << 30),
    )
    vars(torch).update(
        __version__="2.4.0+cu118",
        version=types.SimpleNamespace(cuda="11.8", hip=None),
        cuda=cuda,
        backends=types.SimpleNamespace(),
        ones=lambda *shape, device: Ones(device),
        get_num_threads=lambda: 8,
    )
    return torch


def check_with(monkeypatch: pytest.MonkeyPatch, torch: types.ModuleType) -> tuple[dict[str, Any], list[str]]:
    monkeypatch.setitem(sys.modules, "torch", torch)
    stages: list[str] = []
    return self_check(stages.append), stages


def test_a_working_card_is_listed_with_capability_and_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    report, stages = check_with(monkeypatch, torch_with_a_card(None))
    assert stages == ["import torch", "check cpu", "check cuda:0"]
    card = report["devices"][1]
    assert (card["title"], card["capability"], card["free_bytes"]) == ("NVIDIA RTX 5090", "12.0", 30 << 30)
    assert card["works"]
    assert report["problems"] == []


def test_a_card_without_kernels_is_a_sentence_and_the_processor_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "CUDA error: no kernel image is available for execution on the device\nCompile with TORCH_USE_CUDA_DSA."
    report, _ = check_with(monkeypatch, torch_with_a_card(words))
    assert [device["works"] for device in report["devices"]] == [True, False]
    assert report["problems"] == [
        "NVIDIA RTX 5090 (capability 12.0, PyTorch 2.4.0+cu118) does not work: "
        "CUDA error: no kernel image is available for execution on the device. The processor is used instead."
    ]


def test_free_memory_agrees_with_the_system() -> None:
    available, total = memory.available_bytes(), memory.total_bytes()
    assert available is not None
    assert total == pytest.approx(psutil.virtual_memory().total, rel=0.01)
    assert 0 < available <= psutil.virtual_memory().total


def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("3000\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available_bytes() == (2000 if os.name == "posix" else memory.available_bytes())
    (tmp_path / "memory.stat").write_text("anon 900\nfile 2100\ninactive_file 1500\nactive_file 500\n")
    assert memory.available_bytes() == (4000 if os.name == "posix" else memory.available_bytes())
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes() != 2000


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (39_000_000, "39.0 MB"), (5e13, "50.0 TB")],
)
def test_sizes_are_written_as_people_read_them(count: float, text: str) -> None:
    assert memory.human_bytes(count) == text
