"""Open a checkpoint file as weights, and recognise whose they are. Nothing in the file is ever executed."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CheckpointError, is_out_of_memory
from ..registry import ModelEntry
from .huggingface_keys import is_huggingface_sam, to_official_keys
from .key_report import key_report
from .recognise import Recognition, candidates, nearest_sentence, recognise
from .transfer import digest_file, looks_like_html, megabytes, plausible_bytes

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MOST_BYTES = 12 * 10**9
"""No checkpoint of the family comes near; a larger file is refused before it is read."""

# What the readers of torch and safetensors raise on damaged bytes, found by altering files at random.
_DAMAGE = (
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    OSError,
    AttributeError,
    AssertionError,
    TypeError,
    ArithmeticError,
    struct.error,
)
_NESTING = ("model", "state_dict", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.", "model.", "sam.")
"""What wrappers put before every name: DataParallel, `torch.compile`, Lightning's modules, training scripts."""

_WHOLE_NUMBERS = "num_batches_tracked"
"""The end of the names of the only tensors in any of the networks that are not fractions."""


def load_state_dict(path: Path, entry: ModelEntry | None = None) -> dict[str, Tensor]:
    """Return the flat state dict in a checkpoint file, on the CPU, with the official key names.

    Accepts what `torch.save` writes and `.safetensors`, told apart by content. The dicts of training checkpoints
    (`model`, `state_dict`) and the prefixes of wrappers, in any mixture, are unwrapped, Hugging Face's names of SAM
    turned into the official ones. With `entry`, a file far larger than that model's is refused before it is read.

    Raises CheckpointError when the file cannot be read, is truncated or altered, is no checkpoint, would run code, or
    holds numbers that no weights are.
    """
    head = _read_head(path, entry)
    content = _load_safetensors(path) if _is_safetensors(head) else _load_torch(path, head)
    tensors = _without_prefixes(_unwrap(content, path))
    _require_numbers(tensors, path)
    return tensors


def load_weights(module: torch.nn.Module, state_dict: Mapping[str, Tensor], entry: ModelEntry) -> None:
    """Put the weights into the module, every key and shape exactly as the module has them.

    Raises CheckpointError with a report of the differences, naming the model that the weights do fit, if any.
    """
    report = key_report(_shapes(module.state_dict()), _shapes(state_dict))
    if report:
        raise CheckpointError(
            f"These weights do not fit {entry.title}: {report}.", nearest_sentence(_shapes(state_dict))
        )
    module.load_state_dict(dict(state_dict), strict=True)


def recognise_file(path: Path, state_dict: Mapping[str, Tensor] | None = None) -> Recognition:
    """Recognise a checkpoint file; `state_dict` is its content where that is loaded already. Raises CheckpointError."""
    tensors = state_dict if state_dict is not None else load_state_dict(path)
    shapes = _shapes(tensors)
    try:
        size = path.stat().st_size
        worth_hashing = any(entry.size_bytes == size for entry in candidates(shapes))
        sha256 = digest_file(path).sha256 if worth_hashing else ""
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).", "Check the path.") from error
    return recognise(shapes, file_name=path.name, sha256=sha256)


def _shapes(state_dict: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in state_dict.items()}


def _read_head(path: Path, entry: ModelEntry | None) -> bytes:
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(512)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}).", "Check the path.") from error
    most = min(MOST_BYTES, plausible_bytes(entry)[1]) if entry is not None else MOST_BYTES
    if size > most:
        raise CheckpointError(
            f"{path} has {megabytes(size)}, far more than a checkpoint of this kind ({megabytes(most)} at most).",
            "Choose the file of the weights.",
        )
    if size == 0:
        raise CheckpointError(f"{path} is empty.", "Download or import the weights again.")
    if looks_like_html(head):
        raise CheckpointError(f"{path} is a web page, not weights.", "Download the file itself, not its page.")
    return head


def _is_safetensors(head: bytes) -> bool:
    # The format: 8 bytes little-endian length of the header, then the header, a JSON object.
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 100_000_000


def _load_safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, MemoryError, *_DAMAGE) as error:
        raise _unreadable(path, "is a damaged safetensors file", error) from error


