"""The header of NIfTI files: sizes, type and scaling of the voxels, and their place in space by two statements.

Fields: nifti1.h and nifti2.h of the NIfTI data format working group. The qform is a rotation with voxel sizes, the
sform any affine; both lead to RAS. A file may hold both, and they may disagree.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HEADER_BYTES = 540
SCANNER = 1
"""The code of a form that leads to the scanner's own space."""

RIGHT_ANGLES = 1e-4
"""ITK takes an sform whose axes are that near to right angles."""

NEARLY_RIGHT_ANGLES = 5e-3
"""Noise of the numbers, not a shear that anybody meant: half a voxel over a hundred."""

TYPES: dict[int, tuple[str, int]] = {
    2: ("u1", 1), 4: ("i2", 1), 8: ("i4", 1), 16: ("f4", 1), 64: ("f8", 1), 256: ("i1", 1), 512: ("u2", 1),
    768: ("u4", 1), 1024: ("i8", 1), 1280: ("u8", 1), 128: ("u1", 3), 2304: ("u1", 4),
}  # fmt: skip
"""NIfTI's code of a voxel type -> numpy's name and the channels."""

COMPLEX = (32, 1792, 2048)
MILLIMETRES = {1: 1000.0, 2: 1.0, 3: 0.001}
"""The length of the header's unit in mm, by its code."""


