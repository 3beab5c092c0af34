"""Encode once, prompt many: the predictor's answers and what it refuses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.errors import PromptError
from MedSAMSegmentLib.inference import slice_networks
from MedSAMSegmentLib.inference.device import DeviceChoice
from MedSAMSegmentLib.inference.slice_predictor import SlicePrediction, SlicePredictor, SlicePrompts
from MedSAMSegmentLib.measurements import roughness
from MedSAMSegmentLib.models.mask_decoder import MaskDecoder
from MedSAMSegmentLib.models.prompt_encoder import PromptEncoder
from MedSAMSegmentLib.models.sam import Sam
from MedSAMSegmentLib.models.sam_vit import SamViT

BOX = (5.0, 6.0, 30.0, 25.0)
CLICK = SlicePrompts(points_xy=np.array([[12.0, 9.0]]), labels=np.array([1]))


@pytest.fixture(scope="module")
def predictor() -> SlicePredictor:
    torch.manual_seed(0)
    encoder = SamViT(dim=32, depth=2, heads=2, global_blocks=(1,), image_size=64, out_dim=256, window=3)
    module = Sam(encoder, PromptEncoder(256, (4, 4), (64, 64)), MaskDecoder(256))
    entry = dataclasses.replace(registry.get("medsam"), input_size=64)
    return SlicePredictor(module, entry, DeviceChoice(torch.device("cpu"), torch.float32, "asked for"))


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (40, 50), dtype=np.uint8)


def test_an_answer_has_the_slice_s_shape_and_plain_numbers(predictor: SlicePredictor, image: np.ndarray) -> None:
    prediction = predictor.predict(predictor.encode(image), SlicePrompts(box_xyxy=BOX))
    assert prediction.mask.shape == image.shape
    assert prediction.mask.dtype == np.bool_
    assert prediction.low_res_logits.shape == (16, 16)
    assert prediction.low_res_logits.dtype == np.float32
    assert type(prediction.score) is float
    assert 0 <= prediction.stability <= 1


def test_a_slice_is_encoded_once_for_all_prompts(
    predictor: SlicePredictor, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    handle = predictor.module.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    embedding = predictor.encode(image)
    for prompts in (SlicePrompts(box_xyxy=BOX), CLICK):
        predictor.predict(embedding, prompts)
    handle.remove()
    assert len(calls) == 1


def test_the_embedding_tells_its_size(predictor: SlicePredictor, image: np.ndarray) -> None:
    assert predictor.encode(image).nbytes == 256 * 4 * 4 * 4


def test_prompts_on_slices_in_turn_answer_as_on_each_slice_alone(predictor: SlicePredictor, image: np.ndarray) -> None:
    """What prompts on one slice share is kept; it must follow the slice."""
    first, second = predictor.encode(image), predictor.encode(image[::-1].copy())
    prompts = SlicePrompts(box_xyxy=BOX)
    alone = [predictor.predict(embedding, prompts).low_res_logits for embedding in (first, second)]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    for embedding, expected in ((first, alone[0]), (second, alone[1]), (second, alone[1]), (first, alone[0])):
        np.testing.assert_array_equal(predictor.predict(embedding, prompts).low_res_logits, expected)


def test_what_prompts_on_a_slice_share_is_computed_once(
    predictor: SlicePredictor, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = slice_networks.as_tokens
    computed: list[int] = []
    monkeypatch.setattr(slice_networks, "as_tokens", lambda features: computed.append(1) or shared(features))
    embedding = predictor.encode(image)
    for box in (BOX, (0.0, 0.0, 49.0, 39.0)):
        predictor.predict(embedding, SlicePrompts(box_xyxy=box))
    assert len(computed) == 1


def test_within_a_part_the_answer_is_that_of_the_whole(predictor: SlicePredictor, image: np.ndarray) -> None:
    embedding = predictor.encode(image)
    x0, y0, x1, y1 = within = (8, 10, 20, 24)
    whole = predictor.predict(embedding, SlicePrompts(box_xyxy=BOX))
    part = predictor.predict(embedding, SlicePrompts(box_xyxy=BOX, within=within))
    inside = np.s_[y0 : y1 + 1, x0 : x1 + 1]
    np.testing.assert_array_equal(part.mask[inside], whole.mask[inside])
    answered = part.low_res_logits > -32
    assert 0 < answered.sum() < answered.size
    np.testing.assert_allclose(part.low_res_logits[answered], whole.low_res_logits[answered], atol=1e-4)
    assert part.score == pytest.approx(whole.score, abs=1e-5)


def an_answer(predictor: SlicePredictor, shape: tuple[int, int], logits: np.ndarray) -> SlicePrediction:
    mask = predictor.transform(shape).mask_to_image(torch.from_numpy(logits)[None])[0].numpy()
    return SlicePrediction(mask, 0.9, logits, 1.0)


def test_smoothing_takes_away_combs_and_checkerboards(predictor: SlicePredictor) -> None:
    shape = (64, 64)
    transform = predictor.transform(shape)
    logits = np.full((16, 16), -5.0, dtype=np.float32)
    logits[4:12, 4:12] = 5.0
    plain = an_answer(predictor, shape, logits)
    smooth = predictor.smooth(plain, transform)
    assert (smooth.shape, smooth.dtype) == (shape, np.bool_)
    assert 2 * (smooth & plain.mask).sum() / (smooth.sum() + plain.mask.sum()) > 0.97
    rough = logits.copy()
    rough[3, 4:12:2] = 5.0
    rough[5:11:2, 5:11:2] = -5.0
    combed = an_answer(predictor, shape, rough)
    smoothed = predictor.smooth(combed, transform)
    assert roughness(combed.mask) > 0.3
    assert roughness(smoothed) < 0.1
    assert 2 * (smoothed & plain.mask).sum() / (smoothed.sum() + plain.mask.sum()) > 0.9


def test_a_single_sure_pixel_does_not_drown_its_neighbours(predictor: SlicePredictor) -> None:
    logits = np.full((16, 16), -5.0, dtype=np.float32)
    logits[8, 8] = 1000.0
    answer = an_answer(predictor, (40, 50), logits)
    assert answer.mask.any()
    assert not predictor.smooth(answer, predictor.transform((40, 50))).any()
    assert logits[8, 8] == 1000.0


def test_smoothing_leaves_out_what_lies_beyond_a_slice_that_is_not_square(predictor: SlicePredictor) -> None:
    filled = an_answer(predictor, (40, 50), np.full((16, 16), 5.0, dtype=np.float32))
    smooth = predictor.smooth(filled, predictor.transform((40, 50)))
    assert smooth.shape == (40, 50)
    assert smooth.all()


def test_multimask_gives_the_candidate_with_the_highest_score(predictor: SlicePredictor, image: np.ndarray) -> None:
    embedding = predictor.encode(image)
    transform = embedding.transform
    with torch.inference_mode():
        decoded = predictor.module.decode(
            embedding.features,
            points=torch.tensor(transform.points_to_network(CLICK.points_xy), dtype=torch.float32)[None],
            labels=torch.tensor([[1]]),
        )
    best = predictor.predict(embedding, CLICK, multimask=True)
    assert best.score == pytest.approx(float(decoded.ious[0, 1:].max()), abs=1e-6)
    assert predictor.predict(embedding, CLICK).score == pytest.approx(float(decoded.ious[0, 0]), abs=1e-6)


def test_an_earlier_answer_changes_the_next_one(predictor: SlicePredictor, image: np.ndarray) -> None:
    embedding = predictor.encode(image)
    first = predictor.predict(embedding, CLICK)
    again = predictor.predict(embedding, dataclasses.replace(CLICK, mask_logits=first.low_res_logits))
    assert np.abs(again.low_res_logits - first.low_res_logits).max() > 1e-3


def test_a_network_box_is_used_as_it_is(predictor: SlicePredictor, image: np.ndarray) -> None:
    embedding = predictor.encode(image)
    network_box = embedding.transform.box_to_network(BOX)
    from_slice = predictor.predict(embedding, SlicePrompts(box_xyxy=BOX))
    from_network = predictor.predict(embedding, SlicePrompts(network_box=network_box))
    np.testing.assert_array_equal(from_slice.low_res_logits, from_network.low_res_logits)


def test_a_slice_without_prompts_is_refused() -> None:
    with pytest.raises(PromptError):
        SlicePrompts()


def test_points_without_labels_are_refused() -> None:
    with pytest.raises(PromptError, match="1 points, but 0 labels"):
        SlicePrompts(points_xy=np.array([[1.0, 2.0]]))


@pytest.mark.parametrize(
    ("first", "last", "count", "expected"),
    [
        (3, 5, 16, (2, 7)),
        (0, 0, 16, (0, 2)),
        (0, 15, 16, (0, 16)),
        (15, 15, 16, (14, 16)),
        (14, 14, 16, (13, 16)),
        (20, 22, 16, (15, 16)),
        (-9, -8, 16, (0, 1)),
        (1, 1, 16, (0, 3)),
    ],
)
def test_a_part_of_the_cells_has_one_more_on_each_side_and_is_never_empty(
    first: int, last: int, count: int, expected: tuple[int, int]
) -> None:
    found = slice_networks._around(first, last, count)
    assert (found.start, found.stop) == expected


@pytest.mark.parametrize(
    ("within", "rows", "columns"),
    [
        (None, (0, 4), (0, 4)),
        ((16.0, 32.0, 31.9, 47.9), (1, 4), (0, 3)),
        ((0.0, 48.0, 15.9, 63.0), (2, 4), (0, 2)),
        ((16.0, 0.0, 47.0, 15.0), (0, 2), (0, 4)),
    ],
)
def test_the_cells_that_are_asked_for_are_those_that_a_box_covers(
    predictor: SlicePredictor,
    within: tuple[float, float, float, float] | None,
    rows: tuple[int, int],
    columns: tuple[int, int],
) -> None:
    """A cell has 16 of the network's 64 pixels."""
    adapter = slice_networks.SamAdapter(predictor.module)  # type: ignore[arg-type]
    found = adapter._cells(within)
    assert [(part.start, part.stop) for part in found] == [rows, columns]


