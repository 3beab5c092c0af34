"""A network's parts in OpenVINO, on the CPU."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from ...models.mask_decoder import DecodedMasks
from ...models.position_encoding import RotaryEmbedding
from ...models.sam import Decode
from ...models.sam2 import MemorySteps
from .base import EngineFiles
from .compiled_graph import CompiledGraph, compile_graph, read_compiled
from .graphs import ATTENTION, DECODER, ENCODER, MEMORY, Graph
from .openvino_model import compiled_path, read_or_convert
from .precision import Precision
from .sealed_files import note_if_altered

AT_A_TIME = 2
"""Graphs: to compile one is mostly the work of one thread."""


class OpenVinoEngine:
    """Compiled graphs. `choose.choose_engine` makes one and compares it with torch first."""

    name = "openvino"

    def __init__(self, graphs: Mapping[str, CompiledGraph], precision: Precision) -> None:
        """`graphs` by the names of the module `graphs`."""
        self.precision = precision
        self._graphs = graphs

    def warm_up(self, *, encoder: bool) -> None:
        """Run the decoder once, and the encoder where wanted; the first run of a graph takes longer."""
        self._graphs[DECODER].warm_up()
        if encoder:
            self._graphs[ENCODER].warm_up()

    def keep(self, files: EngineFiles) -> None:
        """Save what was compiled for the next process. Where there is no room for it that is no error."""
        for name, graph in self._graphs.items():
            path = compiled_path(files, name, self.precision)
            if path is not None and not graph.in_file:
                with contextlib.suppress(OSError, RuntimeError, MemoryError):
                    graph.save(path)

    @property
    def decode(self) -> Decode | None:
        return None if ATTENTION in self._graphs else self._decode_part

    @property
    def memory_steps(self) -> MemorySteps | None:
        return (
            MemorySteps(self._attend_to_memories, self._decode, self._encode_memory)
            if ATTENTION in self._graphs
            else None
        )

    @torch.inference_mode()
    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode (1,3,S,S) float32 to the features, float32."""
        return self._graphs[ENCODER].run([images])

    def _decode_part(self, image: Tensor, sparse: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        logits, ious = self._graphs[DECODER].run([image, sparse, rows, columns])
        return logits, ious

    def _decode(self, image: Tensor, sparse: Tensor, high_res: tuple[Tensor, Tensor] | None) -> DecodedMasks:
        return DecodedMasks(*self._graphs[DECODER].run([image, sparse, *(high_res or ())]))

    def _attend_to_memories(self, x: Tensor, key: Tensor, memory: Tensor, key_rotation: RotaryEmbedding) -> Tensor:
        return self._graphs[ATTENTION].run([x, key, memory, key_rotation.cosines, key_rotation.sines])[0]

    def _encode_memory(self, embedding: Tensor, mask: Tensor) -> Tensor:
        return self._graphs[MEMORY].run([embedding, mask])[0]


def open_engine(graphs: Sequence[Graph], files: EngineFiles, precision: Precision) -> OpenVinoEngine:
    """Read what `OpenVinoEngine.keep` saved; convert and compile the rest. Raises RuntimeError when OpenVINO cannot."""

    def read(graph: Graph) -> CompiledGraph | None:
        path = compiled_path(files, graph.name, precision)
        if path is None:
            return None
        found = read_compiled(path, precision.dtype)
        if found is None:
            note_if_altered(files.notes, path)
        return found

    def compiled(graph: Graph) -> CompiledGraph:
        return found[graph.name] or compile_graph(models[graph.name], precision.dtype)

    names = [graph.name for graph in graphs]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = dict(zip(names, pool.map(read, graphs), strict=True))
        # One after the other: to trace a network is nothing for several threads.
        models = {graph.name: read_or_convert(graph, files) for graph in graphs if found[graph.name] is None}
        return OpenVinoEngine(dict(zip(names, pool.map(compiled, graphs), strict=True)), precision)
