"""Surface elements of a mask, weighted by their area in mm2, as surface metrics need them.

Each 2x2x2 cell of voxels whose corners are not all alike holds a piece of the surface. Its area follows from
which corners are set and from the spacing (Nikolov et al., arXiv:1809.04430: area-weighted surface distances).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

CORNERS = np.array(list(product((0, 1), repeat=3)))
"""z,y,x of the cell's corners; corner n is bit n of a cell's code."""


def cell_codes(mask_zyx: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the code 0..255 of each cell between neighbouring voxels, of a mask padded by one empty voxel: shape +
    1."""
    padded = np.pad(mask_zyx, 1).astype(np.uint8)
    codes = np.zeros([n - 1 for n in padded.shape], np.uint8)
    for bit, corner in enumerate(CORNERS):
        window = tuple(slice(first, first + size) for first, size in zip(corner, codes.shape, strict=True))
        codes |= padded[window] << np.uint8(bit)
    return codes


def area_table(spacing_zyx: tuple[float, float, float], *, published: bool = False) -> NDArray[np.float64]:
    """Return the surface area in mm2 within a cell for each of the 256 codes.

    With `published` that of the table which the challenges' evaluators come with. It differs where a surface is not
    flat, and in cells of more than four set corners, whose unset ones stay apart on a diagonal there.
    """
    if published:
        return _published_areas(np.asarray(spacing_zyx, np.float64))
    spacing = np.asarray(spacing_zyx, np.float64)
    table = np.zeros(256)
    for code in range(1, 255):
        table[code] = sum(_loop_area(loop * spacing) for loop in _surface_loops(code))
    return table


def _published_areas(spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    codes, corners = _published_triangles()
    sides = (corners[:, 1:] - corners[:, :1]) * spacing
    areas = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1) / 2
    return np.bincount(codes, weights=areas, minlength=256).astype(np.float64)


@lru_cache(maxsize=1)
def _published_triangles() -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the code (n,) and the corners (n,3,3) z,y,x in cell units of the triangles of all surfaces.

    Each polygon is cut so that its triangles have the largest area in a cell of equal sides. Compared with the
    published table, all 256 codes agree for any spacing.
    """
    codes, corners = [], []
    for code in range(1, 255):
        few = code if code.bit_count() <= 4 else 255 - code
        for loop in _surface_loops(few):
            cuts = (loop[np.array(cut)] for cut in _triangulations(0, len(loop) - 1))
            widest = max(cuts, key=lambda cut: sum(_loop_area(triangle) for triangle in cut))
            corners.extend(widest)
            codes.extend([code] * len(widest))
    return np.array(codes), np.array(corners)


def _triangulations(first: int, last: int) -> list[list[tuple[int, int, int]]]:
    """Return all ways of cutting the polygon of the corners `first` to `last` into triangles."""
    if last - first < 2:
        return [[]]
    return [
        [(first, middle, last), *before, *behind]
        for middle in range(first + 1, last)
        for before in _triangulations(first, middle)
        for behind in _triangulations(middle, last)
    ]


def _surface_loops(code: int) -> list[NDArray[np.float64]]:
    """Return closed polygons, corners (n,3) z,y,x in cell units, that part set from unset corners of the cell."""
    links: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for face in _faces():
        for one, two in _face_links(face, code):
            links.setdefault(one, []).append(two)
            links.setdefault(two, []).append(one)
    loops = []
    while links:
        start = here = next(iter(links))
        loop = []
        while here in links:
            loop.append(here)
            neighbours = links.pop(here)
            here = next((n for n in neighbours if n in links), start)
        loops.append(np.array([(CORNERS[a] + CORNERS[b]) / 2 for a, b in loop]))
    return loops


def _faces() -> list[list[int]]:
    """Return the corner numbers of the six faces, in order around each."""
    faces = []
    for axis, side in product(range(3), (0, 1)):
        around = [(0, 0), (0, 1), (1, 1), (1, 0)]
        corners = [np.insert(pair, axis, side) for pair in around]
        faces.append([int(c @ (4, 2, 1)) for c in corners])
    return faces


def _face_links(face: list[int], code: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the pairs of cell edges that the surface joins across a face. Two set corners on a diagonal stay apart."""
    inside = [bool(code >> corner & 1) for corner in face]
    edges = [_edge(face[n], face[(n + 1) % 4]) for n in range(4)]
    crossed = [edges[n] for n in range(4) if inside[n] != inside[(n + 1) % 4]]
    if len(crossed) == 4:
        return [(edges[n - 1], edges[n]) for n in range(4) if inside[n]]
    return [(crossed[0], crossed[1])] if crossed else []


def _edge(a: int, b: int) -> tuple[int, int]:
    return (min(a, b), max(a, b))


def _loop_area(loop: NDArray[np.float64]) -> float:
    """Return the area of a closed polygon (n,3), as triangles from its first corner."""
    one, two = loop[1:-1] - loop[0], loop[2:] - loop[0]
    return float(np.linalg.norm(np.cross(one, two), axis=1).sum() / 2)
