"""The fallback to the CPU of a run whose device runs out of memory or lacks an operator."""

from __future__ import annotations

import torch

from ..errors import is_out_of_memory
from .device import DeviceChoice

_OPERATOR_WORDS = ("not currently implemented for the mps device", "not implemented for")


def describe_shortage(error: BaseException) -> str | None:
    """Describe what the device lacks, as the end of a sentence; None when the error is about something else."""
    if is_out_of_memory(error):
        return "ran out of memory"
    text = str(error).lower()
    if isinstance(error, NotImplementedError) or any(word in text for word in _OPERATOR_WORDS):
        return "lacks an operator that the model needs"
    return None


def cpu_fallback(choice: DeviceChoice, shortage: str) -> DeviceChoice:
    """Return the CPU in float32, with the reason."""
    if choice.device.type == "cuda":
        torch.cuda.empty_cache()
    return DeviceChoice(torch.device("cpu"), torch.float32, f"{choice.device.type} {shortage}")


def shortage_remedy(device_type: str) -> str:
    if device_type == "cpu":
        return "Close other programs, choose fewer slices, or a smaller model."
    return "Use the device cpu, or auto, which goes on there by itself."
