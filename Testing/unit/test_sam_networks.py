"""Building blocks of the networks: shapes, windows, kept tensors, prompt tokens."""

from __future__ import annotations

import pytest
import torch

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.errors import UsageError
from MedSAMSegmentLib.models.builders import build
from MedSAMSegmentLib.models.layers import LayerNorm2d, join_windows, split_windows
from MedSAMSegmentLib.models.mask_decoder import MaskDecoder
from MedSAMSegmentLib.models.prompt_encoder import PromptEncoder
from MedSAMSegmentLib.models.sam_vit import RelativeAttention
from MedSAMSegmentLib.models.tiny_vit import ConvNorm, WindowAttention
from MedSAMSegmentLib.models.two_way_transformer import Attention, ImageTokens


@pytest.mark.parametrize(("height", "width", "size"), [(8, 8, 4), (9, 14, 7), (5, 3, 14)])
def test_windows_join_to_what_was_split(height: int, width: int, size: int) -> None:
    x = torch.randn(2, height, width, 3)
    windows = split_windows(x, size)
    assert windows.shape[1:] == (size, size, 3)
    assert torch.equal(join_windows(windows, size, (height, width)), x)


def test_layer_norm_over_channels_follows_its_formula() -> None:
    norm = LayerNorm2d(6)
    x = torch.randn(2, 6, 4, 5)
    mean = x.mean(1, keepdim=True)
    expected = (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 1e-6)
    assert torch.allclose(norm(x), expected, atol=1e-5)


def test_a_window_s_bias_depends_on_the_distance_only() -> None:
    attention = WindowAttention(64, 3)
    torch.nn.init.normal_(attention.attention_biases)
    bias = attention.bias()[0]
    table = attention.attention_biases.detach()
    assert bias.shape == (2, 9, 9)
    # Tokens 1 (row 0, column 1) and 8 (row 2, column 2) are two rows and one column apart.
    assert torch.equal(bias[:, 1, 8], table[:, 2 * 3 + 1])
    assert torch.equal(bias[:, 8, 1], table[:, 2 * 3 + 1])


@torch.no_grad()
def test_kept_tensors_are_dropped_when_weights_are_loaded() -> None:
    attention = WindowAttention(32, 2).eval()
    attention.bias()
    state = {key: torch.full_like(value, 3.0) for key, value in attention.state_dict().items()}
    attention.load_state_dict(state)
    assert torch.equal(attention.bias(), torch.full((1, 1, 4, 4), 3.0))


@torch.no_grad()
def test_kept_tensors_follow_a_change_of_precision() -> None:
    attention = WindowAttention(32, 2).eval()
    assert attention.bias() is attention.bias()
    attention.double()
    assert attention.bias().dtype == torch.float64


def test_one_convolution_answers_as_convolution_and_norm() -> None:
    layer = ConvNorm(4, 6, 3, stride=2).eval()
    for tensor in (layer.bn.running_mean, layer.bn.running_var, layer.bn.weight.data, layer.bn.bias.data):
        tensor.uniform_(0.5, 1.5)
    x = torch.randn(2, 4, 9, 9)
    expected = layer.bn(layer.c(x))
    with torch.inference_mode():
        assert torch.allclose(layer(x), expected, atol=1e-5)
    assert torch.equal(layer(x), expected)


def test_nothing_is_kept_while_gradients_are_wanted() -> None:
    attention = WindowAttention(32, 2).eval()
    assert attention.bias() is not attention.bias()
    attention.bias().sum().backward()
    assert attention.attention_biases.grad is not None


@torch.no_grad()
def test_heads_in_turns_answer_as_heads_together(monkeypatch: pytest.MonkeyPatch) -> None:
    attention = RelativeAttention(24, 4, 5)
    for table in (attention.rel_pos_h, attention.rel_pos_w):
        torch.nn.init.normal_(table)
    x = torch.randn(2, 5, 5, 24)
    together = attention(x)
    monkeypatch.setattr("MedSAMSegmentLib.models.sam_vit.BIAS_NUMBERS", 1)
    assert torch.allclose(attention(x), together, atol=1e-6)


