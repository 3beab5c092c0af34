"""Stored values of DICOM frames: plain ones by numpy, compressed ones and colours by ITK (GDCM), else by pydicom.

A decoder gets one frame in a data set of its own that holds nothing but how pixels are stored. So no decoder rescales,
inverts or orders anything by itself, and all of them give the same numbers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .dicom_header import EXPLICIT_BIG, EXPLICIT_LITTLE, dicom_errors
from .dicom_pixels import RLE, PixelFile, PixelFormat, padding_range
from .itk import itk_errors

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

Decoder = Callable[[PixelFile, int], NDArray]
"""From a file and the number of a frame to (rows, columns) or (rows, columns, 3)."""

_PALETTE = tuple(
    f"{colour}PaletteColorLookupTable{part}" for colour in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def decode_frame(file: PixelFile, index: int) -> NDArray:
    """Return one frame's stored values (rows, columns), or its colours (rows, columns, 3). Raises `InputError`."""
    if file.format.is_native and not file.format.is_colour:
        return decode_native(file, index)
    decoders: tuple[Decoder, ...] = (decode_with_itk, decode_with_pydicom)
    if file.format.syntax == RLE:
        decoders = decoders[::-1]
    details = []
    for decode in decoders:
        try:
            return decode(file, index)
        except InputError as refusal:
            details.append(refusal.detail)
    raise _undecoded(file, index, "; ".join(details))


def _undecoded(file: PixelFile, index: int, detail: str) -> InputError:
    from pydicom.uid import UID

    which = f"Frame {index} of {file.path.name}" if file.format.frames > 1 else file.path.name
    return InputError(
        f"{which} cannot be decoded ({UID(file.format.syntax).name}).", "Export it again, uncompressed.", detail
    )


def decode_native(file: PixelFile, index: int) -> NDArray:
    """Return the grey values (rows, columns) of a frame that is not compressed."""
    layout = file.format
    shape = (layout.rows, layout.columns)
    if layout.allocated == 1:
        bits = np.unpackbits(np.frombuffer(file.frames[0], np.uint8), bitorder="little")
        size = layout.rows * layout.columns
        return bits[index * size : (index + 1) * size].reshape(shape)
    order = ">" if layout.big_endian else "<"
    kind = "f" if layout.floating else "u"
    raw = np.frombuffer(file.frames[index], f"{order}{kind}{layout.allocated // 8}", count=layout.rows * layout.columns)
    raw = raw.astype(raw.dtype.newbyteorder("="), copy=False)
    return (raw if layout.floating else _stored_values(raw, layout, file.data)).reshape(shape)


def _stored_values(raw: NDArray, layout: PixelFormat, data: FileDataset | None = None) -> NDArray:
    """Return what the stored bits of unsigned words say, with their sign; other bits hold overlays, or nothing."""
    dtype = np.dtype(f"{'i' if layout.signed else 'u'}{raw.dtype.itemsize}")
    if layout.stored == layout.allocated:
        return raw.view(dtype) if raw.dtype.kind == "u" else raw.astype(dtype, copy=False)
    words = raw.view(f"u{raw.dtype.itemsize}")
    up = np.array(8 * raw.dtype.itemsize - 1 - layout.high, words.dtype)
    down = np.array(8 * raw.dtype.itemsize - layout.stored, dtype)
    values = (words << up).view(dtype) >> down
    padding = padding_range(data) if data is not None else None
    if padding is not None:
        # A padding value that does not fit in the stored bits would become some other grey value.
        lowest = -(1 << (layout.stored - 1)) if layout.signed else 0
        span = 1 << layout.stored
        outside = [v for v in padding if not lowest <= as_pixel_value(v, dtype) < lowest + span]
        if outside:
            whole = words.view(dtype)
            first, last = (as_pixel_value(v, dtype) for v in padding)
            values = np.where((whole >= min(first, last)) & (whole <= max(first, last)), lowest, values).astype(dtype)
    return values


def as_pixel_value(value: float, dtype: np.dtype) -> int:
    """Return a tag's number in the type of the pixels, where it was written with the other sign."""
    info, number = np.iinfo(dtype), int(value)
    if info.min <= number <= info.max:
        return number
    word = np.array([number & ((1 << info.bits) - 1)], f"u{info.bits // 8}")
    return int(word.view(dtype)[0])


def decode_with_itk(file: PixelFile, index: int) -> NDArray:
    """Return a frame as GDCM decodes it, in colour as RGB. Raises `InputError`."""
    import SimpleITK as sitk

    if file.format.syntax == RLE and file.format.samples > 1 and file.format.allocated > 8:
        # GDCM mixes the bytes of neighbouring colours up.
        raise InputError(f"{file.path.name} cannot be decoded by ITK.", "", "RLE colours of more than 8 bits")
    single = _single_frame(file, index)
    with tempfile.TemporaryDirectory(prefix="medsam-frame-") as folder:
        path = Path(folder, "frame.dcm")
        with dicom_errors(file.path):
            single.save_as(path, **_as_file())
        with itk_errors(file.path):
            reader = sitk.ImageFileReader()
            reader.SetImageIO("GDCMImageIO")
            reader.SetFileName(str(path))
            array = sitk.GetArrayFromImage(reader.Execute())
    return _checked(array, file)


