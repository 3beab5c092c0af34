/** The panel's list of objects, with the figures, the range and the doubtful slices of the selected one. */

import { byId, css, el } from "./dom.js";
import { extent } from "./masks.js";

/** @typedef {import("./state.js").Item} Item */

const AXES = { i: 0, j: 1, k: 2 };

const MOST_JUMPS = 14;

const STATUS = {
  new: "",
  waiting: "waits",
  running: "is segmented",
  done: "",
  failed: "failed",
  cancelled: "cancelled",
};

const FLAGS = {
  "two-readings": "the box may mean two things",
  "low-score": "low confidence",
  "area-jump": "sudden change of area",
  empty: "empty",
};

export class ObjectList {
  /**
   * @param {import("./state.js").History} history
   * @param {{select: (id: number) => void, rename: (id: number, name: string) => void, show: (id: number) => void,
   *   remove: (id: number) => void, range: (id: number, range: [number, number] | null) => void,
   *   jump: (item: Item, index: number) => void, again: (id: number) => void, other: (id: number) => void,
   *   slices: (axis: number) => number}} commands
   */
  constructor(history, commands) {
    this._history = history;
    this._commands = commands;
    this._list = byId("objects");
    this._details = byId("details");
  }

  draw() {
    const { items, selected } = this._history.now;
    // What is being typed must not be taken away.
    if (this._list.contains(document.activeElement) && document.activeElement?.tagName === "INPUT") return;
    byId("no-objects").hidden = items.length > 0;
    const focused = this._list.contains(document.activeElement);
    this._list.replaceChildren(...items.map((item) => this._row(item, item.id === selected)));
    if (focused) this._list.querySelector('[aria-current="true"] .pick')?.focus();
    const item = this._history.selected;
    this._details.hidden = !item;
    if (item && !this._details.contains(document.activeElement)) this._details.replaceChildren(...this._facts(item));
    else if (item) this._refresh(item);
  }

  /** @param {Item} item @param {boolean} isSelected */
  _row(item, isSelected) {
    const swatch = el("span", { className: "swatch" });
    swatch.style.backgroundColor = css(item.color);
    const figure = item.facts ? volumeOf(item.facts) : STATUS[item.status];
    return el(
      "li",
      { className: "object", "aria-current": String(isSelected) },
      el(
        "button",
        { className: "pick", title: "Select; F2 renames", onclick: () => this._commands.select(item.id), ondblclick: (event) => this._rename(event.currentTarget, item), onkeydown: (event) => event.key === "F2" && this._rename(event.currentTarget, item) },
        swatch,
        el("span", { className: "name" }, item.name),
        el("span", { className: item.status === "failed" ? "figure bad" : "figure" }, figure),
      ),
      el("button", { className: "small", title: item.visible ? "Hide" : "Show", "aria-label": `${item.visible ? "Hide" : "Show"} ${item.name}`, onclick: () => this._commands.show(item.id) }, item.visible ? "◉" : "○"),
      el("button", { className: "small", title: "Delete", "aria-label": `Delete ${item.name}`, onclick: () => this._commands.remove(item.id) }, "✕"),
    );
  }

