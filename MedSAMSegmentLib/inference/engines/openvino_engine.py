"""A network's parts in OpenVINO, on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from ...models.mask_decoder import DecodedMasks
from ...models.position_encoding import Turn
from ...models.sam import Decode
from ...models.sam2 import MemorySteps
from .graphs import ATTENTION, DECODER, ENCODER, MEMORY
from .precision import Precision

_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}


class OpenVinoEngine:
    """Compiled graphs. `choose.open_openvino` makes one and compares it with torch first."""

    name = "openvino"

    def __init__(self, models: Mapping[str, Any], precision: Precision) -> None:
        """`openvino.Model`s by the names of `graphs`. Raises RuntimeError when OpenVINO cannot compile one."""
        self.precision = precision
        with ThreadPoolExecutor(2) as pool:  # to compile a graph is mostly the work of one thread
            compiled = pool.map(lambda model: _Compiled(model, precision.dtype), models.values())
            self._graphs = dict(zip(models, compiled, strict=True))
        # The first run of a graph takes several times as long, and the first prompt is waited for.
        self._graphs[DECODER].run([_some(port) for port in models[DECODER].inputs])

    @property
    def decode(self) -> Decode | None:
        return None if ATTENTION in self._graphs else self._decode_part

    @property
    def memory_steps(self) -> MemorySteps | None:
        return MemorySteps(self._look_back, self._decode, self._remember) if ATTENTION in self._graphs else None

    @torch.inference_mode()
    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """(1,3,S,S) float32 -> the features, float32."""
        return self._graphs[ENCODER].run([images])

    def _decode_part(self, image: Tensor, sparse: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        logits, ious = self._graphs[DECODER].run([image, sparse, rows, columns])
        return logits, ious

    def _decode(self, image: Tensor, sparse: Tensor, high_res: tuple[Tensor, Tensor] | None) -> DecodedMasks:
        return DecodedMasks(*self._graphs[DECODER].run([image, sparse, *(high_res or ())]))

    def _look_back(self, x: Tensor, key: Tensor, memory: Tensor, key_turn: Turn) -> Tensor:
        return self._graphs[ATTENTION].run([x, key, memory, key_turn.cosines, key_turn.sines])[0]

    def _remember(self, embedding: Tensor, mask: Tensor) -> Tensor:
        return self._graphs[MEMORY].run([embedding, mask])[0]


def _some(port: Any) -> Tensor:
    """Zeros of a shape that an input may have."""
    whole = port.get_element_type().is_integral()
    sizes = [side.get_length() if side.is_static else 2 for side in port.get_partial_shape()]
    return torch.zeros(sizes, dtype=torch.int64 if whole else torch.float32)


class _Compiled:
    """One compiled graph and its request, which one thread at a time may use."""

    def __init__(self, model: Any, precision: torch.dtype) -> None:
        import openvino

        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,  # torch's threads want the same cores in between
        }
        self._compiled = openvino.Core().compile_model(model, "CPU", settings)
        self._request = self._compiled.create_infer_request()
        self._one_at_a_time = threading.Lock()

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The outputs as tensors of their own. The inputs are read where they lie."""
        arrays = [tensor.detach().cpu().contiguous().numpy() for tensor in inputs]
        with self._one_at_a_time:
            answers = self._request.infer(arrays, share_inputs=True)
            return tuple(torch.from_numpy(answers[output].copy()) for output in self._compiled.outputs)
