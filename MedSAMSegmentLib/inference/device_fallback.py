"""When a device gives out during the work: recognise it, and say what comes next."""

from __future__ import annotations

import torch

from .device import DeviceChoice

# What torch's allocators say where they raise no type of their own (the CPU, Apple's GPUs).
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory")
_OPERATOR_WORDS = ("not currently implemented for the mps device", "not implemented for")


def describe_shortage(error: BaseException) -> str | None:
    """What the device lacks, as the end of a sentence; None when the error is about something else."""
    text = str(error).lower()
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in text for word in _MEMORY_WORDS):
        return "ran out of memory"
    if isinstance(error, NotImplementedError) or any(word in text for word in _OPERATOR_WORDS):
        return "lacks an operator that the model needs"
    return None


def cpu_fallback(choice: DeviceChoice, shortage: str) -> DeviceChoice:
    """The CPU in float32, with the reason."""
    if choice.device.type == "cuda":
        torch.cuda.empty_cache()
    return DeviceChoice(torch.device("cpu"), torch.float32, f"{choice.device.type} {shortage}")


def shortage_remedy(device_type: str) -> str:
    if device_type == "cpu":
        return "Close other programs, choose fewer slices, or a smaller model."
    return "Use the device cpu, or auto, which goes on there by itself."
