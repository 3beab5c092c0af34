"""Prompts in a frame's own pixels, and what a SAM 2 network gets of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MedSAMSegmentLib.errors import PromptError
from MedSAMSegmentLib.inference.frame_preprocessing import network_mask, point_prompt

FRAME = (40, 80)
"""Rows and columns; the network has 16 pixels on each side."""


def test_points_are_shares_of_the_frame_on_the_network_s_pixels() -> None:
    prompt = point_prompt(FRAME, 16, [[20.0, 10.0], [80.0, 40.0]], [1, 0])
    assert prompt.points.tolist() == [[[4.0, 4.0], [16.0, 16.0]]]
    assert prompt.labels.tolist() == [[1, 0]]
    assert prompt.points.dtype == torch.float32
    assert prompt.labels.dtype == torch.int64


def test_a_box_is_two_points_before_the_clicks() -> None:
    prompt = point_prompt(FRAME, 16, [[20.0, 10.0]], [1], (0, 5, 40, 20))
    assert prompt.points.tolist() == [[[0.0, 2.0], [8.0, 8.0], [4.0, 4.0]]]
    assert prompt.labels.tolist() == [[2, 3, 1]]
    alone = point_prompt(FRAME, 16, box_xyxy=(0, 5, 40, 20))
    assert alone.points.shape == (1, 2, 2)
    assert alone.labels.tolist() == [[2, 3]]


def test_one_point_may_be_given_flat() -> None:
    assert point_prompt(FRAME, 16, np.array([20.0, 10.0]), np.array(1)).points.tolist() == [[[4.0, 4.0]]]


def test_divided_and_multiplied_in_single_precision() -> None:
    prompt = point_prompt((333, 777), 512, [[123.0, 45.0]], [1])
    expected = np.float32([123, 45]) / np.float32([777, 333]) * np.float32(512)
    assert prompt.points[0, 0].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("points", "labels", "told"),
    [
        (None, None, "neither"),
        ([], [], "neither"),
        ([[1.0, 2.0]], None, "1 points and 0 labels"),
        (None, [1], "0 points and 1 labels"),
    ],
)
def test_what_does_not_match_is_refused(points: list | None, labels: list | None, told: str) -> None:
    with pytest.raises(PromptError, match=told):
        point_prompt(FRAME, 16, points, labels)


def test_a_mask_of_the_network_s_size_is_taken_as_it_is() -> None:
    mask = np.random.default_rng(1).random((16, 16)) < 0.5
    found = network_mask(mask, 16)
    assert found.dtype == torch.float32
    assert np.array_equal(found[0, 0].numpy(), mask)
    assert found.shape == (1, 1, 16, 16)
    assert np.array_equal(network_mask(mask.T, 16)[0, 0].numpy(), mask.T)


@pytest.mark.parametrize("shape", [(32, 32), (32, 16), (16, 32), (8, 8)])
def test_other_masks_are_resized_to_zero_and_one(shape: tuple[int, int]) -> None:
    mask = np.zeros(shape, bool)
    mask[: shape[0] // 2] = True
    found = network_mask(mask, 16)
    assert found.shape == (1, 1, 16, 16)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert (found[0, 0, :7] == 1).all()
    assert (found[0, 0, 9:] == 0).all()


def test_a_pixel_is_set_where_at_least_half_of_it_is() -> None:
    for share, value in ((8, 1.0), (7, 0.0)):
        mask = np.zeros((16, 256), bool)
        mask[:, np.arange(256) % 16 < share] = True
        middle = network_mask(mask, 16)[0, 0, 8, 8]
        assert float(middle) == value
