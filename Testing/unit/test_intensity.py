"""Windows, presets and the choice of one; the official formula in reference mode."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from MedSAMSegmentLib.errors import InputError, UsageError
from MedSAMSegmentLib.intensity import PRESETS, Window, parse_window, to_uint8, window_of

REPO = Path(__file__).resolve().parents[2]


def official_ct(volume: np.ndarray, level: float, width: float) -> np.ndarray:
    lo, hi = level - width / 2, level + width / 2
    clipped = np.clip(volume, lo, hi)
    return np.uint8((clipped - clipped.min()) / (clipped.max() - clipped.min()) * 255.0)


def official_mr(volume: np.ndarray) -> np.ndarray:
    lo, hi = np.percentile(volume[volume > 0], 0.5), np.percentile(volume[volume > 0], 99.5)
    clipped = np.clip(volume, lo, hi)
    scaled = (clipped - clipped.min()) / (clipped.max() - clipped.min()) * 255.0
    scaled[volume == 0] = 0
    return np.uint8(scaled)


@pytest.fixture
def a_ct() -> np.ndarray:
    return np.random.default_rng(1).integers(-1024, 2500, (8, 100, 120)).astype(np.int16)


@pytest.fixture
def an_mr() -> np.ndarray:
    values = np.random.default_rng(2).gamma(2.0, 150.0, (6, 64, 64))
    values[:, :20] = 0
    return values


def test_a_window_maps_its_ends_to_black_and_white_and_truncates_between() -> None:
    ramp = np.array([[-500, -160, 40, 239, 240, 900]], np.int16)
    assert to_uint8(ramp, "ct-abdomen").volume_u8.tolist() == [[0, 0, 127, 254, 255, 255]]


def test_a_volume_that_does_not_span_its_window_is_not_stretched() -> None:
    narrow = np.array([[0, 100]], np.int16)
    assert to_uint8(narrow, "40/400").volume_u8.tolist() == [[102, 165]]
    assert to_uint8(narrow, "40/400", reference=True).volume_u8.tolist() == [[0, 255]]


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(("level", "width"), [(40, 400), (-600, 1500), (40, 80)])
def test_reference_mode_gives_the_official_ct_numbers(
    a_ct: np.ndarray, dtype: type, level: float, width: float
) -> None:
    volume = a_ct.astype(dtype)
    ours = to_uint8(volume, f"{level}/{width}", reference=True).volume_u8
    assert np.array_equal(ours, official_ct(volume, level, width))


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32, np.float64])
def test_reference_mode_gives_the_official_mr_numbers(an_mr: np.ndarray, dtype: type) -> None:
    volume = an_mr.astype(dtype)
    assert np.array_equal(to_uint8(volume, "mr", reference=True).volume_u8, official_mr(volume))


def test_integer_volumes_go_through_a_table_that_gives_the_same_numbers(a_ct: np.ndarray) -> None:
    assert a_ct.size > 1 << 16
    for preset in ("ct-lung", "ct-bone", "mr"):
        through_table = to_uint8(a_ct, preset).volume_u8
        assert np.array_equal(through_table, to_uint8(a_ct.astype(np.float64), preset).volume_u8)


def test_the_default_mr_window_keeps_zero_black_and_ignores_negative_voxels(an_mr: np.ndarray) -> None:
    an_mr[0, 30] = -5000.0
    result = to_uint8(an_mr, "mr")
    positive = an_mr[an_mr > 0]
    assert result.window is not None
    assert (result.window.lo, result.window.hi) == pytest.approx(tuple(np.percentile(positive, [0.5, 99.5])))
    assert result.volume_u8[an_mr <= 0].max() == 0
    assert result.volume_u8[an_mr >= result.window.hi].min() == 255


def test_uptake_starts_at_zero_and_keeps_small_hot_lesions_apart() -> None:
    uptake = np.linspace(0.01, 10.0, 100_000).reshape(10, 100, 100)
    result = to_uint8(uptake, "pet")
    assert result.window is not None
    assert result.window.lo == 0.0
    assert result.window.hi == pytest.approx(9.99, abs=0.01)


@pytest.mark.parametrize(
    ("modality", "words"),
    [("CT", "CT abdomen"), ("MR", "MR"), ("PT", "PET"), ("US", "Grey"), (None, "CT abdomen")],
)
def test_auto_says_what_it_chose_and_why(a_ct: np.ndarray, modality: str | None, words: str) -> None:
    description = to_uint8(a_ct, modality=modality).description
    assert description.startswith(f"auto: {words}")
    assert (f"modality {modality}" if modality else "as in CT") in description


def test_auto_takes_mr_for_a_symmetric_phase_image() -> None:
    phase = np.random.default_rng(0).integers(-4096, 4097, (4, 40, 40)).astype(np.int16)
    phase.flat[:2] = (-4096, 4096)
    assert "MR" in to_uint8(phase).description


@pytest.mark.parametrize(
    ("lowest", "highest", "dtype"),
    [(-1024, 1300, "int16"), (-3024, 700, "int32"), (-2048, 900, "float32"), (-1103.4, 1530.6, "float32")],
)
def test_auto_knows_a_ct_by_its_values_whatever_the_padding(lowest: float, highest: float, dtype: str) -> None:
    ct = np.linspace(lowest, highest, 4 * 20 * 20).reshape(4, 20, 20)
    whole = np.rint(ct) if float(lowest).is_integer() else ct
    assert "CT abdomen" in to_uint8(whole.astype(dtype)).description


@pytest.mark.parametrize(("lowest", "highest"), [(-950.5, 960.25), (-300.0, 900.0), (-1000.0, 300.0), (-5000.0, 900.0)])
def test_auto_does_not_take_any_negative_value_for_ct(lowest: float, highest: float) -> None:
    assert "MR" in to_uint8(np.linspace(lowest, highest, 1600).reshape(4, 20, 20)).description


def test_auto_does_not_blacken_a_ct_outside_of_every_ct_window() -> None:
    raw = np.random.default_rng(0).integers(2000, 4000, (4, 40, 40)).astype(np.int16)
    result = to_uint8(raw, modality="CT")
    assert "no voxel lies within the window" in result.description
    assert np.ptp(result.volume_u8) == 255


def a_z_scored_volume(background: str) -> np.ndarray:
    """A head in the middle of a volume, z-scored over all voxels, over those of the head with zero outside, or not at
    all outside of it (the image fills the volume)."""
    rng = np.random.default_rng(8)
    raw = rng.normal(500, 120, (20, 40, 40))
    z, y, x = np.ogrid[-1:1:20j, -1:1:40j, -1:1:40j]
    head = z * z + y * y + x * x < 0.8 if background != "none" else np.ones(raw.shape, bool)
    raw[~head] = 0
    inside = raw if background == "all" else raw[head]
    scored = (raw - inside.mean()) / inside.std()
    if background == "zero":
        scored[~head] = 0
    return scored.astype(np.float32)


@pytest.mark.parametrize("modality", [None, "MR"])
@pytest.mark.parametrize("background", ["all", "zero", "none"])
def test_auto_scales_a_z_scored_image_over_the_values_below_zero_too(background: str, modality: str | None) -> None:
    volume = a_z_scored_volume(background)
    outside = np.inf if background == "none" else volume[0, 0, 0]
    head = volume[volume != outside]
    windowed = to_uint8(volume, modality=modality)
    assert windowed.window is not None
    assert (windowed.window.lo, windowed.window.hi) == pytest.approx(tuple(np.percentile(head, (0.5, 99.5))), abs=0.02)
    assert window_of(volume, modality=modality) == windowed.window
    assert "below zero too" in windowed.description
    shades = windowed.volume_u8[volume != outside]
    assert np.abs(np.median(shades) - 127) < 12
    assert not windowed.volume_u8[volume == outside].any()


def test_auto_ignores_the_few_voxels_below_zero_that_resampling_leaves(an_mr: np.ndarray) -> None:
    ringing = an_mr.astype(np.float32)
    ringing.ravel()[::50] = -3.5
    windowed = to_uint8(ringing)
    assert windowed.window is not None
    assert windowed.window.lo > 0
    assert "no modality known" in windowed.description


def test_auto_keeps_an_image_of_eight_bits() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    result = to_uint8(image)
    assert np.array_equal(result.volume_u8, image)
    assert result.window is None


def test_auto_keeps_whole_numbers_within_eight_bits_whatever_their_type() -> None:
    image = np.arange(256, dtype=np.float32).reshape(1, 16, 16)
    assert np.array_equal(to_uint8(image).volume_u8, image.astype(np.uint8))


def test_colours_within_eight_bits_are_kept_and_others_are_scaled_together() -> None:
    image = np.zeros((1, 2, 2, 3), np.uint16)
    image[0, 0, 0] = (10, 200, 30)
    assert np.array_equal(to_uint8(image).volume_u8, image.astype(np.uint8))
    image[0, 1, 1, 0] = 1000
    assert to_uint8(image).volume_u8[0, 0, 0].tolist() == [2, 51, 7]
    assert to_uint8(image).volume_u8[0, 1, 1, 0] == 255


def test_a_grey_preset_is_refused_for_colours() -> None:
    with pytest.raises(UsageError, match="in colour"):
        to_uint8(np.zeros((1, 2, 2, 3), np.uint8), "ct-lung")


def test_the_window_on_display_can_be_given_as_two_ends() -> None:
    values = np.array([[0.0, 5.0, 10.0]])
    assert to_uint8(values, (0, 10)).volume_u8.tolist() == [[0, 127, 255]]
    assert to_uint8(values, Window(0, 10)).volume_u8.tolist() == [[0, 127, 255]]


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("window", ["auto", "ct-lung", "mr", "pet", "grey"])
@pytest.mark.parametrize("value", [0, -1000, 77])
def test_a_constant_volume_gives_a_constant_image(reference: bool, window: str, value: int) -> None:
    result = to_uint8(np.full((2, 8, 8), value, np.int16), window, reference=reference)
    assert np.ptp(result.volume_u8) == 0


def test_values_that_are_not_finite_do_not_spoil_the_others(an_mr: np.ndarray) -> None:
    spoilt = an_mr.copy()
    spoilt[0, 40, :3] = (np.nan, np.inf, -np.inf)
    result = to_uint8(spoilt, "0/2000").volume_u8
    good = np.isfinite(spoilt)
    assert np.array_equal(result[good], to_uint8(an_mr, "0/2000").volume_u8[good])


def test_the_input_is_never_changed(a_ct: np.ndarray, an_mr: np.ndarray) -> None:
    for volume in (a_ct, an_mr):
        before = volume.copy()
        volume.setflags(write=False)
        for window in ("auto", "ct-lung", "mr", "pet"):
            for reference in (False, True):
                to_uint8(volume, window, reference=reference)
        assert np.array_equal(volume, before)


def test_a_view_with_strides_gives_what_its_copy_gives(a_ct: np.ndarray) -> None:
    view = a_ct[::-1, ::2].transpose(0, 2, 1)
    assert np.array_equal(to_uint8(view, "ct-lung").volume_u8, to_uint8(view.copy(), "ct-lung").volume_u8)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4, 4), np.int16),
        np.full((2, 2, 2), np.nan),
        np.zeros((2, 2, 2), np.complex64),
        np.zeros((2, 2, 2), object),
        np.zeros((2, 2, 2, 2)),
        np.zeros(5),
    ],
    ids=["empty", "all NaN", "complex", "objects", "two channels", "one axis"],
)
def test_what_is_not_an_image_is_refused(array: np.ndarray) -> None:
    with pytest.raises(InputError):
        to_uint8(array)


@pytest.mark.parametrize(
    "window", ["ct-liver", "40", "40/", "a/b", "40/0", "40/-5", "nan/400", (1, 1), (2, 1), 7, None]
)
def test_a_window_that_means_nothing_is_refused(window: object) -> None:
    with pytest.raises(UsageError):
        to_uint8(np.zeros((2, 2, 2)), window)  # type: ignore[arg-type]


def test_none_refuses_values_beyond_eight_bits(a_ct: np.ndarray) -> None:
    with pytest.raises(InputError, match="not within 0 to 255"):
        to_uint8(a_ct, "none")


def test_level_and_width_read_as_radiologists_write_them() -> None:
    window = parse_window("-600/1500")
    assert isinstance(window, Window)
    assert (window.lo, window.hi, window.level, window.width) == (-1350, 150, -600, 1500)
    assert parse_window(" CT-Lung ") == "ct-lung"
    assert PRESETS["ct-brain"].window == Window(0, 80)


@given(
    arrays(np.int16, array_shapes(min_dims=3, max_dims=3, max_side=6)),
    st.floats(-2000, 2000),
    st.floats(1, 4000),
)
def test_brighter_voxels_never_become_darker(volume: np.ndarray, level: float, width: float) -> None:
    result = to_uint8(volume, Window.from_level(level, width)).volume_u8
    order = np.argsort(volume, axis=None, kind="stable")
    assert np.all(np.diff(result.ravel()[order].astype(int)) >= 0)


def test_each_title_and_note_is_a_literal_that_is_marked_for_translation() -> None:
    """Slicer's extraction of texts reads literals alone; the interface translates what the presets hold."""
    source = (REPO / "MedSAMSegmentLib" / "intensity.py").read_text(encoding="utf-8")
    literals = {
        call.args[0].value
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "_"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }
    shown = {text for preset in PRESETS.values() for text in (preset.title, preset.note) if text}
    assert not shown - literals