@dataclass(frozen=True)
class NiftiForms:
    """The statements of a NIfTI file about its place, to be written again as they were read.

    `voxel` holds qfac and the voxel's sizes i, j, k in the header's unit; `quaternion` b, c, d and the offset; `rows`
    the sform's three rows.
    """

    qform_code: int
    sform_code: int
    voxel: tuple[float, float, float, float]
    quaternion: tuple[float, float, float, float, float, float]
    rows: tuple[float, ...]
    units: int

    def header_bytes(self, shape_zyx: tuple[int, int, int], code: int, bits: int) -> bytes:
        """Return the head of a NIfTI-1 file up to its voxels, with the code and the bits of their type."""
        head = bytearray(352)
        z, y, x = shape_zyx
        struct.pack_into("<i", head, 0, 348)
        struct.pack_into("<8h", head, 40, 3, x, y, z, 1, 1, 1, 1)
        struct.pack_into("<2h", head, 70, code, bits)
        struct.pack_into("<8f", head, 76, *self.voxel, 1, 1, 1, 1)
        struct.pack_into("<3f", head, 108, 352, 1, 0)
        head[123] = self.units & 7
        struct.pack_into("<2h", head, 252, self.qform_code, self.sform_code)
        struct.pack_into("<18f", head, 256, *self.quaternion, *self.rows)
        head[344:348] = b"n+1\0"
        return bytes(head)

    @property
    def unit_mm(self) -> float:
        return MILLIMETRES.get(self.units & 7, 1.0)

    @property
    def sizes(self) -> NDArray[np.float64]:
        """The voxel's sizes i, j, k in mm; a size of zero counts as one, as for ITK."""
        sizes = np.abs(np.array(self.voxel[1:], np.float64))
        return np.where(np.isfinite(sizes) & (sizes > 0), sizes, 1.0) * self.unit_mm

    @property
    def qform(self) -> NDArray[np.float64] | None:
        """The 4x4 matrix from i, j, k to RAS in mm that the qform means; None when its code says there is none."""
        if self.qform_code <= 0 or not np.isfinite(self.quaternion).all():
            return None
        b, c, d = self.quaternion[:3]
        a = math.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
        length = math.sqrt(a * a + b * b + c * c + d * d)
        a, b, c, d = (part / length for part in (a, b, c, d))
        turn = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        if self.voxel[0] < 0:
            turn[:, 2] *= -1
        return _affine(turn * self.sizes, np.array(self.quaternion[3:]) * self.unit_mm)

    @property
    def sform(self) -> NDArray[np.float64] | None:
        """The 4x4 matrix of the sform in mm; None when its code says there is none, or its axes are of no use."""
        rows = np.array(self.rows, np.float64).reshape(3, 4) * self.unit_mm
        if self.sform_code <= 0 or not np.isfinite(rows).all() or abs(np.linalg.det(_directions(rows))) < 1e-6:
            return None
        return _affine(rows[:, :3], rows[:, 3])

    def placement(self) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Return the matrix from i, j, k to LPS in mm that 3D Slicer takes, and sentences on what it does not take.

        That is the qform where there is one, but for an sform in the scanner's space at right angles; the sizes of the
        voxels are the header's own. An sform alone counts with its shear, which Slicer refuses.
        """
        qform, sform = self.qform, self.sform
        turns = np.where(np.array(self.voxel[1:]) < 0, -1.0, 1.0)
        mirrored = ("A voxel size is negative: that axis was mirrored, as in Slicer.",) if turns.min() < 0 else ()
        if qform is None and sform is None:
            return _affine(np.diag(self.sizes * turns), np.zeros(3)), mirrored
        chosen, name, other = (qform, "qform", sform)
        if qform is None or (sform is not None and self.sform_code == SCANNER and _angle_error(sform) < RIGHT_ANGLES):
            chosen, name, other = (sform, "sform", qform)
        assert chosen is not None
        notes = list(mirrored)
        used = chosen.copy()
        if name == "sform":
            used = _affine(_directions(chosen) * self.sizes, chosen[:3, 3])
            stated = np.linalg.norm(chosen[:3, :3], axis=0)
            if not np.allclose(stated, self.sizes, rtol=1e-3):
                notes.append(
                    f"The sform has voxels of {_sizes(stated)} mm, the header says {_sizes(self.sizes)} mm: "
                    "the header's were taken, as in Slicer."
                )
        used[:3, :3] *= turns
        if other is not None and not np.allclose(chosen, other, atol=1e-3 + 1e-3 * float(self.sizes.min())):
            apart = float(np.linalg.norm(chosen[:3, 3] - other[:3, 3]))
            notes.append(
                f"The qform and the sform disagree (their origins lie {apart:.3g} mm apart): the {name} was taken, as "
                "in Slicer. Both are kept in a NIfTI file that is written."
            )
        if _angle_error(used) >= NEARLY_RIGHT_ANGLES:
            notes.append("The axes are not at right angles; the grid is kept as it is.")
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ used, tuple(notes)


@dataclass(frozen=True)
class NiftiHeader:
    """`sizes` along i, j, k, t, ...; `kind` is NIfTI's code of the voxel type, `bits` a voxel's; `order` "<" or ">".

    `is_analyze`: the older format of the same layout, whose place in space is not stated.
    """

    sizes: tuple[int, ...]
    kind: int
    bits: int
    offset: int
    slope: float
    intercept: float
    forms: NiftiForms
    order: str
    is_analyze: bool
    is_pair: bool

    @property
    def voxel_bytes(self) -> int:
        """The bytes of all voxels."""
        return -(-math.prod(max(size, 1) for size in self.sizes) * self.bits // 8)

    @property
    def file_bytes(self) -> int:
        """The length that the file with the voxels must have at least."""
        return self.offset + self.voxel_bytes


def parse_nifti(head: bytes) -> NiftiHeader | None:
    """Return the header in a file's first bytes; None when they are no header of NIfTI or Analyze, or say what cannot
    be."""
    for order in "<>":
        if len(head) >= 348 and head[:4] == struct.pack(order + "i", 348):
            return _checked(_parse_1(head, order))
        if len(head) >= 540 and head[:4] == struct.pack(order + "i", 540):
            return _checked(_parse_2(head, order))
    return None


def _parse_1(head: bytes, order: str) -> NiftiHeader | None:
    def take(form: str, place: int) -> tuple[float, ...]:
        return struct.unpack_from(order + form, head, place)

    magic = head[344:347]
    kind, bits = (int(v) for v in take("2h", 70))
    voxel = take("4f", 76)
    offset, slope, intercept = take("3f", 108)
    qform, sform = (int(v) for v in take("2h", 252))
    numbers = take("18f", 256)
    forms = NiftiForms(qform, sform, _four(voxel), _six(numbers[:6]), numbers[6:], head[123])
    return _header(
        take("8h", 40), (kind, bits, offset, slope, intercept), forms, order,
        is_analyze=magic not in (b"n+1", b"ni1"), is_pair=magic != b"n+1", least=348,
    )  # fmt: skip


def _parse_2(head: bytes, order: str) -> NiftiHeader | None:
    def take(form: str, place: int) -> tuple[float, ...]:
        return struct.unpack_from(order + form, head, place)

    magic = head[4:7]
    kind, bits = (int(v) for v in take("2h", 12))
    (offset,) = take("q", 168)
    slope, intercept = take("2d", 176)
    qform, sform = (int(v) for v in take("2i", 344))
    numbers = take("18d", 352)
    units = int(take("i", 500)[0])
    forms = NiftiForms(qform, sform, _four(take("4d", 104)), _six(numbers[:6]), numbers[6:], units & 0xFF)
    return _header(
        take("8q", 16), (kind, bits, offset, slope, intercept), forms, order,
        is_analyze=False, is_pair=magic == b"ni2", least=540,
    )  # fmt: skip


def _header(
    sizes: tuple[float, ...],
    voxels: tuple[float, ...],
    forms: NiftiForms,
    order: str,
    *,
    is_analyze: bool,
    is_pair: bool,
    least: int,
) -> NiftiHeader | None:
    kind, bits, offset, slope, intercept = voxels
    axes = int(sizes[0])
    if not 1 <= axes <= 7 or bits < 1 or not 0 <= offset < 2**62:
        return None
    lengths = tuple(int(size) for size in sizes[1 : axes + 1])
    while len(lengths) > 1 and lengths[-1] <= 1:
        lengths = lengths[:-1]
    start = int(offset) if is_pair or is_analyze else max(int(offset), least)
    return NiftiHeader(lengths, int(kind), int(bits), start, slope, intercept, forms, order, is_analyze, is_pair)


def _checked(header: NiftiHeader | None) -> NiftiHeader | None:
    return header if header is not None and min(header.sizes) >= 0 else None


def _four(numbers: tuple[float, ...]) -> tuple[float, float, float, float]:
    a, b, c, d = numbers
    return (a, b, c, d)


def _six(numbers: tuple[float, ...]) -> tuple[float, float, float, float, float, float]:
    a, b, c, d, e, f = numbers
    return (a, b, c, d, e, f)


def _affine(axes: NDArray[np.float64], origin: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = axes, origin
    return matrix


def _directions(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the axes of a matrix at length one; zeros for an axis without length."""
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    return matrix[:3, :3] / np.where(lengths > 0, lengths, 1.0)


def _angle_error(matrix: NDArray[np.float64]) -> float:
    """Return how far the axes are from right angles: the largest cosine between two of them."""
    axes = _directions(matrix)
    return float(np.abs(axes.T @ axes - np.eye(3)).max())


def _sizes(sizes: NDArray[np.float64]) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)