def test_what_was_not_asked_for_is_surely_outside(predictor: SlicePredictor) -> None:
    adapter = slice_networks.SamAdapter(predictor.module)  # type: ignore[arg-type]
    part = torch.full((2, 8, 4), 3.0)
    whole = adapter._extend_to_whole(part, slice(1, 3), slice(2, 3))
    expected = torch.full((2, 16, 16), -32.0)
    expected[:, 4:12, 8:12] = 3.0
    assert torch.equal(whole, expected)
    full = torch.zeros(1, 16, 16)
    assert adapter._extend_to_whole(full, slice(0, 4), slice(0, 4)) is full


def test_sam2_takes_a_box_as_two_corners_before_the_clicks_of_each_object() -> None:
    boxes = torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]])
    points, labels = torch.tensor([[[9.0, 9.0]], [[8.0, 8.0]]]), torch.tensor([[1], [0]])
    masks = torch.arange(2.0)[:, None, None, None].expand(2, 1, 4, 4)
    found = slice_networks._as_points(slice_networks.NetworkPrompts(points, labels, boxes, masks))
    assert [prompt.points.tolist() for prompt, _ in found if prompt] == [
        [[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]],
        [[[5.0, 6.0], [7.0, 8.0], [8.0, 8.0]]],
    ]
    assert [prompt.labels.tolist() for prompt, _ in found if prompt] == [[[2, 3, 1]], [[2, 3, 0]]]
    assert [mask.shape for _, mask in found if mask is not None] == [(1, 1, 4, 4)] * 2
    assert [float(mask.mean()) for _, mask in found if mask is not None] == [0.0, 1.0]


