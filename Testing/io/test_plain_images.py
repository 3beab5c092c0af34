"""PNG, JPEG, TIFF and folders of frames."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from MedSAMSegmentLib.errors import InputError
from MedSAMSegmentLib.intensity import to_uint8
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


def png_of_sixteen_bits(pixels: np.ndarray) -> bytes:
    """A PNG of colours, or of grey with alpha, of sixteen bits, which Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    kind = {2: 4, 3: 2, 4: 6}[pixels.shape[2]]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(*pages: np.ndarray, order: str = "<", deflate: bool = False, tiled: bool = False, **more: int) -> bytes:
    """A TIFF of plain pages: one strip each, or tiles of 16 x 16."""
    tags_of = {"orientation": 274, "photometric": 262, "subfile": 254, "predictor": 317}
    out = bytearray({"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 0))
    link = 4
    for page in pages:
        samples = page.shape[2] if page.ndim == 3 else 1
        data = page.reshape(*page.shape[:2], samples)
        stored = data.astype(data.dtype.newbyteorder(order))
        if more.get("predictor") == 2:
            stored = np.diff(data, axis=1, prepend=np.zeros_like(data[:, :1])).astype(stored.dtype)
        blocks = [stored]
        if tiled:
            rows, columns = (-(-n // 16) * 16 for n in page.shape[:2])
            padded = np.zeros((rows, columns, samples), stored.dtype)
            padded[: page.shape[0], : page.shape[1]] = stored
            blocks = [padded[y : y + 16, x : x + 16] for y in range(0, rows, 16) for x in range(0, columns, 16)]
        raw = [zlib.compress(b.tobytes()) if deflate else b.tobytes() for b in blocks]
        places = []
        for block in raw:
            places.append(len(out))
            out += block
        kind = {"u": 1, "i": 2, "f": 3}[data.dtype.kind]
        entries = {
            256: [page.shape[1]], 257: [page.shape[0]], 258: [data.dtype.itemsize * 8] * samples,
            259: [8 if deflate else 1], 262: [2 if samples >= 3 else 1], 277: [samples], 339: [kind] * samples,
        }  # fmt: skip
        if tiled:
            entries |= {322: [16], 323: [16], 324: places, 325: [len(b) for b in raw]}
        else:
            entries |= {273: places, 278: [page.shape[0]], 279: [len(b) for b in raw]}
        entries |= {tags_of[name]: [value] for name, value in more.items()}
        table = bytearray()
        for tag, values in sorted(entries.items()):
            packed = struct.pack(f"{order}{len(values)}I", *values)
            table += struct.pack(order + "HHI", tag, 4, len(values))
            if len(values) > 1:
                table += struct.pack(order + "I", len(out))
                out += packed
            else:
                table += packed
        struct.pack_into(order + "I", out, link, len(out))
        out += struct.pack(order + "H", len(entries)) + table
        link = len(out)
        out += bytes(4)
    return bytes(out)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_a_png_of_sixteen_bits_keeps_them_in_colour_and_beside_alpha(tmp_path: Path, channels: int) -> None:
    deep = np.random.default_rng(4).integers(0, 4001, (12, 17, channels)).astype(np.uint16)
    (tmp_path / "d.png").write_bytes(png_of_sixteen_bits(deep))
    volume = read_volume(tmp_path / "d.png")
    expected = deep[..., 0] if channels == 2 else deep[..., :3]
    assert volume.array_zyx.dtype == np.uint16
    assert np.array_equal(volume.array_zyx, expected[None])
    if channels == 3:
        scaled = to_uint8(volume.array_zyx)
        assert scaled.description == f"colour [{deep.min()}, {deep.max()}]"
        assert np.ptp(scaled.volume_u8) == 255


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "samples"),
    [(kind, 1) for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")]
    + [(kind, 3) for kind in ("u1", "u2", "u4", "u8", "f4", "f8")],
)
def test_a_tiff_of_any_number_keeps_it(tmp_path: Path, samples: int, kind: str, order: str) -> None:
    array = np.arange(12 * 17 * samples).reshape(12, 17, samples).astype(kind)
    array[3, 4] = np.iinfo(kind).max if kind[0] in "ui" else 1.5
    if kind[0] == "i":
        array[5, 6] = np.iinfo(kind).min
    array = array if samples == 3 else array[..., 0]
    for name, options in (
        ("plain", {}), ("packed", {"deflate": True}), ("tiled", {"tiled": True}),
        ("predicted", {"deflate": True, "predictor": 2} if kind[0] != "f" and samples == 1 else {}),
    ):  # fmt: skip
        (tmp_path / f"{name}.tif").write_bytes(tiff(array, order=order, **options))
        found = read_volume(tmp_path / f"{name}.tif").array_zyx
        assert np.array_equal(found, array[None]), name
        assert found.dtype.kind == array.dtype.kind or found.dtype == np.int32


def test_half_floats_and_pages_of_many_bits_are_slices(tmp_path: Path) -> None:
    half = np.linspace(-2, 2, 204).reshape(12, 17).astype(np.float16)
    (tmp_path / "h.tif").write_bytes(tiff(half, half * 2))
    assert np.array_equal(read_volume(tmp_path / "h.tif").array_zyx, np.stack([half, half * 2]).astype(np.float32))


@pytest.mark.parametrize("cut", [10, 200, 700])
def test_a_cut_tiff_of_many_bits_is_refused(tmp_path: Path, cut: int) -> None:
    content = tiff(np.arange(204, dtype=np.float64).reshape(12, 17))
    (tmp_path / "c.tif").write_bytes(content[:-cut])
    with pytest.raises(InputError):
        read_volume(tmp_path / "c.tif")


def test_a_thumbnail_in_the_same_file_is_left_out(tmp_path: Path) -> None:
    content = bytearray(tiff(GREY, GREY[::4, ::4].copy(), subfile=0))
    last = content.rindex(struct.pack("<HHII", 254, 4, 1, 0))
    struct.pack_into("<I", content, last + 8, 1)
    (tmp_path / "t.tif").write_bytes(content)
    volume = read_volume(tmp_path / "t.tif")
    assert np.array_equal(volume.array_zyx, GREY[None])
    assert volume.notes == ("A smaller copy of the picture in the same file was left out.", NO_SPACING)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["e.jpg", "e.png", "e.tif", "lzw.tif", "deep.tif"])
def test_a_picture_is_turned_as_its_exif_orientation_says(tmp_path: Path, name: str, orientation: int) -> None:
    upright = np.repeat(np.repeat(np.array([[250, 10, 120], [60, 190, 30]], np.uint8), 32, axis=0), 32, axis=1)
    if name == "deep.tif":
        (tmp_path / name).write_bytes(tiff(upright.astype(np.float64), orientation=orientation))
        expected = ImageOps.exif_transpose(_with_orientation(upright, orientation))
    else:
        exif = Image.Exif()
        exif[274] = orientation
        options = {"compression": "tiff_lzw"} if name == "lzw.tif" else {}
        Image.fromarray(upright).save(tmp_path / name, exif=exif, **options)
        expected = ImageOps.exif_transpose(_with_orientation(upright, orientation))
    volume = read_volume(tmp_path / name)
    assert expected is not None
    wanted = np.asarray(expected).astype(float)
    assert volume.array_zyx[0].shape == wanted.shape
    assert np.abs(volume.array_zyx[0].astype(float) - wanted).mean() < 6
    turned = [note for note in volume.notes if f"EXIF orientation {orientation};" in note]
    assert (len(turned), volume.notes[-1]) == (0 if orientation == 1 else 1, NO_SPACING)


def _with_orientation(array: np.ndarray, orientation: int) -> Image.Image:
    image = Image.fromarray(array)
    image.getexif()[274] = orientation
    return image


def test_a_picture_that_is_too_large_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(InputError, match="is too large") as caught:
        read_volume(tmp_path / "a.png")
    assert caught.value.cure == "Crop or downsample it."


@pytest.mark.filterwarnings("error")
def test_a_large_picture_that_can_be_read_gives_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 150)
    assert read_volume(tmp_path / "a.png").shape_zyx == (1, 12, 17)
