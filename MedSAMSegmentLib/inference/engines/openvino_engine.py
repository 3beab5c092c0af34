"""The image encoder in OpenVINO, on the CPU."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}


class OpenVinoEngine:
    """A compiled encoder. `choose.open_openvino` makes one and compares it with torch first."""

    name = "openvino"

    def __init__(self, model: Any, precision: torch.dtype) -> None:
        """`model` is an `openvino.Model`. Raises RuntimeError when OpenVINO cannot compile it."""
        import openvino

        self.precision = precision
        self._compiled = openvino.Core().compile_model(
            model, "CPU", {"INFERENCE_PRECISION_HINT": _HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
        )
        self._request = self._compiled.create_infer_request()
        self._one_at_a_time = threading.Lock()

    @torch.inference_mode()
    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """(1,3,S,S) float32 -> the features, float32."""
        with self._one_at_a_time:
            answers = self._request.infer([images.cpu().numpy()])
            return tuple(torch.from_numpy(answers[output].copy()) for output in self._compiled.outputs)