def decode_with_pydicom(file: PixelFile, index: int) -> NDArray:
    """Return a frame as pydicom and its plug-ins decode it, in colour as RGB. Raises `InputError`."""
    single = _single_frame(file, index)
    with dicom_errors(file.path):
        array = np.asarray(single.pixel_array)
        if file.format.photometric == "PALETTE COLOR":
            array = _looked_up(array, single)
        elif file.format.samples == 3 and single.PhotometricInterpretation.startswith("YBR_FULL"):
            array = _rgb_of(array, single)
        return _checked(array, file)


def _looked_up(array: NDArray, single: FileDataset) -> NDArray:
    module = "pydicom.pixels" if _pydicom_version() >= 3 else "pydicom.pixel_data_handlers.util"
    colours = np.asarray(import_module(module).apply_color_lut(array, single))
    # Entries of 16 bits are colours of 8 bits in the upper byte: so ITK has them, too.
    return (colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours


def _rgb_of(array: NDArray, single: FileDataset) -> NDArray:
    if _pydicom_version() >= 3:
        # It gives RGB by itself.
        return array
    from pydicom.pixel_data_handlers.util import convert_color_space

    return np.asarray(convert_color_space(array, single.PhotometricInterpretation, "RGB"))


def _pydicom_version() -> int:
    import pydicom

    return int(pydicom.__version__.split(".")[0])


def _checked(array: NDArray, file: PixelFile) -> NDArray:
    """Return an array of the size and, in grey, of the sign that the header states."""
    layout = file.format
    if array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.shape[:2] != (layout.rows, layout.columns) or array.ndim != (3 if layout.is_colour else 2):
        raise ValueError(f"decoded to {array.shape}")
    if layout.is_colour:
        return array[..., :3]
    if layout.floating or array.dtype.kind == "f":
        return array
    words = array.view(f"u{array.dtype.itemsize}")
    if layout.is_native and layout.allocated == 8 * array.dtype.itemsize:
        return _stored_values(words, layout, file.data)
    return _stored_values(words, _in_words_of(array, layout))


def _in_words_of(array: NDArray, layout: PixelFormat) -> PixelFormat:
    """Return the format for an array that a decoder has shifted down into words of its own size."""
    bits = 8 * array.dtype.itemsize
    stored = min(layout.stored, bits)
    return replace(layout, allocated=bits, stored=stored, high=stored - 1)


def _single_frame(file: PixelFile, index: int) -> FileDataset:
    """Return a data set of one frame without rescaling, padding, overlays or a place; greys as MONOCHROME2."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, generate_uid

    layout = file.format
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_SECONDARY_CAPTURE)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = UID(EXPLICIT_LITTLE if layout.is_native else layout.syntax)
    single = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128, is_implicit_VR=False, is_little_endian=True)
    single.SOPClassUID, single.SOPInstanceUID = _SECONDARY_CAPTURE, meta.MediaStorageSOPInstanceUID
    single.Modality = "OT"
    single.Rows, single.Columns, single.SamplesPerPixel = layout.rows, layout.columns, layout.samples
    # Of plain pixels whole words are asked for: which of their bits count is decided here.
    whole = layout.is_native and not layout.is_colour
    single.BitsAllocated = layout.allocated
    single.BitsStored = layout.allocated if whole else layout.stored
    single.HighBit = layout.allocated - 1 if whole else layout.high
    single.PixelRepresentation = 0 if whole else int(layout.signed)
    single.PhotometricInterpretation = layout.photometric if layout.is_colour else "MONOCHROME2"
    if layout.samples > 1:
        single.PlanarConfiguration = int(layout.planar)
    if layout.photometric == "PALETTE COLOR":
        for name in _PALETTE:
            if name in file.data:
                single[name] = file.data[name]
    pixels = file.frames[0 if layout.allocated == 1 else index]
    if layout.is_native:
        pixels = _little_endian(pixels, layout)
        single.PixelData = pixels + b"\0" * (len(pixels) % 2)
        single["PixelData"].VR = "OB" if layout.allocated <= 8 else "OW"
    else:
        single.PixelData = encapsulate([pixels])
        single["PixelData"].VR = "OB"
        single["PixelData"].is_undefined_length = True
    return single


def _little_endian(pixels: bytes, layout: PixelFormat) -> bytes:
    if layout.syntax != EXPLICIT_BIG or layout.allocated <= 8:
        return pixels
    return np.frombuffer(pixels, f">u{layout.allocated // 8}").astype(f"<u{layout.allocated // 8}").tobytes()


def _as_file() -> dict[str, bool]:
    """Return the option by which `save_as` writes preamble and meta information, in pydicom 3 and before."""
    return {"enforce_file_format": True} if _pydicom_version() >= 3 else {"write_like_original": False}