@torch.no_grad()
def test_relative_attention_follows_its_formula() -> None:
    attention = RelativeAttention(8, 1, 3)
    for table in (attention.rel_pos_h, attention.rel_pos_w):
        torch.nn.init.normal_(table)
    x = torch.randn(1, 3, 3, 8)
    q, k, v = attention.qkv(x.reshape(9, 8)).split(8, dim=-1)
    scores = q @ k.T / 8**0.5
    for a in range(9):
        for b in range(9):
            rows, columns = a // 3 - b // 3 + 2, a % 3 - b % 3 + 2
            scores[a, b] += q[a] @ attention.rel_pos_h[rows] + q[a] @ attention.rel_pos_w[columns]
    expected = attention.proj(scores.softmax(-1) @ v).reshape(1, 3, 3, 8)
    assert torch.allclose(attention(x), expected, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 7, 20])
@pytest.mark.parametrize("images", [1, 2])
def test_tokens_and_cells_meet_as_in_plain_attention(count: int, images: int) -> None:
    torch.manual_seed(count)
    attention = Attention(32, num_heads=4, downsample_rate=2)
    tokens, others = torch.randn(2, 2, count, 32).unbind()
    cells, places = torch.randn(images, 640, 32), torch.randn(1, 640, 32)
    side = ImageTokens(cells, cells + places)
    cells, placed = (x.expand(2, -1, -1) for x in (side.image, side.with_positions))
    close = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(attention.attend_to_image(tokens, side), attention(tokens, placed, cells), **close)
    torch.testing.assert_close(
        attention.attend_from_image(side, tokens, others), attention(placed, tokens, others), **close
    )


def test_points_get_a_padding_token_only_without_a_box() -> None:
    encoder = PromptEncoder(16, (4, 4), (64, 64))
    points, labels, box = torch.rand(2, 3, 2) * 64, torch.tensor([[1, 0, 1], [1, 1, -1]]), torch.rand(2, 4) * 64
    alone, dense = encoder(points, labels)
    assert alone.shape == (2, 4, 16)
    assert dense.shape == (1, 1, 16)
    assert torch.equal(alone[0, 3], encoder.not_a_point_embed.weight[0])
    assert torch.equal(alone[1, 2], encoder.not_a_point_embed.weight[0])
    assert encoder(points, labels, box)[0].shape == (2, 5, 16)
    assert encoder(boxes=box)[0].shape == (2, 2, 16)


@torch.no_grad()
def test_a_box_is_its_corners_with_the_labels_two_and_three() -> None:
    encoder = PromptEncoder(16, (4, 4), (64, 64))
    box = torch.tensor([[3.0, 4.0, 20.0, 30.0]])
    corners = encoder.encode_points(box.view(1, 2, 2), torch.tensor([[2, 3]]))
    assert torch.equal(encoder(boxes=box)[0], corners)


@torch.no_grad()
@pytest.mark.parametrize("sam2", [False, True])
def test_one_image_serves_many_prompts_as_each_alone(sam2: bool) -> None:
    torch.manual_seed(0)
    decoder = MaskDecoder(256, sam2=sam2, high_res_features=sam2).eval()
    image, position, sparse = torch.randn(1, 256, 4, 4), torch.randn(1, 256, 4, 4), torch.randn(3, 2, 256)
    skips = (torch.randn(1, 32, 16, 16), torch.randn(1, 64, 8, 8)) if sam2 else None
    dense = torch.randn(1, 1, 256)
    together = decoder(image, position, sparse, dense, skips)
    assert together.logits.shape == (3, 4, 16, 16)
    assert (together.object_score is not None) == sam2
    for index in range(3):
        alone = decoder(image, position, sparse[index : index + 1], dense, skips)
        assert torch.allclose(together.logits[index], alone.logits[0], atol=1e-4)
        assert torch.allclose(together.ious[index], alone.ious[0], atol=1e-5)


@pytest.mark.parametrize("model_id", ["lite_medsam", "medsam", "sam_vit_l", "sam_vit_h"])
def test_a_built_network_holds_as_many_numbers_as_its_checkpoint(model_id: str) -> None:
    entry = registry.get(model_id)
    module = build(entry.builder, **entry.builder_options)
    assert not module.training
    assert sum(tensor.numel() for tensor in module.state_dict().values()) == entry.parameters


def test_an_unknown_network_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="lite_medsam"):
        build("lite_medsan")
