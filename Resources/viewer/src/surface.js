/**
 * The surface of a mask by surface nets: one point in each cell of eight voxels that are not all alike, where its edges
 * are crossed, joined to squares around each crossed edge; then drawn towards their neighbours, against the steps.
 */

import { apply } from "./affine.js";

const ROUNDS = 8;

/** Voxels of a surface's grid at most: of larger masks every second or third voxel is looked at. */
const MOST_CELLS = 6_000_000;

/**
 * @param {import("./masks.js").Mask} mask
 * @param {import("./affine.js").Affine} ijkToMm
 * @returns {{points: Float32Array, triangles: Uint32Array}} points in millimetres
 */
export function surfaceOf(mask, ijkToMm) {
  const cells = mask.size[0] * mask.size[1] * mask.size[2];
  const step = Math.max(1, Math.ceil(Math.sqrt(cells / MOST_CELLS)));
  const [ni, nj, nk] = mask.size;
  // Every `step`th voxel in the plane, with an empty border of one.
  const [wi, wj, wk] = [Math.ceil(ni / step) + 2, Math.ceil(nj / step) + 2, nk + 2];
  const grid = new Uint8Array(wi * wj * wk);
  for (let k = 0; k < nk; k++)
    for (let j = 0; j < nj; j += step)
      for (let i = 0; i < ni; i += step)
        grid[((k + 1) * wj + j / step + 1) * wi + i / step + 1] = mask.data[(k * nj + j) * ni + i];

  const corners = [0, 1, wi, wi + 1, wi * wj, wi * wj + 1, wi * wj + wi, wi * wj + wi + 1];
  const index = new Int32Array(grid.length).fill(-1);
  /** @type {number[]} */
  const points = [];
  for (let k = 0; k < wk - 1; k++)
    for (let j = 0; j < wj - 1; j++)
      for (let i = 0; i < wi - 1; i++) {
        const at = (k * wj + j) * wi + i;
        let bits = 0;
        for (let c = 0; c < 8; c++) if (grid[at + corners[c]]) bits |= 1 << c;
        if (bits === 0 || bits === 255) continue;
        index[at] = points.length / 3;
        points.push(...cellPoint(bits, i, j, k));
      }

  /** @type {number[]} */
  const triangles = [];
  const strides = [1, wi, wi * wj];
  for (let k = 1; k < wk - 1; k++)
    for (let j = 1; j < wj - 1; j++)
      for (let i = 1; i < wi - 1; i++) {
        const at = (k * wj + j) * wi + i;
        for (let axis = 0; axis < 3; axis++) {
          const [inside, beyond] = [grid[at], grid[at + strides[axis]]];
          if (inside === beyond) continue;
          const [u, v] = [strides[(axis + 1) % 3], strides[(axis + 2) % 3]];
          const [a, b, c, d] = [index[at - u - v], index[at - v], index[at], index[at - u]];
          if (inside) triangles.push(a, b, c, a, c, d);
          else triangles.push(a, c, b, a, d, c);
        }
      }

  const smooth = smoothed(Float32Array.from(points), triangles);
  const [i0, j0, k0] = mask.lower;
  const placed = new Float32Array(smooth.length);
  for (let n = 0; n < smooth.length; n += 3) {
    const ijk = [i0 + (smooth[n] - 1) * step, j0 + (smooth[n + 1] - 1) * step, k0 + smooth[n + 2] - 1];
    placed.set(apply(ijkToMm, ijk), n);
  }
  return { points: placed, triangles: outward(Uint32Array.from(triangles), ijkToMm) };
}

/** The mean of the crossed edges of a cell, from the corner i, j, k. @returns {[number, number, number]} */
function cellPoint(bits, i, j, k) {
  let [x, y, z, count] = [0, 0, 0, 0];
  for (let c = 0; c < 8; c++)
    for (let axis = 0; axis < 3; axis++) {
      const other = c | (1 << axis);
      if (other === c || ((bits >> c) & 1) === ((bits >> other) & 1)) continue;
      x += (c & 1) + (axis === 0 ? 0.5 : 0);
      y += ((c >> 1) & 1) + (axis === 1 ? 0.5 : 0);
      z += ((c >> 2) & 1) + (axis === 2 ? 0.5 : 0);
      count++;
    }
  return [i + x / count, j + y / count, k + z / count];
}

/** Points drawn towards the mean of their neighbours, then back by nearly as much, so that nothing shrinks. */
function smoothed(points, triangles) {
  let current = points;
  for (let round = 0; round < 2 * ROUNDS; round++) {
    const weight = round % 2 ? -0.53 : 0.5;
    const sums = new Float32Array(points.length);
    const counts = new Float32Array(points.length / 3);
    for (let n = 0; n < triangles.length; n += 3)
      for (let side = 0; side < 3; side++) {
        const [a, b] = [triangles[n + side], triangles[n + ((side + 1) % 3)]];
        for (let axis = 0; axis < 3; axis++) sums[3 * a + axis] += current[3 * b + axis];
        counts[a]++;
      }
    const next = new Float32Array(points.length);
    for (let n = 0; n < points.length; n++) {
      const count = counts[(n / 3) | 0];
      next[n] = count ? current[n] + weight * (sums[n] / count - current[n]) : current[n];
    }
    current = next;
  }
  return current;
}

/** The triangles the other way round where the grid is left-handed: their fronts must be outside. */
function outward(triangles, affine) {
  const [[a, b, c], [d, e, f], [g, h, i]] = affine;
  if (a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) > 0) return triangles;
  for (let n = 0; n < triangles.length; n += 3)
    [triangles[n + 1], triangles[n + 2]] = [triangles[n + 2], triangles[n + 1]];
  return triangles;
}
