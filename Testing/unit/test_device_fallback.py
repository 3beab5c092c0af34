"""A device that gives out during a run: the CPU takes over with a reason, or a sentence says what to do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fake_model import BrightPixels, PixelEmbedding
from numpy.typing import NDArray

from MedSAMSegmentLib.errors import DeviceError
from MedSAMSegmentLib.geometry import VolumeGeometry
from MedSAMSegmentLib.inference.device import DeviceChoice
from MedSAMSegmentLib.inference.device_fallback import describe_shortage
from MedSAMSegmentLib.inference.session import VolumeSession
from MedSAMSegmentLib.intensity import to_uint8
from MedSAMSegmentLib.prompts import Box

SHAPE = (6, 30, 40)
BOX = Box(i=(8, 25), j=(6, 20), k=(1, 4))


class FailingModel(BrightPixels):
    """Raises `error` at the third encode, as long as it is not on the CPU."""

    def __init__(self, device: str, error: Exception, *, by_name: bool = False) -> None:
        super().__init__()
        self.device = DeviceChoice(torch.device(device), torch.bfloat16, "found and working", by_name)
        self.error = error
        self.encodes = 0
        self.always = False

    @property
    def title(self) -> str:
        return f"{self.device.device.type} float32, torch"

    def move_to(self, device: DeviceChoice) -> None:
        self.device = device

    def encode(self, pixels: NDArray[np.uint8]) -> PixelEmbedding:
        self.encodes += 1
        if self.encodes >= 3 and (self.device.device.type != "cpu" or self.always):
            raise self.error
        return super().encode(pixels)


def a_volume() -> NDArray[np.uint8]:
    volume = np.zeros(SHAPE, dtype=np.uint8)
    volume[1:5, 10:15, 10:20] = 255
    return volume


def a_session(model: FailingModel) -> VolumeSession:
    geometry = VolumeGeometry.from_spacing(SHAPE)
    return VolumeSession(model, to_uint8(a_volume(), "none"), geometry, device=model.title)  # type: ignore[arg-type]


SHORTAGES = [
    ("cuda", torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "ran out of memory"),
    ("mps", RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), "ran out of memory"),
    ("mps", NotImplementedError("The operator 'aten::x' is not currently implemented for the MPS device"), "operator"),
]


@pytest.mark.parametrize(("device", "error", "reason"), SHORTAGES)
def test_the_cpu_takes_over_and_the_result_says_why(device: str, error: Exception, reason: str) -> None:
    model = FailingModel(device, error)
    session = a_session(model)
    result = session.propagate([BOX])
    assert np.array_equal(result.mask, a_volume() > 0)
    assert result.device.startswith("cpu float32")
    assert device in result.device
    assert reason in result.device
    assert model.device.dtype == torch.float32
    again = session.propagate([BOX])
    assert (again.encodes, again.device) == (0, result.device)


def test_a_single_slice_is_answered_by_the_cpu_as_well() -> None:
    model = FailingModel("cuda", torch.OutOfMemoryError("CUDA out of memory."))
    model.encodes = 2
    assert a_session(model).segment_slice(0, 2, BOX).mask.sum() == 50


@pytest.mark.parametrize(("device", "error", "reason"), SHORTAGES)
def test_a_device_that_was_asked_for_by_name_is_not_replaced(device: str, error: Exception, reason: str) -> None:
    with pytest.raises(DeviceError, match=reason) as caught:
        a_session(FailingModel(device, error, by_name=True)).propagate([BOX])
    assert "auto" in caught.value.cure
    assert caught.value.detail == str(error)


def test_a_cpu_without_memory_is_a_sentence() -> None:
    model = FailingModel("cpu", RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"))
    model.always = True
    with pytest.raises(DeviceError, match="cpu ran out of memory") as caught:
        a_session(model).propagate([BOX])
    assert "smaller model" in caught.value.cure


def test_other_errors_are_not_taken_for_a_shortage() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        a_session(FailingModel("cuda", RuntimeError("the shapes do not match"))).propagate([BOX])
    assert describe_shortage(MemoryError()) == "ran out of memory"
    assert describe_shortage(ValueError("x")) is None