def test_sam2_takes_a_mask_alone_and_nothing_as_nothing() -> None:
    masks = torch.zeros(2, 1, 4, 4)
    found = slice_networks._as_points(slice_networks.NetworkPrompts(masks=masks))
    assert [(prompt, mask.shape) for prompt, mask in found if mask is not None] == [(None, (1, 1, 4, 4))] * 2
    assert slice_networks._as_points(slice_networks.NetworkPrompts()) == []
    alone = slice_networks._as_points(slice_networks.NetworkPrompts(boxes=torch.ones(1, 4)))
    assert [mask for _, mask in alone] == [None]


def test_moved_prompts_are_those_of_a_slice_that_begins_elsewhere() -> None:
    logits = np.zeros((4, 4), dtype=np.float32)
    prompts = SlicePrompts((1, 2, 3, 4), np.array([[5.0, 6.0]]), np.array([1]), logits, (7, 8, 9, 10), (11, 12, 13, 14))
    moved = prompts.moved(100, 1000)
    assert moved.box_xyxy == (101, 1002, 103, 1004)
    assert moved.within == (111, 1012, 113, 1014)
    assert moved.points_xy is not None
    assert moved.points_xy.tolist() == [[105, 1006]]
    assert moved.network_box == (7, 8, 9, 10)
    assert moved.mask_logits is logits
    only = SlicePrompts(mask_logits=logits).moved(1, 1)
    assert (only.box_xyxy, only.points_xy, only.within) == (None, None, None)


