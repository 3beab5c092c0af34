/**
 * Affine maps of voxels and millimetres: three rows of four numbers.
 *
 * @typedef {[number, number, number]} Vec3
 * @typedef {number[][]} Affine
 */

/** @param {Affine} m @param {ArrayLike<number>} p @returns {Vec3} */
export function apply(m, p) {
  return /** @type {Vec3} */ (m.slice(0, 3).map((row) => row[0] * p[0] + row[1] * p[1] + row[2] * p[2] + row[3]));
}

/** The map that does `inner` first. @param {Affine} outer @param {Affine} inner @returns {Affine} */
export function compose(outer, inner) {
  return outer.slice(0, 3).map((row) =>
    [0, 1, 2, 3].map((c) => row[0] * inner[0][c] + row[1] * inner[1][c] + row[2] * inner[2][c] + (c === 3 ? row[3] : 0)),
  );
}

/** @param {Affine} m @returns {Affine} */
export function inverse(m) {
  const [[a, b, c, x], [d, e, f, y], [g, h, i, z]] = m;
  const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  const rows = [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ].map((row) => row.map((value) => value / det));
  return rows.map((row) => [...row, -(row[0] * x + row[1] * y + row[2] * z)]);
}

/** The map of a function that is affine, by its values. @param {(p: Vec3) => ArrayLike<number>} f @returns {Affine} */
export function sampled(f) {
  const origin = Array.from(f([0, 0, 0]));
  const steps = [f([1, 0, 0]), f([0, 1, 0]), f([0, 0, 1])];
  return [0, 1, 2].map((r) => [...steps.map((step) => step[r] - origin[r]), origin[r]]);
}

/**
 * The same map with whole numbers, if it only turns and flips a grid; else null.
 * @param {Affine} m
 * @param {number} tolerance voxels, at the far end of a grid of `size`
 * @param {Vec3} size
 * @returns {Affine | null}
 */
export function asGridTurn(m, tolerance, size) {
  const rounded = m.map((row) => row.map(Math.round));
  const units = rounded.map((row) => row.slice(0, 3).map(Math.abs));
  const isTurn =
    units.every((row) => row.reduce((sum, value) => sum + value) === 1) &&
    [0, 1, 2].every((c) => units[0][c] + units[1][c] + units[2][c] === 1);
  if (!isTurn) return null;
  for (const corner of [[0, 0, 0], size.map((n) => n - 1)]) {
    const [exact, whole] = [apply(m, corner), apply(rounded, corner)];
    if (exact.some((value, axis) => Math.abs(value - whole[axis]) > tolerance)) return null;
  }
  return rounded;
}
