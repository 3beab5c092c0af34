/** The page put together: what the user does on one side, history and server on the other. */

import { byId, css, el } from "./dom.js";
import { described, listen } from "./keys.js";
import { extent, gunzip } from "./masks.js";
import { SliceViews, SurfaceView, VIEW_NAMES } from "./niivue_views.js";
import { ObjectList } from "./object_list.js";
import { asUpload, droppedFiles } from "./opening.js";
import { Pane } from "./pane.js";
import { Segmenter } from "./segmenter.js";
import { History } from "./state.js";
import { surfaceOf } from "./surface.js";
import { PRESETS, inWords, presetOf, rangeOf } from "./windows.js";

/**
 * @typedef {import("./affine.js").Vec3} Vec3
 * @typedef {import("./niivue_views.js").View} View
 * @typedef {import("./state.js").Item} Item
 */

const AXIS_NAMES = /** @type {("i" | "j" | "k")[]} */ (["i", "j", "k"]);
const SUFFIXES = { rtstruct: "rtstruct.dcm" };
const SAVED_OBJECTS = "medsam-objects";

export class App {
  /** @param {import("./api.js").ServiceApi} api */
  constructor(api) {
    this._api = api;
    /** What the server says of the image that is open. @type {any} */
    this.facts = null;
    this.views = new SliceViews(byId("slices"));
    this.surfaces = new SurfaceView(byId("surfaces"));
    this.history = new History(() => this._changed());
    this.segmenter = new Segmenter(api, this.history, {
      window: () => (byId("as-displayed").checked ? inWords(this.views.window) : "auto"),
      progress: (item, done, total, stage) => this._progress(item, done, total, stage),
      problem: (error) => this.complain(error),
    });
    /** Corner of a box that is drawn by keys. @type {Vec3 | null} */
    this._corner = null;
    this._painted = [];
    this._solids = new WeakMap();
    this.panes = VIEW_NAMES.map((view) => new Pane(view, byId("panes"), this.views, this._paneEvents()));
    this.list = new ObjectList(this.history, {
      select: (id) => this.select(id),
      rename: (id, name) => this.history.note(id, 0, { name }),
      show: (id) => this.history.note(id, 0, { visible: !this.history.find(id)?.visible }),
      remove: (id) => this.history.remove(id),
      range: (id, range) => this._revise(id, { range }),
      jump: (item, index) => this._jump(item, index),
      again: (id) => this._revise(id, {}),
      other: (id) => this._other(id),
      slices: (axis) => this.views.size[axis],
    });
    /** The image of the address is open, or there was none. */
    this.settled = false;
    this._ready = true;
  }

  async start() {
    await this.views.attach();
    await this.surfaces.attach();
    this._wire();
    this._layOut();
    this._changed();
  }

  /** Open an image that the server has. @param {string} id */
  async open(id) {
    this.say("The image is fetched…");
    const facts = await this._api.image(id);
    const nifti = await gunzip(await this._api.voxels(id));
    const saved = JSON.parse(sessionStorage.getItem(SAVED_OBJECTS) ?? "null");
    await this._show(facts, nifti);
    if (saved?.image === id && saved.objects.items.length) {
      this.history.restore(saved.objects);
      void this.segmenter.resume(this.history.now.items);
    }
  }

  /** Send files to the server and open what they hold. @param {{name: string, file: File}[]} files */
  async upload(files) {
    if (!files.length) return;
    const before = this.facts?.id;
    try {
      this.say("The files are packed…");
      const { body, suffix } = await asUpload(files);
      const facts = await this._api.upload(body, suffix, (share) =>
        this.say(share < 1 ? `The image is sent: ${Math.round(100 * share)} %` : "The server reads the image…"),
      );
      sessionStorage.setItem("medsam-image", facts.id);
      this.name = files.length === 1 ? files[0].file.name : files[0].name.split("/")[0];
      sessionStorage.setItem("medsam-name", this.name);
      this.segmenter.stop();
      if (before) await this._api.deleteImage(before).catch(() => undefined);
      await this._show(facts, await gunzip(await this._api.voxels(facts.id)));
    } catch (error) {
      this.complain(error);
    }
  }

