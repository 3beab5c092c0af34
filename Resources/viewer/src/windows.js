/** Windows to look at an image with: level and width of CT, or what fits the values. */

export const PRESETS = [
  { id: "image", title: "Whole image" },
  { id: "ct-abdomen", title: "CT abdomen 40/400", level: 40, width: 400 },
  { id: "ct-lung", title: "CT lung −600/1500", level: -600, width: 1500 },
  { id: "ct-mediastinum", title: "CT mediastinum 50/350", level: 50, width: 350 },
  { id: "ct-bone", title: "CT bone 400/1800", level: 400, width: 1800 },
  { id: "ct-brain", title: "CT brain 40/80", level: 40, width: 80 },
];

/** @param {{level?: number, width?: number}} preset @returns {[number, number] | null} */
export function rangeOf({ level, width }) {
  return level === undefined || width === undefined ? null : [level - width / 2, level + width / 2];
}

/** Level and width as the service takes them. @param {[number, number]} range */
export function inWords([lowest, highest]) {
  const short = (/** @type {number} */ value) => Number(value.toPrecision(7)).toString();
  return `${short((lowest + highest) / 2)}/${short(highest - lowest)}`;
}

/**
 * The preset that the server's own choice names, "image" where it names none.
 * @param {string} words
 */
export function presetOf(words) {
  const found = /(-?\d+)\s*\/\s*(\d+)/.exec(words);
  if (!found) return "image";
  const [level, width] = [Number(found[1]), Number(found[2])];
  return PRESETS.find((preset) => preset.level === level && preset.width === width)?.id ?? "image";
}
