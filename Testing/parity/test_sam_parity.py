"""LiteMedSAM and MedSAM give the official code's numbers: embeddings, tokens, logits, IoUs, masks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sam_golden import (
    assert_close,
    load_golden,
    load_trace,
    make_predictor,
    sam_of,
    sample,
    synthetic_state_dict,
    unpack,
)

from MedSAMSegmentLib.checkpoints.weights import load_state_dict
from MedSAMSegmentLib.inference.slice_predictor import SliceEmbedding, SlicePredictor, SlicePrompts
from MedSAMSegmentLib.models.mask_decoder import DecodedMasks
from MedSAMSegmentLib.models.tiny_vit import WindowAttention

LOGITS = {"most": 1e-3, "mean": 1e-4}
FEATURES = {"most": 1e-4, "mean": 2e-5}
SCORE = 1e-4
MASK_PIXELS = 5


@dataclass
class Case:
    """A golden file, our predictor with the same weights, and its embedding of the golden image."""

    name: str
    golden: dict[str, NDArray]
    predictor: SlicePredictor
    embedding: SliceEmbedding
    seen: dict[str, torch.Tensor]
    """Outputs of the encoder's modules by path."""

    @torch.inference_mode()
    def decode(self, points: str | None = None, box: int | None = None, masks: bool = False) -> DecodedMasks:
        """The decoder's answer to prompts in network pixels, as the golden file states them."""
        golden = self.golden
        coords = labels = boxes = mask = None
        if points is not None:
            coords = torch.from_numpy(golden[f"{points}_coords"]).float()[None]
            labels = torch.from_numpy(golden[f"{points}_labels"])[None]
        if box is not None:
            boxes = torch.tensor(self.network_boxes[box : box + 1], dtype=torch.float32)
        if masks:
            mask = torch.from_numpy(golden["box_lowres"][:1])[None]
        return sam_of(self.predictor).decode(
            self.embedding.features, points=coords, labels=labels, boxes=boxes, masks=mask
        )

    @property
    def network_boxes(self) -> NDArray:
        return self.golden["boxes256" if "boxes256" in self.golden else "boxes1024"]


@pytest.fixture(scope="module", params=["lite_real_ct", "lite_synth_rgb", "medsam_synth_rgb"])
def case(request: pytest.FixtureRequest) -> Case:
    name = request.param
    golden = load_golden(name)
    if name.startswith("lite_real"):
        predictor = make_predictor("lite_medsam", load_state_dict(request.getfixturevalue("lite_checkpoint")))
    elif name.startswith("lite"):
        predictor = make_predictor("lite_medsam", synthetic_state_dict("lite_medsam"))
    else:
        predictor = make_predictor("medsam", synthetic_state_dict("medsam_vit_b"))
    seen: dict[str, torch.Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, path=path: seen.__setitem__(path, output))
        for path, module in predictor.module.named_modules()
        if name.startswith("lite")
    ]
    embedding = predictor.encode(golden["image"])
    for hook in hooks:
        hook.remove()
    return Case(name, golden, predictor, embedding, seen)


def test_the_network_input_is_the_official_one(case: Case) -> None:
    network_input = case.embedding.transform.network_input(case.golden["image"])
    np.testing.assert_array_equal(sample(network_input), case.golden["input_sample"])


def test_the_resized_slice_is_the_official_one(case: Case) -> None:
    resized = case.embedding.transform.resize(case.golden["image"])
    if "resized" in case.golden:
        three = resized if resized.ndim == 3 else np.repeat(resized[:, :, None], 3, axis=2)
        np.testing.assert_array_equal(three, case.golden["resized"])
    else:
        assert hashlib.sha256(resized.tobytes()).hexdigest() == str(case.golden["resized_sha256"])


def test_the_embedding_is_the_official_one(case: Case) -> None:
    (embedding,) = case.embedding.features
    assert_close(sample(embedding), case.golden["embedding_sample"], **FEATURES)


def test_boxes_are_mapped_as_the_official_scripts_do(case: Case) -> None:
    ours = [case.embedding.transform.box_to_network(tuple(box)) for box in case.golden["boxes"]]
    np.testing.assert_allclose(ours, case.network_boxes, rtol=0, atol=1e-9)


def test_the_position_code_of_the_grid_is_the_official_one(case: Case) -> None:
    position = sam_of(case.predictor).prompt_encoder.dense_position_encoding()
    assert_close(sample(position.detach()), case.golden["dense_pe_sample"], 1e-5)


@torch.inference_mode()
def test_prompt_tokens_are_the_official_ones(case: Case) -> None:
    encoder, golden = sam_of(case.predictor).prompt_encoder, case.golden
    if "box_sparse" in golden:
        sparse, _ = encoder(boxes=torch.tensor(case.network_boxes, dtype=torch.float32))
        assert_close(sparse, golden["box_sparse"], 1e-5)
    for prompt in ("pts_one", "pts_three"):
        coords = torch.from_numpy(golden[f"{prompt}_coords"]).float()[None]
        sparse, _ = encoder(points=coords, labels=torch.from_numpy(golden[f"{prompt}_labels"])[None])
        assert_close(sparse[0], golden[f"{prompt}_sparse"], 1e-5)
    _, dense = encoder(masks=torch.from_numpy(golden["box_lowres"][:1])[None])
    dense = dense.transpose(1, 2).unflatten(2, encoder.image_embedding_size)
    assert_close(sample(dense), golden["maskprompt_dense_sample"], **FEATURES)


