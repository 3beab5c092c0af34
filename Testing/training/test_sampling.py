"""Prompts made from masks."""

from __future__ import annotations

import numpy as np
from training_support import disc

from MedSAMSegmentLib.training.sampling import BOX_SHIFT, SampledPrompt, around_answer, loose_box, sample_prompt


def test_a_box_reaches_beyond_the_mask_but_not_beyond_the_shift() -> None:
    mask = disc(16, 12, 5)
    boxes = np.array([loose_box(mask, np.random.default_rng(seed)) for seed in range(300)])
    outwards = (boxes - (7, 11, 17, 21)) * (-1, -1, 1, 1)
    assert outwards.min(axis=0).tolist() == [0] * 4
    assert outwards.max(axis=0).tolist() == [BOX_SHIFT] * 4


def test_a_box_ends_at_the_image() -> None:
    mask = np.zeros((32, 32), bool)
    mask[:3, 29:] = True
    boxes = np.array([loose_box(mask, np.random.default_rng(seed)) for seed in range(100)])
    assert boxes[:, 1].min() == 0
    assert boxes[:, 2].max() == 32


def test_a_click_asks_for_one_part() -> None:
    left, right, speck = disc(8, 8, 4), disc(22, 22, 5), disc(30, 2, 1)
    asked = {"left": 0, "right": 0}
    for seed in range(60):
        prompt = sample_prompt(left | right | speck, np.random.default_rng(seed), with_click=True)
        assert prompt.click is not None
        x, y = (int(value) for value in prompt.click)
        assert prompt.target[y, x]
        part = "left" if np.array_equal(prompt.target, left) else "right"
        assert np.array_equal(prompt.target, {"left": left, "right": right}[part])
        asked[part] += 1
    assert min(asked.values()) > 10


def test_without_a_click_all_of_it_is_asked_for() -> None:
    both = disc(8, 8, 4) | disc(22, 22, 5)
    prompt = sample_prompt(both, np.random.default_rng(1), with_click=False)
    assert prompt.click is None
    assert np.array_equal(prompt.target, both)
    assert prompt.box[0] <= 4
    assert prompt.box[2] >= 27


def test_what_was_seen_is_asked_for_by_a_box_around_it() -> None:
    asked = SampledPrompt((0.0, 0.0, 31.0, 31.0), None, np.zeros((32, 32), bool))
    seen = around_answer(asked, disc(16, 12, 5), np.random.default_rng(3))
    assert seen.box == loose_box(disc(16, 12, 5), np.random.default_rng(3))
    assert seen.click is None


def test_where_nothing_was_seen_the_box_stays() -> None:
    asked = SampledPrompt((0.0, 0.0, 31.0, 31.0), None, np.zeros((32, 32), bool))
    assert around_answer(asked, np.zeros((32, 32), bool), np.random.default_rng(3)) is asked
