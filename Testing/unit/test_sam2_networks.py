from __future__ import annotations

import math

import pytest
import torch
from toy_sam2 import toy_model

from MedSAMSegmentLib.models import sam2_builders
from MedSAMSegmentLib.models.position_encoding import RotaryEmbedding, rotate_pairs, sine_grid, sine_of_distance
from MedSAMSegmentLib.models.sam2 import PointPrompt, stability

MILLIONS = {
    "sam2_hiera_t": 38.96,
    "sam2_hiera_s": 46.06,
    "sam2_hiera_b_plus": 80.85,
    "sam2_hiera_l": 224.45,
    "efficienttam_ti": 17.87,
    "efficienttam_s": 34.06,
}


@pytest.mark.parametrize("name", MILLIONS)
def test_networks_have_the_published_size(name: str) -> None:
    with torch.device("meta"):
        model = getattr(sam2_builders, name)()
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    assert millions == pytest.approx(MILLIONS[name], abs=0.05)


@pytest.mark.parametrize("image_size", [512, 1024])
def test_the_grid_follows_the_image_size(image_size: int) -> None:
    with torch.device("meta"):
        model = sam2_builders.sam2_hiera_t(image_size)
        features = model.encode_image(torch.zeros(1, 3, image_size, image_size))
    side = image_size // 16
    assert features.embedding.shape == (1, 256, side, side)
    assert features.high_res is not None
    assert [tuple(f.shape[1:]) for f in features.high_res] == [(32, side * 4, side * 4), (64, side * 2, side * 2)]
    assert model.sam_prompt_encoder.mask_input_size == (side * 4, side * 4)


def test_rotation_by_place_keeps_lengths_and_depends_on_the_difference_of_places_only() -> None:
    rotation = RotaryEmbedding.of_grid(4, 6, 16)
    vectors = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    turned = [rotation.apply(v.expand(24, 16), rotate_pairs(v).expand(24, 16)) for v in vectors]
    assert torch.allclose(turned[0].norm(dim=1), vectors[0].norm().expand(24), atol=1e-5)
    products = turned[0] @ turned[1].T
    at = {(y, x): y * 6 + x for y in range(4) for x in range(6)}
    assert products[at[0, 0], at[2, 3]] == pytest.approx(float(products[at[1, 2], at[3, 5]]), abs=1e-4)
    assert abs(products[at[0, 0], at[2, 3]] - products[at[0, 0], at[3, 2]]) > 1e-3


def test_rotations_repeat_for_several_memories_and_leave_pointers_alone() -> None:
    rotation = RotaryEmbedding.of_grid(2, 2, 8)
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(2))
    once = rotation.apply(x, rotate_pairs(x.T).T)
    keys = torch.cat([x, x, x[:3]])
    turned = rotation.repeated(2, still=3).apply(keys, rotate_pairs(keys.T).T)
    assert torch.equal(turned[:4], once)
    assert torch.equal(turned[4:8], once)
    assert torch.equal(turned[8:], x[:3])
    assert not torch.equal(once, x)


def test_sine_grid_codes_rows_in_the_first_half_and_columns_in_the_second() -> None:
    code = sine_grid(3, 5, 8)[0]
    assert code.shape == (8, 3, 5)
    assert torch.equal(code[:4, :, 0], code[:4, :, 4])
    assert torch.equal(code[4:, 0], code[4:, 2])
    assert code[0, 0, 0] == pytest.approx(math.sin(2 * math.pi / 3), abs=1e-5)
    assert code[5, 0, 1] == pytest.approx(math.cos(2 * math.pi * 2 / 5), abs=1e-5)


def test_sine_of_distance_puts_sines_before_cosines() -> None:
    code = sine_of_distance(torch.tensor([0.0, 0.5]), 8)
    assert code[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert code[1, 0] == pytest.approx(math.sin(0.5))
    assert code[1, 6] == pytest.approx(math.cos(0.5 / 100))


def test_stability_compares_areas_at_two_thresholds() -> None:
    logits = torch.full((1, 1, 10, 10), -1.0)
    logits[0, 0, :2] = 1.0
    logits[0, 0, 2, :5] = 0.0
    assert float(stability(logits)) == pytest.approx(20 / 25)
    assert float(stability(torch.full((1, 1, 4, 4), -1.0))) == 1.0


def test_one_click_lets_three_masks_compete_and_a_box_does_not() -> None:
    click = PointPrompt(torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.int64))
    box = PointPrompt(torch.zeros(1, 2, 2), torch.tensor([[2, 3]]))
    assert (click.is_ambiguous, box.is_ambiguous) == (True, False)


@torch.inference_mode()
def test_an_absent_object_has_no_mask_and_the_common_pointer() -> None:
    model = toy_model()
    features = model.encode_image(torch.zeros(1, 3, 64, 64))
    model.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(-50.0)
    answer = model.decode(model.without_memory(features), features)
    assert (answer.low_res_logits == -1024.0).all()
    assert torch.equal(answer.object_pointer, model.no_obj_ptr)


@torch.inference_mode()
def test_an_empty_mask_prompt_means_absent() -> None:
    model = toy_model()
    features = model.encode_image(torch.zeros(1, 3, 64, 64))
    answer = model.adopt_mask(features, torch.zeros(1, 1, 64, 64))
    assert float(answer.object_score) == -10.0
    assert torch.equal(answer.object_pointer, model.no_obj_ptr)
    full = model.adopt_mask(features, torch.ones(1, 1, 64, 64))
    torch.testing.assert_close(full.low_res_logits, torch.full((1, 1, 16, 16), 10.0))
    assert not torch.equal(full.object_pointer, model.no_obj_ptr)
