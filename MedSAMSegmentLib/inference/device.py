"""The device that computes and its precision, with the reason in words."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from ..errors import DeviceError, UsageError

DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class DeviceChoice:
    """`dtype` is what the costly parts of a network are computed in; weights stay float32, and so do results.

    `by_name`: the user asked for this device, so no other is taken in its place.
    """

    device: torch.device
    dtype: torch.dtype
    reason: str
    by_name: bool = False

    @property
    def title(self) -> str:
        return f"{self.device.type} {str(self.dtype).removeprefix('torch.')}"


def resolve_device(name: str = "auto", precision: str = "auto") -> DeviceChoice:
    """Return the device of that name, after one small product on it.

    "auto" takes CUDA, then MPS, then the CPU, and falls back with a reason when a device is there but does not work.
    A device that is asked for by name and does not work raises `DeviceError`.
    """
    if name not in DEVICES:
        raise UsageError(f"The device {name!r} is not known.", f"Use one of {', '.join(DEVICES)}.")
    if precision not in PRECISIONS:
        raise UsageError(f"The precision {precision!r} is not known.", f"Use one of {', '.join(PRECISIONS)}.")
    if name != "auto":
        trouble = device_trouble(name)
        if trouble:
            raise DeviceError(f"The device {name} cannot be used: {trouble}.", "Choose another device, or auto.")
        return _choice(name, precision, "asked for", by_name=True)
    reasons = []
    for candidate in ("cuda", "mps"):
        trouble = device_trouble(candidate)
        if not trouble:
            return _choice(candidate, precision, "found and working")
        reasons.append(f"{candidate}: {trouble}")
    return _choice("cpu", precision, "; ".join(reasons))


def device_trouble(name: str) -> str:
    """Explain why a device cannot be used; empty when a 2x2 product on it gives the right numbers."""
    if name == "cuda" and not torch.cuda.is_available():
        return "no CUDA device, or torch was built without CUDA" if torch.version.cuda is None else "no CUDA device"
    if name == "mps" and not torch.backends.mps.is_available():
        return "no Apple GPU"
    try:
        matrix = torch.tensor([[1.0, 2.0], [3.0, 4.0]], device=name)
        correct = torch.equal((matrix @ matrix).cpu(), torch.tensor([[7.0, 10.0], [15.0, 22.0]]))
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]
    return "" if correct else "a small product on it came out wrong"


def _choice(name: str, precision: str, reason: str, by_name: bool = False) -> DeviceChoice:
    fast_bfloat16 = name == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "auto":
        precision = "bfloat16" if fast_bfloat16 else "float32"
    return DeviceChoice(torch.device(name), getattr(torch, precision), reason, by_name)


def reduced_precision(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Return an autocast region, or nothing for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)