def _load_torch(path: Path, head: bytes) -> object:
    import pickle

    import torch
    from safetensors import SafetensorError

    _require_checksums(path, head)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if (head[:2] == b"PK" or head[:1] == b"\x80") and "unsupported" in str(error).lower():
            raise CheckpointError(
                f"{path} holds more than weights: opening it could run code, which was refused.",
                "Ask its author for a file with the state dict alone, or for safetensors.",
                str(error),
            ) from error
        raise _unreadable(path, "is not a checkpoint", error) from error
    except (SafetensorError, MemoryError, *_DAMAGE) as error:  # torch knows that format by its suffix
        problem = "is truncated or damaged" if head[:2] == b"PK" else "is not a checkpoint"
        raise _unreadable(path, problem, error) from error


def _require_checksums(path: Path, head: bytes) -> None:
    """Raise CheckpointError when a zip archive's members do not have their checksums, which torch does not look at."""
    if head[:2] != b"PK":
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, zlib.error, *_DAMAGE) as error:
        raise _unreadable(path, "is truncated or damaged", error) from error
    if damaged is not None:
        raise CheckpointError(
            f"{path} is truncated or damaged: the checksum of {damaged} is wrong.",
            "Download or import the weights again.",
        )


def _unreadable(path: Path, problem: str, error: Exception) -> CheckpointError:
    if is_out_of_memory(error):
        # A damaged file can claim any size, so which of the two it is cannot be told here.
        return CheckpointError(
            f"{path} needs more memory than there is, or is damaged.",
            "Close other programs or choose a smaller model; if that does not help, import the weights again.",
            str(error),
        )
    return CheckpointError(f"{path} {problem}.", "Download or import the weights again.", str(error))


def _unwrap(content: object, path: Path) -> dict[str, Tensor]:
    import torch

    while isinstance(content, Mapping):
        inner = next((content[key] for key in _NESTING if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{path} holds no state dict.", "Choose a file with a model's weights.")
    others = [str(key) for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise CheckpointError(
            f"{path} holds no plain state dict: {others[0]!r} is not a tensor.", "Choose a file with a model's weights."
        )
    return {str(key): value for key, value in content.items()}


def _without_prefixes(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors by the names that a known network has, if wrappers and what was saved beside it are taken
    off; else with the prefixes removed that all of them have."""
    known = _known(tensors) or _known({_inner(key): value for key, value in tensors.items()})
    if known is not None:
        return known
    stripped = {_inner(key): value for key, value in tensors.items()}
    if len(stripped) == len(tensors) and all(key.startswith(_PREFIXES) for key in tensors):
        while all(key.startswith(_PREFIXES) for key in stripped):
            stripped = {_cut(key): value for key, value in stripped.items()}
        return to_official_keys(stripped) if is_huggingface_sam(stripped) else stripped
    return to_official_keys(tensors) if is_huggingface_sam(tensors) else tensors


def _known(tensors: Mapping[str, Tensor], depth: int = 4) -> dict[str, Tensor] | None:
    """Return the part of the tensors that is a known network's state dict, under up to `depth` prefixes."""
    found = to_official_keys(dict(tensors)) if is_huggingface_sam(tensors) else dict(tensors)
    if candidates(_shapes(found)):
        return found
    for prefix in _PREFIXES if depth else ():
        below = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
        inner = _known(below, depth - 1) if below else None
        if inner is not None:
            return inner
    return None


def _inner(key: str) -> str:
    """Return a name without the marks of parts that were wrapped by themselves."""
    return key.replace("._orig_mod.", ".").replace(".module.", ".")


def _cut(key: str) -> str:
    return key[len(next(prefix for prefix in _PREFIXES if key.startswith(prefix))) :]


def _require_numbers(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise CheckpointError for tensors that are not finite, or not of a type that weights have."""
    for key, tensor in tensors.items():
        if not tensor.is_floating_point():
            if key.endswith(_WHOLE_NUMBERS):
                continue
            problem = f"{key} is of the type {str(tensor.dtype).removeprefix('torch.')}"
        # Numbers of eight bits have no test of their own.
        elif not bool((tensor if tensor.dtype.itemsize > 1 else tensor.float()).isfinite().all()):
            problem = f"{key} holds numbers that are not finite"
        else:
            continue
        raise CheckpointError(
            f"{path} holds no weights to compute with: {problem}.", "Save the state dict again, in single precision."
        )
