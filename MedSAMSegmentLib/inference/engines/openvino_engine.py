"""The image encoder, the mask decoder and the memory attention in OpenVINO, on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ...models.memory_attention import LookBack
from ...models.position_encoding import Turn
from ...models.sam import Decode

_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}


class OpenVinoEngine:
    """Compiled graphs. `choose.open_openvino` makes one and compares it with torch first."""

    name = "openvino"

    def __init__(self, encoder: Any, precision: torch.dtype, decoder: Any = None, look_back: Any = None) -> None:
        """All are of the class `openvino.Model`. Raises RuntimeError when OpenVINO cannot compile one."""
        self.precision = precision
        with ThreadPoolExecutor(2) as pool:  # to compile a graph is mostly the work of one thread
            others = (decoder, look_back)
            waiting = [None if model is None else pool.submit(_Compiled, model, precision) for model in others]
            self._encoder = _Compiled(encoder, precision)
            self._decoder, self._attention = (None if item is None else item.result() for item in waiting)
        if decoder is not None:
            # The first run of a graph takes several times as long, and the first prompt is waited for.
            image, sparse, *_ = (port.get_partial_shape() for port in decoder.inputs)
            some = torch.arange(2)
            self._decode(torch.zeros(tuple(image.to_shape())), torch.zeros(1, 2, sparse[2].get_length()), some, some)
        self._attention = None if look_back is None else _Compiled(look_back, precision)

    @property
    def decode(self) -> Decode | None:
        return None if self._decoder is None else self._decode

    @property
    def look_back(self) -> LookBack | None:
        return None if self._attention is None else self._look_back

    @torch.inference_mode()
    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """(1,3,S,S) float32 -> the features, float32."""
        return self._encoder.run([images])

    def _decode(self, image: Tensor, sparse: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        assert self._decoder is not None
        logits, ious = self._decoder.run([image, sparse, rows, columns])
        return logits, ious

    def _look_back(self, x: Tensor, key: Tensor, memory: Tensor, key_turn: Turn) -> Tensor:
        assert self._attention is not None
        return self._attention.run([x, key, memory, key_turn.cosines, key_turn.sines])[0]


class _Compiled:
    """One compiled graph and its request, which one thread at a time may use."""

    def __init__(self, model: Any, precision: torch.dtype) -> None:
        import openvino

        self._compiled = openvino.Core().compile_model(
            model, "CPU", {"INFERENCE_PRECISION_HINT": _HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
        )
        self._request = self._compiled.create_infer_request()
        self._one_at_a_time = threading.Lock()

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The outputs as tensors of their own. The inputs are read where they lie."""
        arrays = [tensor.detach().cpu().contiguous().numpy() for tensor in inputs]
        with self._one_at_a_time:
            answers = self._request.infer(arrays, share_inputs=True)
            return tuple(torch.from_numpy(answers[output].copy()) for output in self._compiled.outputs)
