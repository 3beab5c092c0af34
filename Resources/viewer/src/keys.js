/** The keys: one table, which the page's help shows, too. */

/**
 * @typedef {object} Key
 * @property {string} key of the keyboard event
 * @property {string} text for the help
 * @property {boolean} [ctrl]
 * @property {boolean} [shift] of letters; of signs it depends on the keyboard
 * @property {boolean} [pane] only while a view has the focus
 * @property {() => void} run
 */

const OF_CONTROLS = new Set([
  "Enter", " ", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight", "Home", "End", "PageUp", "PageDown",
]);

/**
 * Listen for all of them.
 * @param {Key[]} keys
 */
export function listen(keys) {
  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("dialog[open]") || event.altKey) return;
    const isTyping = target.matches('input:not([type="range"]), select, textarea');
    const inPane = target.classList.contains("pane");
    // A focused button or handle has keys of its own.
    const isControl = !inPane && target !== document.body && OF_CONTROLS.has(event.key);
    const isLetter = /^[a-z]$/i.test(event.key);
    const wanted = isLetter ? event.key.toLowerCase() : event.key;
    const found = keys.find(
      ({ key, ctrl = false, shift = false, pane = false }) =>
        key === wanted &&
        ctrl === (event.ctrlKey || event.metaKey) &&
        (!isLetter || shift === event.shiftKey) &&
        (!pane || inPane),
    );
    if (!found || isControl || (isTyping && !found.ctrl)) return;
    event.preventDefault();
    found.run();
  });
}

/** Rows for the help: keys that do one thing stand together. @param {Key[]} keys @returns {[string, string][]} */
export function described(keys) {
  /** @type {Map<string, string[]>} */
  const rows = new Map();
  for (const { key, ctrl, shift, text } of keys) {
    const name = NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
    rows.set(text, [...(rows.get(text) ?? []), `${ctrl ? "Ctrl+" : ""}${shift ? "Shift+" : ""}${name}`]);
  }
  return [...rows].map(([text, names]) => [names.join(" "), text]);
}

const NAMES = {
  ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", " ": "Space",
  PageUp: "Page up", PageDown: "Page down", Escape: "Esc",
};