  /** @param {any} facts @param {ArrayBuffer} nifti */
  async _show(facts, nifti) {
    this.facts = null;
    this.segmenter.stop();
    this.history.clear();
    await this.views.show(nifti, facts);
    this.facts = facts;
    this.segmenter.open(facts.id);
    const hasPatient = !["image", "frames"].includes(facts.kind) && facts.channels === 1;
    for (const pane of this.panes) pane.name(hasPatient);
    byId("drop").hidden = true;
    this.useWindow(facts.channels === 3 ? "image" : presetOf(facts.window));
    byId("image-name").textContent = this.name || sessionStorage.getItem("medsam-name") || "Image";
    byId("image-facts").textContent = describedImage(facts);
    byId("image-facts").title = facts.notes.join("\n");
    this._layOut();
    this._changed();
    this.say(facts.notes[0] ?? "");
    this.panes.find((pane) => !pane.element.hidden)?.element.focus({ preventScroll: true });
  }

  // What the pointer and the keys do

  _paneEvents() {
    return {
      box: (view, from, to, same) => this.drawBox(view, from, to, same),
      click: (view, voxel, sign) => this.click(view, voxel, sign),
      scroll: (view, steps) => this.scroll(view, steps),
      brighten: (dx, dy) => this._brighten(dx, dy),
      hover: (view, voxel) => this._hover(voxel),
      zoomed: () => this._layOut(),
    };
  }

  /**
   * Take a box on a slice for a new object, or for the selected one.
   * @param {View} view @param {Vec3} from @param {Vec3} to @param {boolean} same
   */
  drawBox(view, from, to, same) {
    const lower = from.map((value, axis) => Math.min(value, to[axis]));
    const upper = from.map((value, axis) => Math.max(value, to[axis]));
    const axis = AXIS_NAMES[this.views.axisOf(view)];
    this.views.moveTo(lower.map((value, n) => Math.floor((value + upper[n]) / 2)));
    const prompt = { type: "box", lower, upper };
    const selected = this.history.selected;
    if (same && selected) {
      if (selected.axis !== axis) {
        this.say(`The boxes of ${selected.name} are on other slices: draw it in that view, or begin an object.`, true);
        return;
      }
      this._revise(selected.id, { prompts: [...selected.prompts, prompt] });
    } else this._segment(this.history.add({ prompts: [prompt], axis }));
  }

  /** @param {View} view @param {Vec3} voxel @param {-1 | 0 | 1} sign */
  click(view, voxel, sign) {
    this.views.moveTo(voxel);
    const selected = this.history.selected;
    if (sign && selected) {
      const prompt = { type: "point", position: voxel, positive: sign > 0 };
      this._revise(selected.id, { prompts: [...selected.prompts, prompt] });
    } else if (sign) this.say("Drag a box first: a click corrects the selected object.", true);
    else this._moved();
  }

  /** @param {View} view @param {number} steps */
  scroll(view, steps) {
    const axis = this.views.axisOf(view);
    const position = this.views.position;
    // Up is towards the head, the front and the left side, as NiiVue's axes run.
    position[axis] += steps * this.views.upOf(view);
    this.views.moveTo(position);
    this._moved();
  }

  /** @param {number} id */
  select(id) {
    const item = this.history.find(id);
    this.history.select(id);
    if (item?.mask || item?.preview) this.views.moveTo(middleOf(item));
    this._moved();
  }

  /** @param {Item} item @param {number} index */
  _jump(item, index) {
    const position = this.views.position;
    position[AXIS_NAMES.indexOf(item.axis)] = index;
    this.views.moveTo(position);
    this._moved();
  }

  /** @param {1 | -1} by */
  jumpToFlagged(by) {
    const item = this.history.selected;
    const slices = item?.facts?.flagged_slices ?? [];
    if (!item || !slices.length) return this.say("The selected object has no slices to look at.");
    const here = this.views.position[AXIS_NAMES.indexOf(item.axis)];
    const order = by > 0 ? slices : [...slices].reverse();
    this._jump(item, order.find((index) => (index - here) * by > 0) ?? order[0]);
  }

  /** @param {Item} item */
  _takeBack(item) {
    if (item.prompts.length > 1) this._revise(item.id, { prompts: item.prompts.slice(0, -1) });
    else this.history.remove(item.id);
  }

