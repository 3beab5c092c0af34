"""A graph that OpenVINO has compiled, and the file that spares the next process the compiling."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...checkpoints.folder import write_atomically
from .sealed_files import is_whole, seal, unseal
from .unused_files import touch_files

_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}


class CompiledGraph:
    """One graph and its request, which one thread at a time may use. `in_file`: it was read from its file."""

    def __init__(self, compiled: Any, file: object = None) -> None:
        """`compiled` is an `openvino.CompiledModel`; it may look into `file` as long as it lives."""
        self._compiled = compiled
        self._file = file
        self._request = compiled.create_infer_request()
        self._one_at_a_time = threading.Lock()

    @property
    def in_file(self) -> bool:
        return self._file is not None

    def run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the outputs as tensors of their own. The inputs are read where they lie."""
        arrays = [tensor.detach().cpu().contiguous().numpy() for tensor in inputs]
        with self._one_at_a_time:
            answers = self._request.infer(arrays, share_inputs=True)
            return tuple(torch.from_numpy(answers[output].copy()) for output in self._compiled.outputs)

    def warm_up(self) -> None:
        """Run it on zeros: the first run takes longer than those after it."""
        self.run([_zeros(port) for port in self._compiled.inputs])

    def save(self, path: Path) -> None:
        """Write the file whole or not at all. Raises OSError or RuntimeError when it cannot be kept."""
        content = io.BytesIO()
        self._compiled.export_model(content)
        unseal(path)
        write_atomically(path, content.getbuffer())
        seal(path)


def compile_graph(model: Any, dtype: torch.dtype) -> CompiledGraph:
    """Compile an `openvino.Model` to compute in `dtype`. Raises RuntimeError when OpenVINO cannot."""
    import openvino

    return CompiledGraph(openvino.Core().compile_model(model, "CPU", _settings(dtype)))


def read_compiled(path: Path, dtype: torch.dtype) -> CompiledGraph | None:
    """Read what `save` wrote; None when it is missing, altered, or refused by this release of OpenVINO.

    The file is mapped, not read: weights are used where they lie in it.
    """
    import openvino

    if not is_whole(path):
        return None
    core, settings = openvino.Core(), _settings(dtype)
    try:
        mapped = np.memmap(path, dtype=np.uint8, mode="c")
        tensor = openvino.Tensor(mapped, shared_memory=True)
        try:
            found = CompiledGraph(core.import_model(tensor, "CPU", settings), (mapped, tensor))
        except TypeError:  # the first releases of 2025 take bytes alone
            content = path.read_bytes()
            found = CompiledGraph(core.import_model(content, "CPU", settings), content)
    except (OSError, ValueError, RuntimeError, MemoryError):
        return None
    touch_files(path)
    return found


def _settings(dtype: torch.dtype) -> dict[str, object]:
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[dtype],
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # torch's threads want the same cores in between
    }


def _zeros(port: Any) -> Tensor:
    """Return zeros of a shape that an input may have."""
    whole = port.get_element_type().is_integral()
    sizes = [side.get_length() if side.is_static else 2 for side in port.get_partial_shape()]
    return torch.zeros(sizes, dtype=torch.int64 if whole else torch.float32)