  /** @param {HTMLElement} button @param {Item} item */
  _rename(button, item) {
    const input = el("input", { className: "rename", value: item.name, maxLength: 80, "aria-label": "Name" });
    const done = (/** @type {boolean} */ keep) => {
      if (!input.isConnected) return;
      const name = input.value.trim();
      input.replaceWith(button);
      if (keep && name) this._commands.rename(item.id, name);
      else this.draw();
    };
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") done(true);
      if (event.key === "Escape") done(false);
    });
    input.addEventListener("blur", () => done(true));
    button.replaceWith(input);
    input.select();
  }

  /** @param {Item} item @returns {Node[]} */
  _facts(item) {
    return [...this._figures(item), this._range(item), this._buttons(item)];
  }

  /** Only what no one is working with. @param {Item} item */
  _refresh(item) {
    this._details.querySelector(".figures")?.replaceWith(this._figures(item)[0]);
  }

  /** @param {Item} item */
  _figures(item) {
    const rows = el("div", { className: "figures" });
    const { facts } = item;
    if (item.problem) rows.append(el("p", { className: "bad" }, item.problem));
    if (facts) {
      const { longest, perpendicular } = facts.recist ?? {};
      rows.append(fact("Volume", volumeOf(facts)));
      if (longest) rows.append(fact("Diameters", diametersOf(longest, perpendicular)));
      rows.append(fact("Confidence", `${facts.assessment} (${facts.confidence.toFixed(2)})`));
      rows.append(fact("Window", facts.window));
      const slices = facts.flagged_slices;
      if (slices.length) {
        const more = slices.length - MOST_JUMPS;
        const links = slices.slice(0, MOST_JUMPS).map((index) =>
          el("button", { className: "jump", title: flagsOf(facts, index), onclick: () => this._commands.jump(item, index) }, String(index + 1)),
        );
        rows.append(fact("Look at", el("span", { className: "jumps" }, ...links, more > 0 ? `and ${more} more (J)` : "")));
      }
    }
    return [rows];
  }

  /** Two handles on one line: the first and the last slice. @param {Item} item */
  _range(item) {
    const axis = AXES[item.axis];
    const last = this._commands.slices(axis) - 1;
    if (last < 1) return el("span");
    const found = item.mask ? extent(item.mask, axis) : [0, last];
    const [from, to] = item.range ?? found;
    const text = el("span", { className: "figure" });
    const handles = [from, to].map((value, n) =>
      el("input", { type: "range", min: "0", max: String(last), value: String(value), "aria-label": n ? "Last slice" : "First slice" }),
    );
    const read = () => /** @type {[number, number]} */ (handles.map((handle) => Number(handle.value)));
    const say = () => {
      const [a, b] = read();
      text.textContent = item.range || a !== from || b !== to ? `${Math.min(a, b) + 1} to ${Math.max(a, b) + 1}` : `${from + 1} to ${to + 1}, by itself`;
    };
    for (const handle of handles) {
      handle.addEventListener("input", () => {
        say();
        this._commands.jump(item, Number(handle.value));
      });
      handle.addEventListener("change", () => {
        const [a, b] = read();
        this._commands.range(item.id, [Math.min(a, b), Math.max(a, b)]);
      });
    }
    say();
    const free = el("button", { className: "plain", hidden: !item.range, title: "Let it end by itself", onclick: () => this._commands.range(item.id, null) }, "by itself");
    return el("div", { className: "range" }, el("div", { className: "fact" }, el("span", {}, "Slices"), text, free), el("div", { className: "handles" }, ...handles));
  }

  /** @param {Item} item */
  _buttons(item) {
    return el(
      "div",
      { className: "buttons" },
      el("button", { title: "The other thing that the box may mean (T)", onclick: () => this._commands.other(item.id) }, item.reading === 2 ? "First reading" : "Other reading"),
      el("button", { title: "Segment it once more (P)", onclick: () => this._commands.again(item.id) }, "Run again"),
    );
  }
}

/** @param {string} name @param {Node | string} value */
function fact(name, value) {
  return el("div", { className: "fact" }, el("span", {}, name), el("span", { className: "figure" }, value));
}

/** @param {any} facts */
export function volumeOf(facts) {
  if (facts.volume_ml === null) return `${facts.voxels} voxels`;
  return `${facts.volume_ml >= 100 ? facts.volume_ml.toFixed(0) : facts.volume_ml.toPrecision(3)} mL`;
}

function diametersOf(longest, perpendicular) {
  const short = (one) => one.millimetres.toFixed(1);
  return perpendicular ? `${short(longest)} × ${short(perpendicular)} mm` : `${short(longest)} mm`;
}

function flagsOf(facts, index) {
  return (facts.slices[index]?.flags ?? []).map((flag) => FLAGS[flag] ?? flag).join(", ");
}
