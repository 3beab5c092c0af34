"""Our own pinned numbers, for machines without the large reference files."""

from __future__ import annotations

import numpy as np
import pytest
from make_small_golden import FOLDER, answers, lite_medsam, packed, small_sam
from sam_golden import assert_close


@pytest.mark.parametrize("name", ["sam_small", "sam_lite_deterministic", "sam_lite_real"])
def test_answers_to_every_kind_of_prompt_stay_the_same(name: str, request: pytest.FixtureRequest) -> None:
    if name == "sam_small":
        predictor = small_sam()
    else:
        predictor = lite_medsam(request.getfixturevalue("lite_checkpoint") if name == "sam_lite_real" else None)
    found = packed(answers(predictor))
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as golden:
        assert set(golden.files) == set(found)
        for key in golden.files:
            if key.endswith("_bits"):
                different = np.unpackbits(golden[key]) != np.unpackbits(found[key])
                assert different.sum() <= 5, key
            elif key.endswith("_score"):
                assert_close(found[key], golden[key], 1e-4)
            else:
                assert_close(found[key], golden[key], 1e-3, 1e-4)


def test_the_pinned_masks_are_neither_empty_nor_full() -> None:
    for path in FOLDER.glob("sam_*.npz"):
        with np.load(path, allow_pickle=False) as golden:
            share = np.unpackbits(golden["box_bits"]).mean()
        assert 0.01 < share < 0.99, path.name
