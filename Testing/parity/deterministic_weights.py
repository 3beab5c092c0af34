"""Weights that depend on nothing but their key and shape, for tests without a checkpoint.

Philox's raw 64-bit words are the same on every platform; they become uniform numbers whose variance keeps the
signal's size through a layer.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

EMBEDDING = re.compile(r"(attention_biases|pos_embed|gaussian_matrix|(_tokens?|_embed|_embeddings\.\d)\.weight)$")
UNIT_VARIANCE = math.sqrt(3.0)
"""Uniform numbers in -1..1 times this have variance 1."""


def uniform(key: str, count: int) -> NDArray[np.float64]:
    """`count` numbers in -1..1, fixed by `key`."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little")
    words = np.random.Philox(key=seed).random_raw(count)
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0


def deterministic_tensor(key: str, like: torch.Tensor) -> torch.Tensor:
    if not like.is_floating_point():
        return torch.zeros_like(like)
    values = uniform(key, like.numel()).reshape(tuple(like.shape))
    if key.endswith("running_var") or (like.ndim == 1 and key.endswith("weight")):
        values = 1.0 + 0.2 * values
    elif like.ndim == 1:
        values = 0.1 * values
    elif EMBEDDING.search(key):
        values = 0.5 * UNIT_VARIANCE * values
    elif "rel_pos" in key:
        values = 0.2 * UNIT_VARIANCE * values
    else:
        values = 1.2 * UNIT_VARIANCE * values / math.sqrt(math.prod(like.shape[1:]))
    return torch.from_numpy(values.astype(np.float32))


def deterministic_state_dict(module: torch.nn.Module) -> Mapping[str, torch.Tensor]:
    """A full state dict for the module, fit for a strict load."""
    return {key: deterministic_tensor(key, tensor) for key, tensor in module.state_dict().items()}
