/**
 * Masks on the image's own grid, cropped to what they hold, and the two forms that they come in from the server.
 *
 * @typedef {import("./affine.js").Vec3} Vec3
 * @typedef {object} Mask
 * @property {Vec3} lower i, j, k of its first voxel
 * @property {Vec3} size voxels along i, j, k
 * @property {Uint8Array} data 0 or 1; i is fastest
 */

import { headerOf } from "./nifti.js";

const AXES = { i: 0, j: 1, k: 2 };

/**
 * Unpack gzip, which browsers can.
 * @param {ArrayBuffer} packed
 * @returns {Promise<ArrayBuffer>}
 */
export async function gunzip(packed) {
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/**
 * The mask of the voxels above zero in a label map.
 * @param {ArrayBuffer} nifti unpacked, of 8 or 16 bits
 * @returns {Mask | null} null where nothing is
 */
export function maskOfLabels(nifti) {
  const { size, bytes: width, start } = headerOf(nifti);
  const bytes = new Uint8Array(nifti, start);
  const labels = width === 1 ? bytes : new Uint16Array(nifti.slice(start));
  return cropped(labels, size, [0, 0, 0]);
}

/**
 * The mask of a slice as the server packs it.
 * @param {{axis: "i" | "j" | "k", index: number, mask: {rows: number, columns: number, bits: string}}} answer
 * @returns {Mask | null}
 */
export function maskOfSlice({ axis, index, mask }) {
  const packed = Uint8Array.from(atob(mask.bits), (letter) => letter.charCodeAt(0));
  const flat = new Uint8Array(mask.rows * mask.columns);
  for (let n = 0; n < flat.length; n++) flat[n] = (packed[n >> 3] >> (7 - (n & 7))) & 1;
  // The columns are the faster of the two axes that are left, as the mask's own order has it.
  const across = AXES[axis];
  /** @type {Vec3} */
  const size = [mask.columns, mask.rows, 1];
  const lower = /** @type {Vec3} */ ([0, 0, 0]);
  lower[across] = index;
  const sizes = [[1, size[0], size[1]], [size[0], 1, size[1]], size];
  return cropped(flat, /** @type {Vec3} */ (sizes[across]), lower);
}

/**
 * @param {ArrayLike<number>} values i is fastest
 * @param {Vec3} size
 * @param {Vec3} origin of the values within the image
 * @returns {Mask | null}
 */
function cropped(values, [ni, nj, nk], origin) {
  const lower = [ni, nj, nk];
  const upper = [-1, -1, -1];
  for (let k = 0, n = 0; k < nk; k++)
    for (let j = 0; j < nj; j++)
      for (let i = 0; i < ni; i++, n++)
        if (values[n]) {
          if (i < lower[0]) lower[0] = i;
          if (i > upper[0]) upper[0] = i;
          if (j < lower[1]) lower[1] = j;
          if (j > upper[1]) upper[1] = j;
          if (k < lower[2]) lower[2] = k;
          upper[2] = k;
        }
  if (upper[0] < 0) return null;
  const size = /** @type {Vec3} */ (upper.map((last, axis) => last - lower[axis] + 1));
  const data = new Uint8Array(size[0] * size[1] * size[2]);
  for (let k = 0, n = 0; k < size[2]; k++)
    for (let j = 0; j < size[1]; j++) {
      const from = ((k + lower[2]) * nj + j + lower[1]) * ni + lower[0];
      for (let i = 0; i < size[0]; i++, n++) data[n] = values[from + i] ? 1 : 0;
    }
  return { lower: /** @type {Vec3} */ (lower.map((first, axis) => first + origin[axis])), size, data };
}

/** First and last slice across an axis. @param {Mask} mask @param {number} axis 0 to 2 for i, j, k */
export function extent(mask, axis) {
  return [mask.lower[axis], mask.lower[axis] + mask.size[axis] - 1];
}
