"""A slice's way into a network and back, for every protocol."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from MedSAMSegmentLib import registry
from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.inference.preprocessing import (
    LiteMedSamTransform,
    MedSamTransform,
    Sam2Transform,
    SamTransform,
    SliceTransform,
    make_transform,
)
from MedSAMSegmentLib.inference.resize import (
    resize_area_uint8,
    resize_bicubic_uint8,
    resize_nearest,
    resize_spline,
    resize_spline_uint8,
)

REPO = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("MEDSAM_SHARED", REPO.parent / "shared"))
RESIZE_CASES = SHARED / "reference" / "golden" / "resize_cases.npz"
SIZES = ["512x512", "300x451", "100x64", "180x200", "257x300"]
TRANSFORMS: dict[type[SliceTransform], int] = {
    LiteMedSamTransform: 256,
    MedSamTransform: 1024,
    SamTransform: 1024,
    Sam2Transform: 512,
}
sides = st.integers(min_value=1, max_value=2048)


@pytest.fixture(scope="module")
def resize_cases() -> dict[str, NDArray]:
    if not RESIZE_CASES.exists():
        pytest.skip(f"{RESIZE_CASES.name} is not on this machine (set MEDSAM_SHARED)")
    with np.load(RESIZE_CASES, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(list(TRANSFORMS)),
    height=sides,
    width=sides,
    x=st.floats(min_value=-0.5, max_value=2048),
    y=st.floats(min_value=-0.5, max_value=2048),
)
def test_points_are_scaled_and_shifted_alone(
    kind: type[SliceTransform], height: int, width: int, x: float, y: float
) -> None:
    transform = kind((height, width), TRANSFORMS[kind])
    point = np.array([[min(x, width - 0.5), min(y, height - 0.5)]])
    there = transform.points_to_network(point)
    origin, diagonal = transform.points_to_network(np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert np.all(diagonal > origin)
    assert np.abs((there - origin) / (diagonal - origin) - point).max() < 1e-3


@settings(max_examples=200, deadline=None)
@given(kind=st.sampled_from(list(TRANSFORMS)), height=sides, width=sides)
def test_points_of_the_slice_stay_inside_the_resized_slice(kind: type[SliceTransform], height: int, width: int) -> None:
    transform = kind((height, width), TRANSFORMS[kind])
    rows, columns = transform.resized_shape
    assert 1 <= rows <= transform.size
    assert 1 <= columns <= transform.size
    corners = transform.points_to_network(np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]]))
    lower = -0.5 if transform.pixel_centred else -0.5 * max(columns / width, rows / height)
    assert corners.min() >= lower - 1e-9
    assert np.all(corners[1] <= np.array([columns, rows]) + 1e-9)


def test_a_pixel_keeps_its_place_when_the_slice_is_halved() -> None:
    # The centre between pixels 0 and 1 is the centre of the halved slice's pixel 0.
    transform = LiteMedSamTransform((512, 512), 256)
    np.testing.assert_allclose(transform.points_to_network(np.array([[0.5, 2.5]])), [[0.0, 1.0]])


def test_the_family_of_sam2_only_multiplies_points() -> None:
    transform = Sam2Transform((160, 192), 512)
    np.testing.assert_allclose(transform.points_to_network(np.array([[88, 74]])), [[88 * 512 / 192, 74 * 512 / 160]])


def test_lite_medsam_truncates_boxes_against_the_longer_side() -> None:
    transform = LiteMedSamTransform((300, 451), 256)
    assert transform.box_to_network((175, 92, 325, 188)) == (99, 52, 184, 106)


def test_medsam_scales_boxes_without_rounding() -> None:
    transform = MedSamTransform((300, 451), 1024)
    expected = (175 / 451 * 1024, 92 / 300 * 1024, 325 / 451 * 1024, 188 / 300 * 1024)
    assert transform.box_to_network((175, 92, 325, 188)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("kind", TRANSFORMS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 5), (40, 700)])
def test_slices_of_odd_shapes_become_a_finite_square_and_come_back(
    kind: type[SliceTransform], shape: tuple[int, int]
) -> None:
    transform = kind(shape, TRANSFORMS[kind])
    image = np.arange(shape[0] * shape[1]).reshape(shape).astype(np.uint8)
    network_input = transform.network_input(image)
    assert network_input.shape == (3, transform.size, transform.size)
    assert network_input.dtype == np.float32
    assert np.isfinite(network_input).all()
    masks = transform.mask_to_image(torch.full((2, 256, 256), 3.0))
    assert masks.shape == (2, *shape)
    assert masks.all()


@pytest.mark.parametrize("kind", [LiteMedSamTransform, MedSamTransform])
def test_a_slice_of_one_intensity_becomes_zero(kind: type[SliceTransform]) -> None:
    assert not kind((20, 30), TRANSFORMS[kind]).network_input(np.full((20, 30), 77, np.uint8)).any()


def test_the_padding_is_zero_and_lies_at_the_bottom() -> None:
    image = np.full((100, 200), 255, np.uint8)
    image[0, 0] = 0
    network_input = LiteMedSamTransform((100, 200), 256).network_input(image)
    assert not network_input[:, 128:].any()
    assert network_input[:, 127].all()


@pytest.mark.parametrize("kind", [SamTransform, Sam2Transform])
def test_grey_and_equal_channels_give_the_same_input(kind: type[SliceTransform]) -> None:
    grey = np.random.default_rng(3).integers(0, 256, (33, 47), dtype=np.uint8)
    transform = kind((33, 47), TRANSFORMS[kind])
    colour = np.repeat(grey[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(transform.network_input(grey), transform.network_input(colour))


def test_lite_medsam_interpolates_logits_and_medsam_probabilities() -> None:
    # Between logits 9 and -1 the zero crossing lies past the middle; between their probabilities it does not.
    logits = torch.full((1, 256, 256), 9.0)
    logits[:, :, 128:] = -1.0
    lite = LiteMedSamTransform((1024, 1024), 256).mask_to_image(logits)[0]
    medsam = MedSamTransform((1024, 1024), 1024).mask_to_image(logits)[0]
    assert lite[0].sum() > medsam[0].sum() >= 512


def test_only_the_resized_part_of_the_answer_comes_back() -> None:
    logits = torch.full((1, 256, 256), -5.0)
    logits[:, 128:] = 5.0
    assert not LiteMedSamTransform((100, 200), 256).mask_to_image(logits).any()


@pytest.mark.parametrize(
    "image", [np.zeros((5, 6), np.float32), np.zeros((6, 5), np.uint8), np.zeros((5, 6, 4), np.uint8)]
)
def test_a_slice_that_does_not_fit_is_refused(image: NDArray) -> None:
    with pytest.raises(InputError):
        LiteMedSamTransform((5, 6), 256).network_input(image)


def test_each_model_gets_its_own_protocol() -> None:
    kinds = {entry.id: type(make_transform(entry, (10, 10))) for entry in registry.entries()}
    assert kinds["lite_medsam"] is LiteMedSamTransform
    assert kinds["medsam"] is MedSamTransform
    assert kinds["sam_vit_h"] is SamTransform
    assert kinds["medsam2"] is kinds["efficient_medsam2_tiny"] is Sam2Transform


def test_a_handed_over_box_is_widened_on_the_network_grid() -> None:
    mask = np.zeros((512, 512), bool)
    mask[100:140, 200:260] = True
    prompts = LiteMedSamTransform((512, 512), 256).handover_prompts(mask)
    assert prompts is not None
    assert prompts.network_box == (100 - 3, 50 - 3, 129 + 3, 69 + 3)


def test_a_handed_over_box_may_reach_one_past_the_last_pixel() -> None:
    mask = np.ones((64, 64), bool)
    prompts = LiteMedSamTransform((64, 64), 256).handover_prompts(mask)
    assert prompts is not None
    assert prompts.network_box == (0, 0, 256, 256)


def test_the_label_value_decides_about_half_covered_pixels() -> None:
    # One pixel of four: (1 + 2) >> 2 is nothing, (2 + 2) >> 2 is something.
    mask = np.zeros((512, 512), bool)
    mask[101, 201] = True
    transform = LiteMedSamTransform((512, 512), 256)
    assert transform.handover_prompts(mask, label_value=1) is None
    assert transform.handover_prompts(mask, label_value=2) is not None


@pytest.mark.parametrize(
    ("kind", "size", "covered"),
    [(LiteMedSamTransform, 256, (128, 256)), (SamTransform, 1024, (128, 256)), (MedSamTransform, 1024, (256, 256))],
)
def test_a_mask_lies_where_low_res_answers_have_it(
    kind: type[SliceTransform], size: int, covered: tuple[int, int]
) -> None:
    mask = np.zeros((40, 80), dtype=bool)
    mask[20:, 40:] = True
    transform = kind((40, 80), size)
    low_res = transform.mask_to_low_res(mask, (256, 256))
    expected = np.zeros((256, 256), dtype=bool)
    expected[covered[0] // 2 : covered[0], covered[1] // 2 : covered[1]] = True
    np.testing.assert_array_equal(low_res, expected)
    back = transform.mask_to_image(torch.from_numpy(np.where(low_res, 8.0, -8.0).astype(np.float32))[None])[0].numpy()
    assert (back ^ mask).sum() <= 0.02 * mask.sum()


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_an_empty_mask_hands_nothing_over(kind: type[SliceTransform]) -> None:
    assert kind((90, 70), TRANSFORMS[kind]).handover_prompts(np.zeros((90, 70), bool)) is None


@pytest.mark.parametrize("size", SIZES)
def test_area_resize_equals_opencv(resize_cases: dict[str, NDArray], size: str) -> None:
    expected = resize_cases[f"{size}_cv2_area_256"]
    np.testing.assert_array_equal(resize_area_uint8(resize_cases[size], *expected.shape), expected)


@pytest.mark.parametrize("size", SIZES)
def test_bicubic_resize_equals_pillow(resize_cases: dict[str, NDArray], size: str) -> None:
    resized = resize_bicubic_uint8(resize_cases[size], 512, 512)
    np.testing.assert_array_equal(resized, resize_cases[f"{size}_pil_512"])


@pytest.mark.parametrize("size", SIZES)
def test_spline_resize_equals_scikit_image(resize_cases: dict[str, NDArray], size: str) -> None:
    resized = resize_spline(resize_cases[size], 1024, 1024)
    places = np.unique(np.linspace(0, resized.size - 1, 16384).astype(np.int64))
    expected = resize_cases[f"{size}_skimage_1024_sample"]
    np.testing.assert_allclose(resized.reshape(-1)[places], expected, rtol=0, atol=1e-9)
    truncated = resize_spline_uint8(resize_cases[size], 1024, 1024)
    assert hashlib.sha256(truncated.tobytes()).hexdigest() == str(resize_cases[f"{size}_skimage_1024_uint8_sha256"])


def test_area_resize_works_on_channels_as_on_single_images() -> None:
    image = np.random.default_rng(5).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    for shape in [(30, 40), (61, 83), (122, 166), (17, 83)]:
        each = [resize_area_uint8(np.ascontiguousarray(image[:, :, c]), *shape) for c in range(3)]
        np.testing.assert_array_equal(resize_area_uint8(image, *shape), np.stack(each, axis=2))


def test_area_resize_keeps_the_mean_when_it_shrinks() -> None:
    image = np.random.default_rng(6).integers(0, 256, (200, 301), dtype=np.uint8)
    assert resize_area_uint8(image, 77, 91).mean() == pytest.approx(image.mean(), abs=0.5)


def test_nearest_resize_takes_every_other_pixel() -> None:
    image = np.arange(36).reshape(6, 6)
    np.testing.assert_array_equal(resize_nearest(image, 3, 3), image[::2, ::2])


def test_stock_sam_and_sam2_subtract_a_mean_and_divide_by_a_deviation_for_each_channel() -> None:
    """On the values of the image for SAM, on shares of 255 for SAM 2; red, green, blue."""
    image = np.full((16, 16), 100, np.uint8)
    for transform, value, mean, deviation in (
        (SamTransform((16, 16), 16), 100.0, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        (Sam2Transform((16, 16), 16), 100.0 / 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ):
        network_input = transform.network_input(image)
        expected = [(value - centre) / spread for centre, spread in zip(mean, deviation, strict=True)]
        np.testing.assert_allclose(network_input[:, 3, 5], expected, rtol=1e-5)
        assert (network_input == network_input[:, :1, :1]).all()


@pytest.mark.parametrize("kind", [LiteMedSamTransform, MedSamTransform])
def test_lite_medsam_and_medsam_stretch_a_slice_from_zero_to_one(kind: type[SliceTransform]) -> None:
    image = np.array([[50, 100], [150, 250]], np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    network_input = kind((16, 16), 16).network_input(image)
    np.testing.assert_allclose(network_input[0, ::15, ::15], [[0.0, 0.25], [0.5, 1.0]], atol=0.02)
    assert network_input.min() == 0.0
    assert network_input.max() == 1.0
    colours = np.stack([image, np.full_like(image, 0), np.full_like(image, 250)], axis=-1)
    of_colours = kind((16, 16), 16).network_input(colours)
    assert not of_colours[1].any()
    assert (of_colours[2] == 1.0).all()


@pytest.mark.parametrize(
    ("shape", "resized"),
    [((512, 512), (256, 256)), ((100, 200), (128, 256)), ((201, 100), (256, 127)), ((1, 999), (1, 256))],
)
def test_the_longer_side_becomes_the_network_s_and_the_other_is_rounded(
    shape: tuple[int, int], resized: tuple[int, int]
) -> None:
    for kind in (LiteMedSamTransform, SamTransform):
        assert kind(shape, 256).resized_shape == resized
    for square in (MedSamTransform, Sam2Transform):
        assert square(shape, 256).resized_shape == (256, 256)


def test_stock_sam_multiplies_points_and_boxes_by_how_much_each_side_was_resized() -> None:
    transform = SamTransform((201, 100), 256)
    np.testing.assert_allclose(transform.points_to_network(np.array([[50.0, 67.0]])), [[50 * 1.27, 67 * 256 / 201]])
    assert transform.box_to_network((10, 20, 50, 67)) == pytest.approx((12.7, 20 * 256 / 201, 63.5, 67 * 256 / 201))


def test_medsam_hands_a_box_over_with_five_pixels_of_its_own_grid() -> None:
    mask = np.zeros((64, 64), bool)
    mask[20:30, 10:40] = True
    prompts = MedSamTransform((64, 64), 128).handover_prompts(mask)
    assert prompts is not None
    assert prompts.network_box == (20 - 5, 40 - 5, 79 + 5, 59 + 5)
    corner = np.zeros((64, 64), bool)
    corner[0, 0] = corner[63, 63] = True
    prompts = MedSamTransform((64, 64), 128).handover_prompts(corner)
    assert prompts is not None
    assert prompts.network_box == (0, 0, 128, 128)


def test_other_models_hand_over_the_box_of_the_mask_itself() -> None:
    mask = np.zeros((50, 60), bool)
    mask[20:30, 10:40] = True
    for kind in (SamTransform, Sam2Transform):
        prompts = kind((50, 60), 64).handover_prompts(mask)
        assert prompts is not None
        assert (prompts.box_xyxy, prompts.network_box) == ((10, 20, 39, 29), None)


@pytest.mark.parametrize("kind", [LiteMedSamTransform, MedSamTransform, SamTransform, Sam2Transform])
def test_a_logit_of_zero_is_outside(kind: type[SliceTransform]) -> None:
    transform = kind((16, 16), 64)
    assert not transform.mask_to_image(torch.zeros(1, 64, 64)).any()
    assert transform.mask_to_image(torch.full((1, 64, 64), 0.01)).all()


def test_lite_medsam_s_logits_below_a_ten_millionth_are_outside_as_officially() -> None:
    assert not LiteMedSamTransform((16, 16), 64).mask_to_image(torch.full((1, 64, 64), 1e-8)).any()
    assert SamTransform((16, 16), 64).mask_to_image(torch.full((1, 64, 64), 1e-8)).all()


@pytest.mark.parametrize(
    ("row", "width", "expected"),
    [
        ([0, 30, 60], 2, [10, 50]),
        ([10, 20, 30, 40, 90], 2, [18, 58]),  # (10 + 20 + 15) / 2.5 and (15 + 40 + 90) / 2.5
        ([7, 8, 9], 1, [8]),
        ([0, 100], 3, [0, 50, 100]),
        ([0, 100], 4, [0, 0, 100, 100]),
        ([5], 3, [5, 5, 5]),
    ],
)
def test_area_resize_weighs_pixels_by_what_is_covered_of_them(row: list[int], width: int, expected: list[int]) -> None:
    image = np.array([row] * 3, np.uint8)
    assert resize_area_uint8(image, 3, width).tolist() == [expected] * 3
    assert resize_area_uint8(image.T.copy(), width, 3).T.tolist() == [expected] * 3


def test_area_resize_by_two_rounds_half_up_and_by_others_half_to_even() -> None:
    assert resize_area_uint8(np.array([[1, 2], [3, 4]], np.uint8), 1, 1).tolist() == [[3]]
    assert resize_area_uint8(np.array([[1, 2], [3, 3]], np.uint8), 1, 1).tolist() == [[2]]
    assert resize_area_uint8(np.array([[0], [1]], np.uint8), 1, 1).tolist() == [[0]]
    assert resize_area_uint8(np.array([[1], [2]], np.uint8), 1, 1).tolist() == [[2]]
    assert resize_area_uint8(np.full((6, 6), 255, np.uint8), 2, 3).tolist() == [[255] * 3] * 2


def test_an_image_of_the_right_size_is_copied() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    same = resize_area_uint8(image, 3, 4)
    assert np.array_equal(same, image)
    assert not np.shares_memory(same, image)


def test_splines_stay_within_the_image_and_smooth_what_they_shrink() -> None:
    step = np.zeros((8, 8), np.uint8)
    step[:, 4:] = 200
    larger = resize_spline(step, 16, 16)
    assert (larger.min(), larger.max()) == (0.0, 200.0)
    assert np.allclose(larger[:, ::-1], 200.0 - larger)
    smaller = resize_spline(step, 4, 4)
    assert np.allclose(smaller[0, ::-1], 200.0 - smaller[0])


def test_nearest_takes_the_pixel_at_the_share_of_the_way() -> None:
    image = np.array([[1, 2, 3, 4, 5]])
    assert resize_nearest(image, 1, 3).tolist() == [[1, 2, 4]]
    assert resize_nearest(image, 2, 7).tolist() == [[1, 1, 2, 3, 3, 4, 5]] * 2
    assert resize_nearest(image.T, 3, 1).T.tolist() == [[1, 2, 4]]


@pytest.mark.parametrize("shape", [(8, 10), (32, 10)])
def test_splines_smooth_along_the_side_that_shrinks_alone(shape: tuple[int, int]) -> None:
    """Stripes that are too fine to be told apart become grey."""
    stripes = np.zeros((8, 30), np.uint8)
    stripes[:, ::2] = 200
    resized = resize_spline(stripes, *shape)
    assert resized.shape == shape
    assert np.abs(resized - 100).max() < 20
    turned = resize_spline(stripes.T.copy(), *shape[::-1])
    assert np.allclose(turned.T, resized)