def test_one_kind_of_prompt_is_enough_and_points_need_their_labels() -> None:
    box = (1.0, 2.0, 3.0, 4.0)
    for given in ({"box_xyxy": box}, {"network_box": box}, {"mask_logits": np.zeros((4, 4), dtype=np.float32)}):
        SlicePrompts(**given)  # type: ignore[arg-type]
    points = SlicePrompts(points_xy=np.array([3.0, 4.0]), labels=np.array(1))
    assert points.points_xy is not None
    assert points.labels is not None
    assert (points.points_xy.shape, points.labels.shape) == ((1, 2), (1,))
    for wrong in ({}, {"within": box}, {"points_xy": np.zeros((0, 2)), "labels": np.zeros(0)}):
        with pytest.raises(PromptError, match="no prompt"):
            SlicePrompts(**wrong)  # type: ignore[arg-type]
    for labels in (None, np.array([1, 0])):
        with pytest.raises(PromptError, match="labels"):
            SlicePrompts(box_xyxy=box, points_xy=np.array([[3.0, 4.0]]), labels=labels)


def test_smoothing_cuts_sure_logits_and_passes_a_gaussian_of_one_low_res_pixel(predictor: SlicePredictor) -> None:
    from scipy import ndimage

    random = np.random.default_rng(5)
    logits = random.normal(0, 15, (16, 16)).astype(np.float32)
    transform = predictor.transform((64, 64))
    found = predictor.smooth(SlicePrediction(np.zeros((64, 64), dtype=bool), 0.9, logits, 1.0), transform)
    smooth = ndimage.gaussian_filter(np.clip(logits, -12, 12), 1.0)
    assert np.array_equal(found, transform.mask_to_image(torch.from_numpy(smooth)[None])[0].numpy())


def test_stability_compares_the_areas_one_logit_inside_and_outside(
    predictor: SlicePredictor, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = torch.full((1, 16, 16), -5.0)
    logits[0, 0, :4], logits[0, 1, :4], logits[0, 2, :2], logits[0, 3, :3] = 1.5, 0.5, 1.0, -0.5
    embedding = predictor.encode(image)
    for answer, stability in ((logits, 4 / 13), (torch.full((1, 16, 16), -5.0), 0.0)):
        monkeypatch.setattr(predictor._network, "answer", lambda *_, answer=answer: (answer, torch.tensor([0.7])))
        prediction = predictor.predict(embedding, CLICK)
        assert prediction.stability == pytest.approx(stability)
        assert prediction.score == pytest.approx(0.7)


def test_an_embedding_is_as_large_as_its_features(predictor: SlicePredictor, image: np.ndarray) -> None:
    embedding = predictor.encode(image)
    assert embedding.nbytes == 4 * 256 * 4 * 4


def test_a_predictor_that_moves_takes_its_network_along() -> None:
    """To torch's device without numbers, which every machine has."""
    module = Sam(
        SamViT(dim=32, depth=1, heads=2, global_blocks=(), image_size=64, out_dim=256, window=3),
        PromptEncoder(256, (4, 4), (64, 64)),
        MaskDecoder(256),
    )
    entry = dataclasses.replace(registry.get("medsam"), input_size=64)
    mover = SlicePredictor(module, entry, DeviceChoice(torch.device("cpu"), torch.float32, "asked for"))
    elsewhere = DeviceChoice(torch.device("meta"), torch.float32, "for a test")
    mover.move_to(elsewhere)
    assert {tensor.device.type for tensor in module.state_dict().values()} == {"meta"}
    assert mover.device is elsewhere
    assert mover.title == "meta float32, torch"
