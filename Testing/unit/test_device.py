"""The choice of a device: the fastest that works, the one asked for, and the reason in words."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from MedSAMSegmentLib.errors import DeviceError, UsageError
from MedSAMSegmentLib.inference import device
from MedSAMSegmentLib.inference.device import DeviceChoice, device_trouble, reduced_precision, resolve_device


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the names of the GPUs that this machine is said to have; a test fills it."""
    there: set[str] = set()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in there)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in there)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: "bf16" in there)
    return there


def works(name: str) -> str:
    return ""


def test_the_cpu_works_and_is_what_is_left_without_a_gpu(gpus: set[str]) -> None:
    assert device_trouble("cpu") == ""
    chosen = resolve_device()
    assert (chosen.device.type, chosen.dtype, chosen.by_name) == ("cpu", torch.float32, False)
    assert chosen.reason.startswith("cuda: no CUDA device")
    assert chosen.reason.endswith("; mps: no Apple GPU")
    assert chosen.title == "cpu float32"


@pytest.mark.parametrize(("built_for", "told"), [(None, "torch was built without CUDA"), ("12.8", "no CUDA device")])
def test_a_missing_cuda_device_is_told_from_a_torch_without_cuda(
    gpus: set[str], monkeypatch: pytest.MonkeyPatch, built_for: str | None, told: str
) -> None:
    monkeypatch.setattr(torch.version, "cuda", built_for)
    assert device_trouble("cuda").endswith(told)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_gpu_that_is_there_but_does_not_compute_is_passed_over(
    gpus: set[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*arguments: object, **options: object) -> torch.Tensor:
        raise RuntimeError("no kernel image is available\nCompile with debugging to see more.")

    gpus.add(name)
    monkeypatch.setattr(torch, "tensor", fail)
    assert device_trouble(name) == "no kernel image is available"
    chosen = resolve_device()
    assert chosen.device.type == "cpu"
    assert f"{name}: no kernel image is available" in chosen.reason
    with pytest.raises(DeviceError, match=f"The device {name} cannot be used: no kernel"):
        resolve_device(name)


def test_a_device_with_wrong_numbers_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda self, other: self)
    assert "wrong" in device_trouble("cpu")


@pytest.mark.parametrize(
    ("there", "taken", "dtype"),
    [
        ({"cuda", "mps", "bf16"}, "cuda", torch.bfloat16),
        ({"cuda", "mps"}, "cuda", torch.float32),
        ({"mps", "bf16"}, "mps", torch.float32),
    ],
)
def test_auto_takes_cuda_then_mps_and_bfloat16_where_cuda_is_fast_at_it(
    gpus: set[str], monkeypatch: pytest.MonkeyPatch, there: set[str], taken: str, dtype: torch.dtype
) -> None:
    gpus |= there
    monkeypatch.setattr(device, "device_trouble", lambda name: "" if name in there else "not there")
    chosen = resolve_device()
    assert (chosen.device.type, chosen.dtype, chosen.by_name) == (taken, dtype, False)
    assert chosen.reason == "found and working"
    assert resolve_device(precision="float32").dtype == torch.float32


def test_bfloat16_that_cuda_only_emulates_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "device_trouble", works)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert resolve_device("cuda").dtype == torch.float32


def test_a_device_asked_for_by_name_is_taken_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "device_trouble", works)
    assert resolve_device("cpu", "bfloat16") == DeviceChoice(torch.device("cpu"), torch.bfloat16, "asked for", True)


@pytest.mark.parametrize(("name", "precision"), [("gpu", "auto"), ("cpu", "half")])
def test_names_that_are_not_known_are_refused_with_those_that_are(name: str, precision: str) -> None:
    with pytest.raises(UsageError, match="is not known") as refused:
        resolve_device(name, precision)
    assert "auto" in str(refused.value.cure)


def test_float32_needs_no_region_and_bfloat16_computes_in_one() -> None:
    cpu = torch.device("cpu")
    assert isinstance(reduced_precision(cpu, torch.float32), nullcontext)
    with reduced_precision(cpu, torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
