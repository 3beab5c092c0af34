/**
 * One view's part of the page: an element over the canvas that takes the pointer, and on which the rectangle, the
 * object's boxes and its clicks are drawn, as elements of its own.
 */

/**
 * @typedef {import("./affine.js").Vec3} Vec3
 * @typedef {import("./niivue_views.js").View} View
 * @typedef {object} PaneEvents
 * @property {(view: View, from: Vec3, to: Vec3, same: boolean) => void} box dragged from one voxel to another
 * @property {(view: View, voxel: Vec3, sign: -1 | 0 | 1) => void} click 1: part of the object; -1: not; 0: neither
 * @property {(view: View, steps: number) => void} scroll
 * @property {(dx: number, dy: number) => void} brighten dragged with the right button, in pixels
 * @property {(view: View, voxel: Vec3 | null) => void} hover
 * @property {() => void} zoomed
 */

const SMALLEST_DRAG = 4;

const TITLES = { axial: "Axial", coronal: "Coronal", sagittal: "Sagittal" };

/** The patient's sides at the left, right, top and bottom of each view, in the radiological convention. */
const SIDES = { axial: "RLAP", coronal: "RLSI", sagittal: "PASI" };

export class Pane {
  /**
   * @param {View} view
   * @param {HTMLElement} parent lies exactly over the canvas
   * @param {import("./niivue_views.js").SliceViews} views
   * @param {PaneEvents} events
   */
  constructor(view, parent, views, events) {
    this.view = view;
    this._views = views;
    this._events = events;
    /** What a click without a modifier says. @type {-1 | 0 | 1} */
    this.clickSign = 0;
    this.element = document.createElement("div");
    this.element.className = "pane";
    this.element.id = `pane-${view}`;
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "application");
    this.element.setAttribute("aria-label", `${TITLES[view]} slices. Press ? for the keys.`);
    this.caption = child(this.element, "span", "caption");
    this._letters = ["left", "right", "top", "bottom"].map((side) => child(this.element, "span", `letter ${side}`));
    this._lines = [child(this.element, "div", "line"), child(this.element, "div", "line")];
    this._marks = child(this.element, "div", "marks");
    this._rubber = child(this.element, "div", "rubber");
    this._rubber.hidden = true;
    parent.append(this.element);
    this._listen();
  }

  /** Lie where the view is, or nowhere. */
  layOut() {
    const isShown = this._views.isOpen && this._views.shown.includes(this.view);
    this.element.hidden = !isShown;
    if (!isShown) return;
    const { left, top, width, height } = this._views.place(this.view);
    setRect(this.element, { left, top, width, height });
    this._place = { left, top };
  }

  /**
   * Draw the boxes and clicks of an object that lie on the slice.
   * @param {object[]} prompts
   * @param {ArrayLike<number>} position the voxel where the views cross
   * @param {string} color
   */
  mark(prompts, position, color) {
    this._marks.replaceChildren();
    const axis = this._views.axisOf(this.view);
    const index = position[axis];
    for (const prompt of prompts) {
      if (prompt.type === "box") {
        if (prompt.lower[axis] > index || prompt.upper[axis] < index) continue;
        const box = child(this._marks, "div", "box");
        setRect(box, this._local(this._views.rectOf(this.view, prompt.lower, prompt.upper)));
        box.style.borderColor = color;
      } else if (prompt.position[axis] === index) {
        const { x, y } = this._views.pointOf(this.view, prompt.position);
        const dot = child(this._marks, "div", prompt.positive ? "dot plus" : "dot minus");
        setRect(dot, this._local({ left: x - 8, top: y - 8, width: 16, height: 16 }));
        dot.textContent = prompt.positive ? "+" : "−";
      }
    }
  }

  /** Name the patient's sides, or none of a picture that is of no patient. @param {boolean} hasPatient */
  name(hasPatient) {
    this._letters.forEach((letter, n) => (letter.textContent = hasPatient ? SIDES[this.view][n] : ""));
  }

  /** Draw the crosshair through a voxel. @param {ArrayLike<number>} position */
  cross(position) {
    const { x, y } = this._views.pointOf(this.view, position);
    const { left, top } = this._local({ left: x, top: y, width: 0, height: 0 });
    const { clientWidth: width, clientHeight: height } = this.element;
    setRect(this._lines[0], { left: 0, top: Math.round(top), width, height: 1 });
    setRect(this._lines[1], { left: Math.round(left), top: 0, width: 1, height });
  }

  /** Show a box that is being drawn, by keys or the pointer. @param {Vec3 | null} from @param {Vec3} [to] */
  stretch(from, to) {
    this._rubber.hidden = from === null;
    if (from && to) setRect(this._rubber, this._local(this._views.rectOf(this.view, from, to)));
  }

  _local(rect) {
    return { ...rect, left: rect.left - this._place.left, top: rect.top - this._place.top };
  }

  _listen() {
    const { element } = this;
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("pointerdown", (event) => this._press(event));
    element.addEventListener("pointermove", (event) => this._move(event));
    element.addEventListener("pointerup", (event) => this._release(event));
    element.addEventListener("pointercancel", () => this._end());
    element.addEventListener("pointerleave", () => this._events.hover(this.view, null));
    element.addEventListener("wheel", (event) => this._wheel(event), { passive: false });
    element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this._drag) {
        this._end();
        event.stopPropagation();
      }
    });
  }

  /** @param {PointerEvent | WheelEvent} event @returns {[number, number]} pixels from the canvas's corner */
  _at(event) {
    const box = /** @type {HTMLElement} */ (this.element.parentElement).getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** @param {PointerEvent} event */
  _press(event) {
    this.element.focus({ preventScroll: true });
    if (this._drag) return;
    const [x, y] = this._at(event);
    const kind = event.button === 2 ? "window" : event.button === 1 || event.shiftKey && event.ctrlKey ? "pan" : "box";
    if (kind === "box" && !this._views.isOnImage(this.view, x, y)) return;
    event.preventDefault();
    this.element.setPointerCapture(event.pointerId);
    const from = this._views.voxelAt(this.view, x, y);
    this._drag = { kind, x, y, startX: x, startY: y, from, isBox: false };
  }

  /** @param {PointerEvent} event */
  _move(event) {
    const [x, y] = this._at(event);
    const drag = this._drag;
    if (!drag) {
      const voxel = this._views.isOnImage(this.view, x, y) ? this._views.voxelAt(this.view, x, y) : null;
      this._events.hover(this.view, voxel);
      return;
    }
    if (drag.kind === "window") this._events.brighten(x - drag.x, y - drag.y);
    if (drag.kind === "pan") {
      this._views.pan(this.view, x - drag.x, y - drag.y);
      this._events.zoomed();
    }
    if (drag.kind === "box") {
      drag.isBox ||= Math.hypot(x - drag.startX, y - drag.startY) >= SMALLEST_DRAG;
      if (drag.isBox) this.stretch(drag.from, this._views.voxelAt(this.view, x, y));
    }
    [drag.x, drag.y] = [x, y];
  }

  /** @param {PointerEvent} event */
  _release(event) {
    const drag = this._drag;
    this._end();
    if (drag?.kind !== "box") return;
    if (drag.isBox) {
      const to = this._views.voxelAt(this.view, ...this._at(event));
      this._events.box(this.view, drag.from, to, event.ctrlKey || event.metaKey);
    } else {
      const sign = event.shiftKey ? 1 : event.altKey ? -1 : this.clickSign;
      this._events.click(this.view, drag.from, sign);
    }
  }

  _end() {
    this._drag = null;
    this.stretch(null);
  }

  /** @param {WheelEvent} event */
  _wheel(event) {
    event.preventDefault();
    if (event.ctrlKey || event.metaKey) {
      this._views.zoom(this.view, ...this._at(event), event.deltaY < 0 ? 1.15 : 1 / 1.15);
      this._events.zoomed();
    } else if (event.deltaY) this._events.scroll(this.view, event.deltaY < 0 ? 1 : -1);
  }
}

/** @param {HTMLElement} parent @param {string} tag @param {string} className */
function child(parent, tag, className) {
  const made = document.createElement(tag);
  made.className = className;
  parent.append(made);
  return made;
}

/** @param {HTMLElement} element @param {import("./niivue_views.js").Rect} rect */
function setRect(element, { left, top, width, height }) {
  Object.assign(element.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
}