  /** @param {number} id */
  _other(id) {
    const item = this.history.find(id);
    if (item) this._revise(id, { reading: item.reading === 1 ? 2 : 1 });
  }

  /** @param {number} id @param {Partial<Item>} fields */
  _revise(id, fields) {
    this._segment(this.history.revise(id, fields));
  }

  /** @param {Item} item */
  _segment(item) {
    this.say("");
    this._moved();
    void this.segmenter.segment(item);
  }

  // Windows

  /** @param {string} id of a preset */
  useWindow(id) {
    const preset = PRESETS.find((one) => one.id === id) ?? PRESETS[0];
    this.views.window = rangeOf(preset) ?? this.views.wholeRange;
    byId("window").value = preset.id;
  }

  _nextWindow() {
    const place = PRESETS.findIndex((preset) => preset.id === byId("window").value);
    this.useWindow(PRESETS[(place + 1) % PRESETS.length].id);
  }

  /** @param {number} dx wider @param {number} dy darker */
  _brighten(dx, dy) {
    const [low, high] = this.views.window;
    const width = (high - low) * 1.005 ** dx;
    const level = (low + high) / 2 + (dy * (high - low)) / 400;
    this._wanted = /** @type {[number, number]} */ ([level - width / 2, level + width / 2]);
    byId("window").value = "";
    if (this._brightening) return;
    this._brightening = true;
    requestAnimationFrame(() => {
      this._brightening = false;
      this.views.window = this._wanted;
    });
  }

  // What is shown

  _changed() {
    if (!this._ready) return;
    byId("undo").disabled = !this.history.canUndo;
    byId("redo").disabled = !this.history.canRedo;
    byId("save").disabled = !this.history.now.items.some((item) => item.run && item.mask);
    this.list.draw();
    if (!this.facts) return;
    this._paint();
    this._mark();
    const saved = { image: this.facts.id, objects: this.history.saved() };
    sessionStorage.setItem(SAVED_OBJECTS, JSON.stringify(saved));
  }

  /** Masks on the slices and in 3D, if they are not what is painted already. */
  _paint() {
    const { items, selected } = this.history.now;
    const shown = items.filter((item) => item.visible && (item.mask || item.preview));
    const painted = shown.flatMap((item) => [item.mask, item.preview, item.color, item.id === selected]);
    if (painted.length === this._painted.length && painted.every((value, n) => value === this._painted[n])) return;
    this._painted = painted;
    this.views.paint(
      shown.map((item) => ({
        color: item.color,
        masks: /** @type {any} */ ([item.mask, item.preview].filter(Boolean)),
        strong: item.id === selected,
      })),
    );
    // The surfaces take longer than the slices, which must not wait for them.
    clearTimeout(this._solidLater);
    this._solidLater = setTimeout(() => this._paintSurfaces(shown), 50);
  }

  /** @param {Item[]} shown */
  _paintSurfaces(shown) {
    const affine = this.facts.ijk_to_lps.map((row, r) => (r < 2 ? row.map((value) => -value) : row));
    const solid = shown.filter((item) => item.mask && item.mask.size.every((n) => n > 1));
    for (const item of solid) {
      if (!this._solids.has(item.mask)) this._solids.set(item.mask, surfaceOf(/** @type {any} */ (item.mask), affine));
    }
    byId("solid").hidden = solid.length === 0 || this.views.shown.length === 1;
    if (!byId("solid").hidden)
      this.surfaces.show(solid.map((item) => ({ ...this._solids.get(item.mask), color: item.color })));
  }

  _layOut() {
    for (const pane of this.panes) pane.layOut();
    if (this.facts) {
      byId("solid").hidden = this.surfaces.isEmpty || this.views.shown.length === 1;
      this.views.flush();
      this._moved();
    }
  }

  _moved() {
    if (!this.facts) return;
    const position = this.views.position;
    for (const pane of this.panes) {
      if (pane.element.hidden) continue;
      const axis = this.views.axisOf(pane.view);
      pane.caption.textContent = `${titled(pane.view)} ${position[axis] + 1} / ${this.views.size[axis]}`;
      pane.cross(position);
    }
    this._mark();
    this._hover(position);
  }

  _mark() {
    if (!this.facts) return;
    const item = this.history.selected;
    for (const pane of this.panes)
      if (!pane.element.hidden) pane.mark(item?.prompts ?? [], this.views.position, item ? css(item.color) : "");
  }

