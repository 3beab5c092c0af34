"""From a part of a network in torch to an OpenVINO model: converted once a model and version, then read from disk."""

from __future__ import annotations

import contextlib
import os
import tempfile
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...cancellation import never_cancel
from ...checkpoints.folder import lock_file
from .base import EngineFiles, weights_key
from .benchmarks import machine_signature
from .graphs import Graph
from .precision import Precision
from .sealed_files import is_whole, note_if_altered, seal, unseal
from .unused_files import touch_files


def openvino_trouble() -> str:
    """Explain why OpenVINO cannot be used here; empty when it can."""
    if find_spec("openvino") is None:
        return "the package openvino is not installed"
    try:
        import openvino
    except (ImportError, OSError) as error:
        return f"openvino does not load ({str(error).splitlines()[0]})"
    return "" if "CPU" in openvino.Core().available_devices else "openvino has no plug-in for this processor"


@cache
def computes_in_bfloat16() -> bool:
    """Return whether this processor has instructions for bfloat16, as OpenVINO sees it. Without them bfloat16 is
    float32."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def openvino_version() -> str:
    """Return the release, such as "2025.3.0"."""
    import openvino

    return openvino.__version__.split("-")[0]


def model_path(files: EngineFiles, graph: str = "") -> Path | None:
    """Return the path of a converted graph (.xml, with .bin beside it); None when nothing is to be kept."""
    return _path(files, graph, "xml")


def compiled_path(files: EngineFiles, graph: str, precision: Precision) -> Path | None:
    """Return the path of a graph compiled for this processor and a precision; None when nothing is to be kept."""
    return _path(files, graph, f"{precision}.{machine_signature()}.blob")


def _path(files: EngineFiles, graph: str, ending: str) -> Path | None:
    if files.folder is None or not files.weights_sha256:
        return None
    return files.folder / f"{files.stem}{graph and f'.{graph}'}.{_release()}.{ending}"


def is_converted(folder: Path, weights_sha256: str) -> bool:
    """Return whether `folder` holds a converted network of these weights, whichever model it is."""
    return any(folder.glob(f"*.{weights_key(weights_sha256)}.{_release()}.xml"))


def _release() -> str:
    return f"openvino-{openvino_version()}"


def read_or_convert(graph: Graph, files: EngineFiles) -> Any:
    """Return the graph as an `openvino.Model` in float32, from the disk where it is there already.

    A folder that cannot be written is no error: the graph is converted again in the next process.
    """
    path = model_path(files, graph.name)
    if path is None:
        return convert(graph)
    found = _read(path)
    if found is not None:
        return found
    note_if_altered(files.notes, path, path.with_suffix(".bin"))
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(lock_file(path.parent, path.name, never_cancel))
            # Another process may have converted it while this one waited for the lock.
            found = _read(path)
        if found is None:
            found = convert(graph)
            with contextlib.suppress(OSError, RuntimeError):
                _save(found, path)
    return found


def convert(graph: Graph) -> Any:
    """Trace the graph and hand it to OpenVINO. Weights stay float32."""
    module, example = graph.module.eval(), graph.example()
    with torch.no_grad(), warnings.catch_warnings():
        # The tracer warns that sizes become constants; they are.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        module(*example)  # what modules derive from their weights must exist before the trace, not be part of it
        traced = torch.jit.trace(module, example, check_trace=False)
    model = _from_trace(traced, example)
    model.reshape({place: list(shape) for place, shape in enumerate(graph.shapes)})
    _separate_biases(model)
    return model


def _from_trace(traced: Any, example: tuple[Tensor, ...]) -> Any:
    # Not by `openvino.convert_model`: that reports its use over the network unless the user has opted out.
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    reader = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced, example_input=example)  # the reader keeps no reference of its own
    return reader.convert(reader.load(decoder))


def _separate_biases(model: Any) -> None:
    """Give each convolution a bias of its own: OpenVINO joins one that several share to none of them."""
    import numpy as np
    from openvino import opset13

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Add":
            continue
        sides = [port.get_source_output().get_node() for port in node.inputs()]
        if not (sides[0].get_type_name().endswith("Convolution") and sides[1].get_type_name() == "Reshape"):
            continue
        values = sides[1].input_value(0).get_node()
        if values.get_type_name() == "Constant":
            bias = np.array(values.data).reshape(1, -1, 1, 1)
            node.input(1).replace_source_output(opset13.constant(bias).output(0))


def _read(path: Path) -> Any | None:
    """Return the saved model; None when it is missing, altered or of no use."""
    import openvino

    if not (is_whole(path) and is_whole(path.with_suffix(".bin"))):
        return None
    try:
        found = openvino.Core().read_model(path)
    except RuntimeError:
        return None
    touch_files(path, path.with_suffix(".bin"))
    return found


def _save(model: Any, path: Path) -> None:
    """Write both files under temporary names, then moved; the .xml last, as it is what a reader looks for."""
    import openvino

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".converting-") as folder:
        temporary = Path(folder) / path.name
        openvino.save_model(model, temporary, compress_to_fp16=False)
        for source, target in ((temporary.with_suffix(".bin"), path.with_suffix(".bin")), (temporary, path)):
            unseal(target)
            os.replace(source, target)
            seal(target)
