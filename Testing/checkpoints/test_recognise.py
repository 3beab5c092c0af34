"""Files of unknown origin are recognised by keys and shapes, against the networks themselves."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path

import pytest
import torch
from make_fingerprints import networks, shapes_of

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.checkpoints.fingerprints import FINGERPRINTS_PATH, fingerprint, known_fingerprints, to_json
from MedSAMSegmentLib.checkpoints.huggingface_keys import is_huggingface_sam, to_official_keys
from MedSAMSegmentLib.checkpoints.recognise import candidates, recognise
from MedSAMSegmentLib.checkpoints.weights import load_state_dict, recognise_file
from MedSAMSegmentLib.errors import CheckpointError

REPO = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("MEDSAM_SHARED", REPO.parent / "shared"))
OFFICIAL = {
    "lite_medsam": "lite_medsam",
    "medsam": "medsam_vit_b",
    "medsam2": "medsam2_hiera_t512",
    "efficient_medsam2_tiny": "efficienttam_ti_512",
    "efficient_medsam2_small": "efficienttam_s_512",
}

network_shapes = functools.cache(lambda model_id: shapes_of(registry.get(model_id)))


def test_the_stored_fingerprints_are_those_of_the_networks() -> None:
    assert FINGERPRINTS_PATH.read_text(encoding="utf-8") == to_json(networks())


def test_the_registry_counts_the_numbers_of_each_network() -> None:
    numbers = {name: item.numbers for name, item in known_fingerprints().items()}
    assert {entry.id: entry.parameters for entry in registry.entries()} == {
        entry.id: numbers[entry.builder] for entry in registry.entries()
    }


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda entry: entry.id)
def test_each_network_is_recognised_as_its_own_kind(entry: registry.ModelEntry) -> None:
    found = candidates(network_shapes(entry.id))
    assert entry in found
    assert {other.builder for other in found} == {entry.builder}


@pytest.mark.parametrize(("model_id", "name"), OFFICIAL.items())
def test_the_official_state_dicts_are_recognised(model_id: str, name: str) -> None:
    path = SHARED / "reference" / "state_dicts" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"the official key lists are not here ({path})")
    shapes = {key: tuple(shape) for key, shape in json.loads(path.read_text())["keys"].items()}
    assert recognise(shapes).entry.id == model_id


def test_between_equals_the_medical_model_is_the_default_and_the_others_are_named() -> None:
    found = recognise(network_shapes("medsam"))
    assert found.entry.id == "medsam"
    assert [entry.id for entry in found.others] == ["sam_vit_b"]
    assert found.reason == "its keys and shapes, which SAM ViT-B share"
    assert recognise(network_shapes("medsam2")).entry.id == "medsam2"


@pytest.mark.parametrize(
    ("shapes_like", "file_name", "expected"),
    [
        ("medsam", "sam_vit_b_01ec64 (1).pth", "sam_vit_b"),
        ("medsam", "anything.pth", "medsam"),
        ("medsam2", "SAM2.1_hiera_tiny.pt", "sam2.1_tiny"),
        ("medsam2", "MedSAM2_CTLesion.pt", "medsam2_ct_lesion"),
        ("medsam2", "medsam2_FLARE25_RECIST_baseline.pt", "medsam2_recist"),
        ("efficienttam_ti", "efficienttam_ti_512x512.pt", "efficienttam_ti"),
        ("efficienttam_ti", "my_finetuned.pt", "efficient_medsam2_tiny"),
    ],
)
def test_between_equals_the_file_name_decides(shapes_like: str, file_name: str, expected: str) -> None:
    assert recognise(network_shapes(shapes_like), file_name=file_name).entry.id == expected


def test_between_equals_a_known_hash_decides_against_the_name() -> None:
    stock = registry.get("sam_vit_b")
    assert stock.sha256 is not None
    found = recognise(network_shapes("medsam"), file_name="medsam_vit_b.pth", sha256=stock.sha256)
    assert (found.entry.id, found.reason) == ("sam_vit_b", "its SHA-256")


def test_a_real_file_is_recognised(lite_checkpoint: Path) -> None:
    found = recognise_file(lite_checkpoint)
    assert (found.entry.id, found.others) == ("lite_medsam", ())


def test_a_relative_of_a_known_model_is_refused_with_the_nearest_named() -> None:
    shapes = dict(network_shapes("sam2.1_small"))
    # SAM 2.0 lacks these two tensors of SAM 2.1.
    del shapes["obj_ptr_tpos_proj.weight"], shapes["obj_ptr_tpos_proj.bias"]
    with pytest.raises(CheckpointError) as caught:
        recognise(shapes)
    assert "The nearest is SAM 2.1 Hiera small (sam2.1_small)" in caught.value.cure


def test_one_other_shape_is_enough_to_refuse() -> None:
    shapes = dict(network_shapes("medsam")) | {"image_encoder.pos_embed": (1, 32, 32, 768)}
    with pytest.raises(CheckpointError, match=r"The nearest is MedSAM \(ViT-B\) \(medsam\) or SAM ViT-B"):
        recognise(shapes)


def test_weights_of_something_else_are_refused_without_a_guess() -> None:
    with pytest.raises(CheckpointError, match="No known model comes near"):
        recognise({"conv1.weight": (64, 3, 7, 7), "fc.bias": (1000,)})


def test_a_fingerprint_does_not_depend_on_the_order_of_keys() -> None:
    shapes = network_shapes("lite_medsam")
    assert fingerprint(shapes) == fingerprint(dict(reversed(shapes.items())))


def huggingface_name(key: str) -> str:
    """The name in transformers' SamModel of one of SAM's official keys, written independently of the product."""
    parts = key.split(".")
    if "iou_prediction_head" in parts or "output_hypernetworks_mlps" in parts:
        at = parts.index("layers")
        parts[at : at + 2] = {"0": ["proj_in"], "1": ["layers", "0"], "2": ["proj_out"]}[parts[at + 1]]
        return ".".join(parts)
    if key == "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix":
        return "prompt_encoder.shared_embedding.positional_embedding"
    if parts[0] == "image_encoder":
        parts[0] = "vision_encoder"
        if parts[1] == "neck":
            parts[2] = ["conv1", "layer_norm1", "conv2", "layer_norm2"][int(parts[2])]
        parts = ["layers" if part == "blocks" else part for part in parts]
        if parts[1] == "patch_embed":
            parts[2] = "projection"
    if "mask_downscaling" in parts:
        place = {"0": "conv1", "1": "layer_norm1", "3": "conv2", "4": "layer_norm2", "6": "conv3"}[parts[2]]
        parts[1:3] = ["mask_embed", place]
    if "output_upscaling" in parts:
        parts[1:3] = [{"0": "upscale_conv1", "1": "upscale_layer_norm", "3": "upscale_conv2"}[parts[2]]]
    parts = ["point_embed" if part == "point_embeddings" else part for part in parts]
    parts = [f"layer_{part}" if part.startswith("norm") else part for part in parts]
    return ".".join(parts)


@pytest.mark.parametrize("shared_twice", [True, False])
def test_huggingface_names_of_medsam_become_the_official_ones(tmp_path: Path, shared_twice: bool) -> None:
    from safetensors.torch import save_file

    shapes = network_shapes("medsam")
    # The first two numbers of each tensor tell the tensors apart; whole weights would be 375 MB.
    official = {key: torch.tensor([float(n), float(len(key))]) for n, key in enumerate(shapes)}
    renamed = {huggingface_name(key): tensor.clone() for key, tensor in official.items()}
    prompt = "prompt_encoder.shared_embedding.positional_embedding"
    renamed["shared_image_embedding.positional_embedding"] = renamed[prompt].clone()
    if not shared_twice:
        del renamed[prompt]
    assert "vision_encoder.layers.11.layer_norm2.weight" in renamed
    assert "mask_decoder.output_hypernetworks_mlps.3.proj_out.bias" in renamed
    assert "mask_decoder.transformer.layer_norm_final_attn.weight" in renamed
    assert is_huggingface_sam(renamed)
    save_file(renamed, tmp_path / "model.safetensors")
    found = load_state_dict(tmp_path / "model.safetensors")
    assert found.keys() == official.keys()
    for key, tensor in official.items():
        assert torch.equal(found[key], tensor)


@pytest.mark.parametrize("model_id", ["medsam", "sam_vit_l", "sam_vit_h"])
def test_the_key_map_covers_all_sizes(model_id: str) -> None:
    shapes = network_shapes(model_id)
    renamed = {huggingface_name(key): shape for key, shape in shapes.items()}
    renamed["shared_image_embedding.positional_embedding"] = (2, 128)
    assert to_official_keys(renamed) == shapes


def test_official_keys_are_left_alone() -> None:
    assert not is_huggingface_sam(network_shapes("medsam"))
    assert not is_huggingface_sam(network_shapes("medsam2"))