  /** @param {Vec3 | null} voxel */
  _hover(voxel) {
    if (!this.facts) return;
    const [i, j, k] = voxel ?? this.views.position;
    const value = this.facts.channels === 3 ? "" : `: ${Number(this.views.valueAt([i, j, k]).toPrecision(6))}`;
    byId("place").textContent = `voxel ${i}, ${j}, ${k}${value}`;
  }

  /** @param {Item | null} item @param {number} done @param {number} total @param {string} stage */
  _progress(item, done, total, stage) {
    byId("progress").hidden = item === null;
    if (!item) return;
    byId("progress-text").textContent = total ? `${item.name}: ${done} of ${total} slices` : `${item.name}: ${stage || "waits"}`;
    const bar = byId("progress-bar");
    if (total) [bar.max, bar.value] = [total, done];
    else bar.removeAttribute("value");
  }

  /** @param {string} text @param {boolean} [bad] */
  say(text, bad = false) {
    byId("message").textContent = text;
    byId("message").classList.toggle("bad", bad);
  }

  /** @param {any} error */
  complain(error) {
    this.say(error.cure ? `${error.message} ${error.cure}` : error.message, true);
  }

  // The page's controls

  _wire() {
    const on = (id, event, run) => byId(id).addEventListener(event, run);
    for (const preset of PRESETS) byId("window").append(el("option", { value: preset.id }, preset.title));
    byId("window").append(el("option", { value: "", hidden: true }, "By hand"));
    on("window", "change", () => this.useWindow(byId("window").value));
    on("open", "click", () => byId("file").click());
    on("drop", "click", () => byId("file").click());
    on("open-folder", "click", () => byId("folder").click());
    for (const id of ["file", "folder"])
      on(id, "change", () => {
        const files = [...byId(id).files].filter((file) => !file.name.startsWith("."));
        void this.upload(files.map((file) => ({ name: file.webkitRelativePath || file.name, file })));
        byId(id).value = "";
      });
    this._wireDrops();
    on("undo", "click", () => this.undo());
    on("redo", "click", () => this.redo());
    on("cancel", "click", () => this.segmenter.cancel());
    on("save", "click", () => this.save());
    on("help", "click", () => this._help());
    for (const button of document.querySelectorAll("[data-sign]"))
      button.addEventListener("click", () => this.useSign(/** @type {any} */ (Number(button.getAttribute("data-sign")))));
    for (const button of document.querySelectorAll("[data-layout]"))
      button.addEventListener("click", () => this.arrange(/** @type {any} */ (button.getAttribute("data-layout"))));
    this.useSign(0);
    this.arrange("all");
    this._keys = this._keyTable();
    listen(this._keys);
    new ResizeObserver(() => requestAnimationFrame(() => this._layOut())).observe(byId("stage"));
  }

  _wireDrops() {
    const stage = byId("stage");
    stage.addEventListener("dragover", (event) => {
      event.preventDefault();
      byId("drop").classList.add("over");
    });
    stage.addEventListener("dragleave", () => byId("drop").classList.remove("over"));
    stage.addEventListener("drop", async (event) => {
      event.preventDefault();
      byId("drop").classList.remove("over");
      await this.upload(await droppedFiles(event.dataTransfer));
    });
  }

  /** @param {-1 | 0 | 1} sign what a click without a modifier means */
  useSign(sign) {
    for (const pane of this.panes) pane.clickSign = sign;
    for (const button of document.querySelectorAll("[data-sign]"))
      button.setAttribute("aria-pressed", String(Number(button.getAttribute("data-sign")) === sign));
  }

  /** @param {"all" | View} which */
  arrange(which) {
    for (const button of document.querySelectorAll("[data-layout]"))
      button.setAttribute("aria-pressed", String(button.getAttribute("data-layout") === which));
    if (!this.facts) return;
    this.views.arrange(which);
    this._layOut();
  }

  undo() {
    this.history.undo();
    this.segmenter.forgetChanged();
  }

  redo() {
    this.history.redo();
    this.segmenter.forgetChanged();
    void this.segmenter.resume(this.history.now.items);
  }

