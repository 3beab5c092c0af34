/** NIfTI-1 as the server writes it: a header of 348 bytes with an sform, then the voxels. */

/** @typedef {import("./affine.js").Vec3} Vec3 */

const AFFINE_ROWS = [280, 296, 312];

/**
 * @param {ArrayBuffer} nifti
 * @returns {{size: Vec3, bytes: number, start: number, little: boolean}} voxels along i, j, k, and bytes of each
 */
export function headerOf(nifti) {
  const header = new DataView(nifti);
  const little = header.getInt32(0, true) === 348;
  return {
    size: /** @type {Vec3} */ ([42, 44, 46].map((offset) => Math.max(1, header.getInt16(offset, little)))),
    bytes: header.getInt16(72, little) / 8,
    start: header.getFloat32(108, little),
    little,
  };
}

/**
 * An image whose axes have `most` voxels at most, which is what a graphics card takes: of a larger one every second, third
 * ... voxel, at its place.
 * @param {ArrayBuffer} nifti
 * @param {number} most
 * @returns {{nifti: ArrayBuffer, step: Vec3}} `step` voxels along i, j, k are one
 */
export function thinned(nifti, most) {
  const { size, bytes, start, little } = headerOf(nifti);
  const step = /** @type {Vec3} */ (size.map((n) => Math.ceil(n / most)));
  if (step.every((n) => n === 1)) return { nifti, step };
  const left = size.map((n, axis) => Math.ceil(n / step[axis]));
  const result = new ArrayBuffer(start + left[0] * left[1] * left[2] * bytes);
  const target = new Uint8Array(result);
  target.set(new Uint8Array(nifti, 0, start));
  const header = new DataView(result);
  left.forEach((n, axis) => header.setInt16(42 + 2 * axis, n, little));
  for (const row of AFFINE_ROWS) {
    let origin = header.getFloat32(row + 12, little);
    step.forEach((n, axis) => {
      const along = header.getFloat32(row + 4 * axis, little);
      origin += (along * (n - 1)) / 2;
      header.setFloat32(row + 4 * axis, along * n, little);
    });
    header.setFloat32(row + 12, origin, little);
  }
  step.forEach((n, axis) => header.setFloat32(80 + 4 * axis, header.getFloat32(80 + 4 * axis, little) * n, little));
  const source = new Uint8Array(nifti, start);
  const middle = (/** @type {number} */ n, /** @type {number} */ axis) =>
    Math.min(n * step[axis] + (step[axis] >> 1), size[axis] - 1);
  let at = start;
  for (let k = 0; k < left[2]; k++)
    for (let j = 0; j < left[1]; j++) {
      const line = (middle(k, 2) * size[1] + middle(j, 1)) * size[0];
      for (let i = 0; i < left[0]; i++) {
        const from = (line + middle(i, 0)) * bytes;
        for (let byte = 0; byte < bytes; byte++) target[at++] = source[from + byte];
      }
    }
  return { nifti: result, step };
}
