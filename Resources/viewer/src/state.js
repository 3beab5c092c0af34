/**
 * The objects of the image, and their past: every state is a value of its own, so undo is a step back.
 *
 * @typedef {"new" | "waiting" | "running" | "done" | "failed" | "cancelled"} Status
 * @typedef {object} Item an object to segment
 * @property {number} id
 * @property {number} revision of its prompts; an answer to an earlier one is not its own
 * @property {string} name
 * @property {[number, number, number]} color
 * @property {boolean} visible
 * @property {object[]} prompts as the service takes them, in voxels
 * @property {"i" | "j" | "k"} axis its slices lie across this axis
 * @property {[number, number] | null} range of slices; null: it ends by itself
 * @property {1 | 2} reading
 * @property {Status} status
 * @property {string} problem why it failed
 * @property {string | null} run
 * @property {import("./masks.js").Mask | null} mask
 * @property {import("./masks.js").Mask | null} preview of one slice, while there is no mask
 * @property {any} facts volume, diameters and scores
 *
 * @typedef {{items: Item[], selected: number | null}} State
 */

/** Colours that differ on grey images; used in turn. */
const COLORS = /** @type {[number, number, number][]} */ ([
  [255, 176, 0],
  [0, 190, 255],
  [120, 220, 60],
  [255, 100, 130],
  [190, 140, 255],
  [0, 215, 170],
  [255, 130, 40],
  [235, 220, 70],
]);

const MOST_STEPS = 100;

export class History {
  /** @param {() => void} onChange */
  constructor(onChange) {
    this._onChange = onChange;
    this.clear();
  }

  /** Forget everything: another image is open. */
  clear() {
    /** @type {State} */
    this.now = { items: [], selected: null };
    /** @type {State[]} */
    this._past = [];
    /** @type {State[]} */
    this._future = [];
    this._nextId = 1;
    this._onChange();
  }

  get canUndo() {
    return this._past.length > 0;
  }

  get canRedo() {
    return this._future.length > 0;
  }

  /** @returns {Item | null} */
  get selected() {
    return this.find(this.now.selected);
  }

  /** @param {number | null} id @returns {Item | null} */
  find(id) {
    return this.now.items.find((item) => item.id === id) ?? null;
  }

  /** Add an object and select it, as one step. @param {Partial<Item>} fields @returns {Item} */
  add(fields) {
    const id = this._nextId++;
    const item = /** @type {Item} */ ({
      id,
      revision: 1,
      name: `Segment ${id}`,
      color: COLORS[(id - 1) % COLORS.length],
      visible: true,
      prompts: [],
      axis: "k",
      range: null,
      reading: 1,
      status: "new",
      problem: "",
      run: null,
      mask: null,
      preview: null,
      facts: null,
      ...fields,
    });
    this._step({ items: [...this.now.items, item], selected: id });
    return item;
  }

  /** Change what an object is, as one step; its results belong to what it was. @param {number} id @returns {Item} */
  revise(id, fields) {
    const old = /** @type {Item} */ (this.find(id));
    const changed = { ...old, ...fields, revision: old.revision + 1, status: "new", problem: "", run: null };
    this._step({ ...this.now, items: this.now.items.map((item) => (item.id === id ? changed : item)) });
    return changed;
  }

  /** Remove an object, as one step. @param {number} id */
  remove(id) {
    const place = this.now.items.findIndex((item) => item.id === id);
    const items = this.now.items.filter((item) => item.id !== id);
    const next = items[Math.min(place, items.length - 1)];
    this._step({ items, selected: next ? next.id : null });
  }

  /**
   * Note what became known of a revision, wherever it stands in the past or the future: no step of its own.
   * @param {number} id
   * @param {number} revision 0: of every one
   * @param {Partial<Item>} fields
   */
  note(id, revision, fields) {
    const noted = (/** @type {State} */ state) => ({
      ...state,
      items: state.items.map((item) =>
        item.id === id && (!revision || item.revision === revision) ? { ...item, ...fields } : item,
      ),
    });
    this.now = noted(this.now);
    this._past = this._past.map(noted);
    this._future = this._future.map(noted);
    this._onChange();
  }

  /** @param {number | null} id */
  select(id) {
    this.now = { ...this.now, selected: id };
    this._onChange();
  }

  undo() {
    const before = this._past.pop();
    if (!before) return;
    this._future.push(this.now);
    this.now = before;
    this._onChange();
  }

  redo() {
    const after = this._future.pop();
    if (!after) return;
    this._past.push(this.now);
    this.now = after;
    this._onChange();
  }

  /** What a reload of the page must not lose. */
  saved() {
    const items = this.now.items.map((item) => ({ ...item, mask: null, preview: null, facts: null }));
    return { items, selected: this.now.selected, nextId: this._nextId };
  }

  /** @param {{items: Item[], selected: number | null, nextId: number}} saved */
  restore(saved) {
    const items = saved.items.map((item) => (item.status === "done" ? { ...item, status: "waiting" } : item));
    this.now = { items: /** @type {Item[]} */ (items), selected: saved.selected };
    this._nextId = saved.nextId;
    this._onChange();
  }

  /** @param {State} state */
  _step(state) {
    this._past.push(this.now);
    if (this._past.length > MOST_STEPS) this._past.shift();
    this._future = [];
    this.now = state;
    this._onChange();
  }
}