def test_a_box_gives_the_official_mask(case: Case) -> None:
    shape = case.golden["image"].shape[:2]
    for number, box in enumerate(case.golden["boxes"]):
        prediction = case.predictor.predict(case.embedding, SlicePrompts(box_xyxy=tuple(box)))
        assert_close(prediction.low_res_logits, case.golden["box_lowres"][number], **LOGITS)
        assert_close(prediction.score, case.golden["box_iou"][number], SCORE)
        different = prediction.mask != unpack(case.golden["masks_bits"][number], shape)
        assert different.sum() <= MASK_PIXELS


@pytest.mark.parametrize("prompt", ["pts_one", "pts_three"])
def test_points_give_the_official_logits(case: Case, prompt: str) -> None:
    answer = case.decode(points=prompt).select(multimask=False)
    assert_close(answer.logits[0, 0], case.golden[f"{prompt}_lowres"], **LOGITS)
    assert_close(answer.ious[0], case.golden[f"{prompt}_iou"], SCORE)


def test_one_point_gives_the_official_candidates(case: Case) -> None:
    answer = case.decode(points="pts_one").select(multimask=True)
    assert_close(answer.ious[0], case.golden["pts_one_multi_iou"], SCORE)
    if "pts_one_multi_lowres" in case.golden:
        stored = case.golden["pts_one_multi_lowres"]
        assert_close(answer.logits[0], stored, 1e-3 + float(np.spacing(np.abs(stored).max())))


def test_a_box_with_points_gives_the_official_logits(case: Case) -> None:
    answer = case.decode(points="pts_three", box=0).select(multimask=False)
    assert_close(answer.logits[0, 0], case.golden["boxpts_lowres"], **LOGITS)
    assert_close(answer.ious[0], case.golden["boxpts_iou"], SCORE)


def test_an_earlier_answer_as_prompt_gives_the_official_logits(case: Case) -> None:
    answer = case.decode(points="pts_one", masks=True).select(multimask=False)
    assert_close(answer.logits[0, 0], case.golden["maskprompt_lowres"], **LOGITS)
    assert_close(answer.ious[0], case.golden["maskprompt_iou"], SCORE)


def test_logits_at_full_size_are_the_official_ones(case: Case) -> None:
    key = "box0_logits_full_sample" if "boxes256" in case.golden else "box0_prob_full_sample"
    full = case.embedding.transform.upsample(torch.from_numpy(case.golden["box_lowres"][:1]))
    assert_close(sample(full), case.golden[key], 2e-4, 5e-5)


def test_the_label_image_of_a_slice_is_the_official_one(case: Case) -> None:
    if "segs" not in case.golden:
        pytest.skip("the official MedSAM script writes no label image")
    labels = np.zeros(case.golden["segs"].shape, dtype=np.uint8)
    for number, box in enumerate(case.golden["boxes"], start=1):
        labels[case.predictor.predict(case.embedding, SlicePrompts(box_xyxy=tuple(box))).mask] = number
    assert (labels != case.golden["segs"]).sum() <= MASK_PIXELS


@torch.inference_mode()
def test_every_layer_of_the_tiny_encoder_gives_the_official_numbers(case: Case) -> None:
    if not case.name.startswith("lite"):
        pytest.skip("there is no trace of MedSAM's layers")
    calls = load_trace(case.name)
    for call in calls:
        output = case.seen[call["name"]]
        module = case.predictor.module.get_submodule(call["name"])
        if isinstance(module, WindowAttention):
            output = module.proj(output)  # ours projects after the windows are joined
        if len(call["shape"]) != output.ndim:
            # The official code flattens the grid to tokens between stages; ours stays a grid.
            output = output.flatten(2).transpose(1, 2) if call["name"].endswith("downsample") else output.flatten(1, 2)
        assert list(output.shape) == call["shape"], call["name"]
        assert_close(sample(output, 48), call["samples"], 1e-4)
    assert len(calls) == 27


@torch.inference_mode()
def test_loaded_weights_replace_what_was_kept_of_the_old_ones(lite_checkpoint: Path) -> None:
    golden = load_golden("lite_real_ct")
    predictor = make_predictor("lite_medsam", synthetic_state_dict("lite_medsam"))
    for module in predictor.module.modules():
        if isinstance(module, WindowAttention):
            module.bias()
    sam_of(predictor).prompt_encoder.dense_position_encoding()
    predictor.module.load_state_dict(load_state_dict(lite_checkpoint), strict=True)
    prediction = predictor.predict(predictor.encode(golden["image"]), SlicePrompts(box_xyxy=tuple(golden["boxes"][0])))
    assert_close(prediction.low_res_logits, golden["box_lowres"][0], **LOGITS)
