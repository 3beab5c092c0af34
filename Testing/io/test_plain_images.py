"""PNG, JPEG, TIFF and folders of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.io.plain_images import natural_key
from MedSAMSegmentLib.io.read_volume import read_volume
from MedSAMSegmentLib.io.spacing import NO_SPACING

GREY = np.random.default_rng(0).integers(0, 256, (12, 17)).astype(np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (12, 17, 3)).astype(np.uint8)


def test_a_grey_png_is_one_slice(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    assert volume.kind == "image"
    assert np.array_equal(volume.array_zyx, GREY[None])
    assert volume.spacing_zyx == (1.0, 1.0, 1.0)


def test_a_colour_png_is_one_slice_of_three_channels(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    assert np.array_equal(read_volume(tmp_path / "a.png").array_zyx, COLOUR[None])


def test_alpha_is_dropped_and_said(tmp_path: Path) -> None:
    alpha = np.full((12, 17, 1), 9, np.uint8)
    Image.fromarray(np.concatenate([COLOUR, alpha], axis=-1)).save(tmp_path / "rgba.png")
    Image.fromarray(np.concatenate([GREY[..., None], alpha], axis=-1), "LA").save(tmp_path / "la.png")
    coloured, grey = read_volume(tmp_path / "rgba.png"), read_volume(tmp_path / "la.png")
    assert np.array_equal(coloured.array_zyx, COLOUR[None])
    assert np.array_equal(grey.array_zyx, GREY[None])
    assert coloured.notes == grey.notes == ("The alpha channel was dropped.", NO_SPACING)


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    few = (COLOUR // 128) * 255
    Image.fromarray(few).quantize(8).save(tmp_path / "p.png")
    assert np.array_equal(read_volume(tmp_path / "p.png").array_zyx, few[None])


def test_sixteen_bits_stay_sixteen(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) * 200
    Image.fromarray(deep).save(tmp_path / "d.png")
    Image.fromarray(deep).save(tmp_path / "d.tif")
    for name in ("d.png", "d.tif"):
        assert np.array_equal(read_volume(tmp_path / name).array_zyx, deep[None])


def test_a_bilevel_image_is_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(GREY > 127).save(tmp_path / "b.png")
    assert np.array_equal(read_volume(tmp_path / "b.png").array_zyx[0], (GREY > 127) * 255)


def test_a_jpeg_is_read(tmp_path: Path) -> None:
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    Image.fromarray(smooth).save(tmp_path / "s.jpg", quality=95)
    array = read_volume(tmp_path / "s.jpg").array_zyx
    assert array.shape == (1, 48, 64)
    assert np.abs(array[0].astype(int) - smooth).max() < 6


def test_the_pages_of_a_tiff_are_slices(tmp_path: Path) -> None:
    pages = [Image.fromarray(GREY // n) for n in (1, 2, 3)]
    pages[0].save(tmp_path / "stack.tiff", save_all=True, append_images=pages[1:])
    volume = read_volume(tmp_path / "stack.tiff")
    assert volume.shape_zyx == (3, 12, 17)
    assert np.array_equal(volume.array_zyx[2], GREY // 3)
    assert not volume.is_time_series


def test_frames_are_sorted_by_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 1, 100):
        Image.fromarray(np.full((4, 5), number, np.uint8)).save(tmp_path / f"frame{number}.png")
    volume = read_volume(tmp_path)
    assert volume.array_zyx[:, 0, 0].tolist() == [1, 2, 10, 100]
    assert (volume.kind, volume.time_axis, volume.frame_count) == ("frames", True, 4)
    assert volume.notes == ("4 frames, from frame1.png to frame100.png.", NO_SPACING)


def test_one_coloured_frame_makes_all_coloured(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "1.png")
    Image.fromarray(COLOUR).save(tmp_path / "2.png")
    array = read_volume(tmp_path).array_zyx
    assert array.shape == (2, 12, 17, 3)
    assert np.array_equal(array[0], np.repeat(GREY[..., None], 3, axis=-1))


def test_frames_of_two_sizes_are_refused_by_name(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "1.png")
    Image.fromarray(GREY[:, :5]).save(tmp_path / "2.png")
    with pytest.raises(InputError, match=r"2\.png has \(12, 5\)"):
        read_volume(tmp_path)


def test_hidden_files_are_not_frames(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "1.png")
    (tmp_path / "._1.png").write_bytes(b"resource fork")
    assert read_volume(tmp_path).frame_count == 1


def test_an_image_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="GiB"):
        read_volume(tmp_path / "a.png", max_bytes=100)


def test_names_sort_as_people_count() -> None:
    names = ["b1", "a10", "a2", "a2b", "a"]
    assert sorted(names, key=natural_key) == ["a", "a2", "a2b", "a10", "b1"]
