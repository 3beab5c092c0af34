"""Write MedSAMSegmentLib/checkpoints/fingerprints.json from the networks that the registry builds.

Run it from the repository's root when a network is added: python Testing/checkpoints/make_fingerprints.py
"""

from __future__ import annotations

import torch

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.fingerprints import FINGERPRINTS_PATH, Fingerprint, fingerprint, to_json
from MedSAMSegmentLib.models.builders import build


def shapes_of(entry: registry.ModelEntry) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the network of an entry, built without memory for its weights."""
    with torch.device("meta"):
        module = build(entry.builder, **entry.builder_options)
    return {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}


def networks() -> dict[str, Fingerprint]:
    """The fingerprint of each network by its builder's name."""
    found: dict[str, Fingerprint] = {}
    for entry in registry.entries():
        if entry.builder not in found:
            found[entry.builder] = fingerprint(shapes_of(entry))
    return found


if __name__ == "__main__":
    FINGERPRINTS_PATH.write_text(to_json(networks()), encoding="utf-8")