  async save() {
    const items = this.history.now.items.filter((item) => item.run && item.mask);
    if (!items.length) return;
    const format = byId("format").value;
    this.say("The file is written…");
    try {
      const blob = await this._api.segmentation(this.facts.id, {
        format,
        segments: items.map(({ run, name, color }) => ({ run, name, color })),
      });
      const link = el("a", { href: URL.createObjectURL(blob), download: `segmentation.${SUFFIXES[format] ?? format}` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      this.say(`Saved ${items.length === 1 ? "one object" : `${items.length} objects`}.`);
    } catch (error) {
      this.complain(error);
    }
  }

  _help() {
    const dialog = byId("keys");
    const rows = [...MOUSE, ...described(this._keys)].map(([keys, text]) => el("div", {}, el("dt", {}, keys), el("dd", {}, text)));
    const close = el("button", { className: "primary", onclick: () => dialog.close() }, "Close");
    dialog.replaceChildren(el("h2", {}, "Mouse and keys"), el("dl", {}, ...rows), close);
    dialog.showModal();
  }

  // Keys

  /** The view that has the focus, else the first one. */
  get _pane() {
    return this.panes.find((pane) => pane.element === document.activeElement) ?? this.panes.find((pane) => !pane.element.hidden);
  }

  /** @returns {import("./keys.js").Key[]} */
  _keyTable() {
    const step = (dx, dy) => () => this._step(dx, dy);
    const selected = (run) => () => this.history.selected && run(this.history.selected);
    return [
      { key: "ArrowLeft", text: "move the crosshair in the view that has the focus", pane: true, run: step(-1, 0) },
      { key: "ArrowRight", text: "move the crosshair in the view that has the focus", pane: true, run: step(1, 0) },
      { key: "ArrowUp", text: "move the crosshair in the view that has the focus", pane: true, run: step(0, -1) },
      { key: "ArrowDown", text: "move the crosshair in the view that has the focus", pane: true, run: step(0, 1) },
      { key: "PageUp", text: "slice up or down", run: () => this._pane && this.scroll(this._pane.view, 1) },
      { key: "PageDown", text: "slice up or down", run: () => this._pane && this.scroll(this._pane.view, -1) },
      { key: " ", text: "begin a box at the crosshair; again, or Enter: the opposite corner", pane: true, run: () => this._corners(false) },
      { key: "Enter", text: "the opposite corner of the box", pane: true, run: () => this._corner && this._corners(false) },
      { key: "Enter", ctrl: true, text: "the opposite corner, as another box of the selected object", pane: true, run: () => this._corner && this._corners(true) },
      { key: "Escape", text: "forget the box that was begun", run: () => this._forgetCorner() },
      { key: "+", text: "the crosshair is part of the object", run: () => this._clickHere(1) },
      { key: "-", text: "the crosshair is not part of the object", run: () => this._clickHere(-1) },
      { key: "d", text: "draw boxes; clicks move the crosshair", run: () => this.useSign(0) },
      { key: "a", text: "click what belongs to the object", run: () => this.useSign(1) },
      { key: "e", text: "click what does not belong to it", run: () => this.useSign(-1) },
      { key: "u", text: "take the last prompt back", run: selected((item) => this._takeBack(item)) },
      { key: "t", text: "take the other thing that the box may mean", run: selected((item) => this._other(item.id)) },
      { key: "p", text: "segment the object once more", run: selected((item) => this._revise(item.id, {})) },
      { key: "Home", text: "let the range begin, end at this slice", run: selected((item) => this._endHere(item, 0)) },
      { key: "End", text: "let the range begin, end at this slice", run: selected((item) => this._endHere(item, 1)) },
      { key: "x", text: "cancel what is computed", run: () => void this.segmenter.cancel() },
      { key: "j", text: "next, previous slice to look at", run: () => this.jumpToFlagged(1) },
      { key: "j", shift: true, text: "next, previous slice to look at", run: () => this.jumpToFlagged(-1) },
      { key: "n", text: "next, previous object", run: () => this._next(1) },
      { key: "n", shift: true, text: "next, previous object", run: () => this._next(-1) },
      { key: "h", text: "hide or show the object", run: selected((item) => this.history.note(item.id, 0, { visible: !item.visible })) },
      { key: "Delete", text: "delete the object", run: selected((item) => this.history.remove(item.id)) },
      { key: "z", ctrl: true, text: "undo", run: () => this.undo() },
      { key: "y", ctrl: true, text: "redo", run: () => this.redo() },
      { key: "w", text: "next window", run: () => this._nextWindow() },
      { key: "0", text: "all views", run: () => this.arrange("all") },
      { key: "1", text: "axial, coronal, sagittal alone", run: () => this.arrange("axial") },
      { key: "2", text: "axial, coronal, sagittal alone", run: () => this.arrange("coronal") },
      { key: "3", text: "axial, coronal, sagittal alone", run: () => this.arrange("sagittal") },
      { key: "r", text: "zoom back", run: () => this._resetZoom() },
      { key: "o", ctrl: true, text: "open a file", run: () => byId("file").click() },
      { key: "s", ctrl: true, text: "save", run: () => void this.save() },
      { key: "?", text: "this list", run: () => this._help() },
    ];
  }

  /** Move the crosshair by voxels of the screen. @param {number} dx @param {number} dy */
  _step(dx, dy) {
    const pane = this._pane;
    if (!pane) return;
    this.views.moveTo(this.views.stepped(pane.view, this.views.position, dx, dy));
    this._moved();
    if (this._corner) pane.stretch(this._corner, this.views.position);
  }

  /** @param {boolean} same */
  _corners(same) {
    const pane = this._pane;
    if (!pane) return;
    if (!this._corner) {
      this._corner = this.views.position;
      pane.stretch(this._corner, this._corner);
      this.say("Move to the opposite corner with the arrows, then press Enter.");
      return;
    }
    const corner = [...this._corner];
    // The slice may have been changed since.
    corner[this.views.axisOf(pane.view)] = this.views.position[this.views.axisOf(pane.view)];
    const to = this.views.position;
    this._forgetCorner();
    this.drawBox(pane.view, /** @type {Vec3} */ (corner), to, same);
  }

  _forgetCorner() {
    this._corner = null;
    for (const pane of this.panes) pane.stretch(null);
  }

  /** @param {-1 | 1} sign */
  _clickHere(sign) {
    if (this.facts && this._pane) this.click(this._pane.view, this.views.position, sign);
  }

  /** @param {Item} item @param {0 | 1} end */
  _endHere(item, end) {
    const axis = AXIS_NAMES.indexOf(item.axis);
    const range = [...(item.range ?? (item.mask ? extent(item.mask, axis) : [0, this.views.size[axis] - 1]))];
    range[end] = this.views.position[axis];
    this._revise(item.id, { range: /** @type {[number, number]} */ (range.sort((a, b) => a - b)) });
  }

  /** @param {number} by */
  _next(by) {
    const { items, selected } = this.history.now;
    if (!items.length) return;
    const place = items.findIndex((item) => item.id === selected);
    this.select(items[(place + by + items.length) % items.length].id);
  }

  _resetZoom() {
    if (!this.facts) return;
    this.views.resetZoom();
    this._layOut();
  }
}

/** @type {[string, string][]} */
const MOUSE = [
  ["Drag", "a box around the next object"],
  ["Ctrl+drag", "another box of the selected object"],
  ["Shift+click, Alt+click", "part of the object, not part of it"],
  ["Wheel, Ctrl+wheel", "slice, zoom"],
  ["Middle drag", "move the image"],
  ["Right drag", "window: wider to the right, darker downwards"],
];

/** @param {Item} item @returns {Vec3} */
function middleOf(item) {
  const mask = /** @type {any} */ (item.mask ?? item.preview);
  return mask.lower.map((first, axis) => first + Math.floor(mask.size[axis] / 2));
}

/** @param {string} word */
function titled(word) {
  return word[0].toUpperCase() + word.slice(1);
}

/** @param {any} facts */
function describedImage({ shape_zyx, spacing_zyx, spacing_known_zyx, modality, window }) {
  const size = [...shape_zyx].reverse().join(" × ");
  const spacing = spacing_known_zyx.every(Boolean)
    ? `, ${[...spacing_zyx].reverse().map((mm) => Number(mm.toPrecision(3))).join(" × ")} mm`
    : ", voxel size unknown";
  return `${modality ? `${modality}, ` : ""}${size}${spacing}. Model's window: ${window}`;
}
