/**
 * NiiVue behind one file: the slices of the image with the masks on them, and their surfaces in 3D.
 *
 * Outside of this file places are voxels i, j, k of the image and pixels of the page. Between them and NiiVue's own grid
 * lie millimetres, by the affine of each: how NiiVue turns and flips an image inside need not be known.
 */

import { Niivue, NVImage, NVMesh } from "@niivue/niivue";
import { apply, asGridTurn, compose, inverse, sampled } from "./affine.js";
import { thinned } from "./nifti.js";

/**
 * @typedef {import("./affine.js").Vec3} Vec3
 * @typedef {import("./masks.js").Mask} Mask
 * @typedef {"axial" | "coronal" | "sagittal"} View
 * @typedef {{left: number, top: number, width: number, height: number}} Rect
 * @typedef {{color: [number, number, number], masks: Mask[], strong: boolean}} Layer what is painted in one colour
 */

/** @type {Record<View, {type: number, across: number, plane: [number, number]}>} axes of NiiVue's RAS grid */
const VIEWS = {
  axial: { type: 0, across: 2, plane: [0, 1] },
  coronal: { type: 1, across: 1, plane: [0, 2] },
  sagittal: { type: 2, across: 0, plane: [1, 2] },
};

export const VIEW_NAMES = /** @type {View[]} */ (Object.keys(VIEWS));

/** Left, top, width and height of each view's part of the canvas, when all are shown; the fourth part is for 3D. */
/** @type {Record<View, [number, number, number, number]>} */
const QUARTERS = { axial: [0, 0, 0.5, 0.5], sagittal: [0.5, 0, 0.5, 0.5], coronal: [0, 0.5, 0.5, 0.5] };

/** @type {[number, number, number, number]} */
const WHOLE = [0, 0, 1, 1];

/** @type {Partial<import("@niivue/niivue").NVConfigOptions>} */
const QUIET = {
  dragAndDropEnabled: false,
  clipPlaneHotKey: "",
  cycleClipPlaneHotKey: "",
  viewModeHotKey: "",
  logLevel: "error",
  loadingText: "",
  isAntiAlias: true,
};

export class SliceViews {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this._canvas = canvas;
    this._nv = new Niivue({
      ...QUIET,
      interactive: false,
      isRadiologicalConvention: true,
      // Its own letters are lost on bright ground, and its crosshair is as thick as a voxel: the panes draw both.
      isOrientationTextVisible: false,
      crosshairWidth: 0,
      multiplanarShowRender: 0,
    });
    /** @type {View[]} */
    this.shown = VIEW_NAMES;
    this._volume = null;
    this._pending = false;
  }

  attach() {
    if (!document.createElement("canvas").getContext("webgl2")) {
      const cure = "Turn on hardware acceleration in its settings, or use another browser.";
      throw Object.assign(new Error("This browser cannot draw with WebGL 2."), { cure });
    }
    return this._nv.attachToCanvas(this._canvas, true);
  }

  get isOpen() {
    return this._volume !== null;
  }

  /**
   * Show an image at its middle.
   * @param {ArrayBuffer} nifti unpacked
   * @param {{shape_zyx: number[], ijk_to_lps: number[][]}} facts
   */
  async show(nifti, facts) {
    this.close();
    const { nifti: fitting, step } = thinned(nifti, this._nv.uiData.max3D);
    const volume = await NVImage.loadFromUrl({ url: fitting, name: "image.nii" });
    this._nv.addVolume(volume);
    this._size = /** @type {Vec3} */ ([...facts.shape_zyx].reverse());
    this._dims = /** @type {Vec3} */ (volume.dimsRAS.slice(1, 4));
    /** How many of the image's voxels are one of NiiVue's, along its axes. */
    this._step = /** @type {Vec3} */ (volume.permRAS.map((axis) => step[Math.abs(axis) - 1]));
    /** The grid in NiiVue's order of axes, with voxels as small as the image's. */
    this._ras = /** @type {Vec3} */ (this._dims.map((n, axis) => n * this._step[axis]));
    const ijkToRas = facts.ijk_to_lps.slice(0, 3).map((row, r) => (r < 2 ? row.map((value) => -value) : row));
    const rasToMm = sampled((p) => this._nv.frac2mm(this._fraction(p), 0, true));
    const turn = asGridTurn(compose(inverse(ijkToRas), rasToMm), 0.25, this._ras);
    if (turn === null) {
      this.close();
      throw new Error("The page and the server place the image differently.");
    }
    this._toIjk = turn;
    this._toRas = inverse(turn).map((row) => row.map(Math.round));
    this._volume = volume;
    const flat = VIEW_NAMES.filter((view) => this._ras[VIEWS[view].across] === 1);
    /** Of a single slice the other two views are lines. @type {View[]} */
    this.views = flat.length ? flat.slice(0, 1) : VIEW_NAMES;
    this._nv.createEmptyDrawing();
    this._nv.drawRimOpacity = 1;
    this.arrange("all");
    this.resetZoom();
    this.moveTo(/** @type {Vec3} */ (this._size.map((n) => Math.floor(n / 2))));
  }

  close() {
    this._volume = null;
    if (this._nv.volumes.length) {
      this._nv.closeDrawing();
      for (const volume of [...this._nv.volumes]) this._nv.removeVolume(volume);
    }
  }

  /** Show all views or one. @param {"all" | View} which */
  arrange(which) {
    this.shown = which === "all" ? this.views : this.views.includes(which) ? [which] : this.views;
    const alone = this.shown.length === 1;
    this._nv.setCustomLayout(
      this.shown.map((view) => ({ sliceType: VIEWS[view].type, position: alone ? WHOLE : QUARTERS[view] })),
    );
  }

  /** The part of the canvas that a view has, in pixels of the page. @param {View} view @returns {Rect} */
  place(view) {
    const [left, top, width, height] = this.shown.length === 1 ? WHOLE : QUARTERS[view];
    const { clientWidth: w, clientHeight: h } = this._canvas;
    return { left: left * w, top: top * h, width: width * w, height: height * h };
  }

  /** The axis that a view's slices lie across: 0 to 2 for i, j, k. @param {View} view */
  axisOf(view) {
    return this._toIjk.findIndex((row) => row[VIEWS[view].across] !== 0);
  }

  /** The view whose slices lie across an axis. @param {number} axis @returns {View} */
  viewAcross(axis) {
    return /** @type {View} */ (VIEW_NAMES.find((view) => this.axisOf(view) === axis));
  }

  /** Voxels along i, j, k. @returns {Vec3} */
  get size() {
    return this._size;
  }

  /** The voxel where the views cross. @returns {Vec3} */
  get position() {
    const ras = this._ras.map((n, axis) => Math.floor(this._nv.scene.crosshairPos[axis] * n));
    return this._inside(apply(this._toIjk, ras));
  }

  /** @param {ArrayLike<number>} ijk */
  moveTo(ijk) {
    const fraction = this._fraction(apply(this._toRas, this._inside(ijk)));
    fraction.forEach((value, axis) => (this._nv.scene.crosshairPos[axis] = value));
    this.redraw();
  }

  /**
   * The voxel under a pixel of the page, on the view's slice; a pixel outside of the image counts as the nearest one.
   * @param {View} view
   * @param {number} x from the canvas's left
   * @param {number} y from its top
   * @returns {Vec3}
   */
  voxelAt(view, x, y) {
    const { mm } = this._millimetresAt(view, x, y);
    const fraction = [...this._nv.scene.crosshairPos];
    const found = this._nv.mm2frac(mm);
    for (const axis of VIEWS[view].plane) fraction[axis] = found[axis];
    const ras = fraction.map((value, axis) => Math.min(Math.max(Math.floor(value * this._ras[axis]), 0), this._ras[axis] - 1));
    return this._inside(apply(this._toIjk, ras));
  }

  /** The way of a view's slices along their axis: 1 where the next one up, to the front or the left side has a higher index. @param {View} view */
  upOf(view) {
    return this._toIjk[this.axisOf(view)][VIEWS[view].across];
  }

  /**
   * The voxel beside one, in the view's directions.
   * @param {View} view
   * @param {ArrayLike<number>} ijk
   * @param {number} dx to the right
   * @param {number} dy downwards
   * @returns {Vec3}
   */
  stepped(view, ijk, dx, dy) {
    const ras = apply(this._toRas, ijk);
    const [across, up] = VIEWS[view].plane;
    // Radiological: in axial and coronal views the patient's right is on the left; sagittal ones look to the right.
    ras[across] += (this._isMirrored(view) ? -1 : 1) * dx;
    ras[up] -= dy;
    const size = this._ras;
    return this._inside(apply(this._toIjk, ras.map((value, axis) => Math.min(Math.max(value, 0), size[axis] - 1))));
  }

  /** @param {View} view */
  _isMirrored(view) {
    return this._tile(view).fovMM[0] < 0;
  }

  /** Whether a pixel of the page lies on the image. @param {View} view @param {number} x @param {number} y */
  isOnImage(view, x, y) {
    const { mm } = this._millimetresAt(view, x, y);
    const found = this._nv.mm2frac(mm);
    return VIEWS[view].plane.every((axis) => found[axis] >= 0 && found[axis] <= 1);
  }

  /**
   * The pixels of the page that a box of voxels takes in a view.
   * @param {View} view
   * @param {ArrayLike<number>} lower
   * @param {ArrayLike<number>} upper both corners are part of it
   * @returns {Rect}
   */
  rectOf(view, lower, upper) {
    const ends = [apply(this._toRas, lower), apply(this._toRas, upper)];
    const [a, b] = [0, 1].map((end) =>
      this._pixelOf(
        view,
        this._ras.map((n, axis) => {
          const [first, second] = [ends[0][axis], ends[1][axis]];
          return (end ? Math.max(first, second) + 1 : Math.min(first, second)) / n;
        }),
      ),
    );
    return {
      left: Math.min(a[0], b[0]),
      top: Math.min(a[1], b[1]),
      width: Math.abs(a[0] - b[0]),
      height: Math.abs(a[1] - b[1]),
    };
  }

  /** The middle of a voxel in pixels of the page. @param {View} view @param {ArrayLike<number>} ijk */
  pointOf(view, ijk) {
    const [x, y] = this._pixelOf(view, this._fraction(apply(this._toRas, ijk)));
    return { x, y };
  }

  /** What the image says at a voxel. @param {ArrayLike<number>} ijk @returns {number} */
  valueAt(ijk) {
    const [x, y, z] = apply(this._toRas, ijk).map((value, axis) => Math.floor(value / this._step[axis]));
    return this._volume.getValue(x, y, z);
  }

  /** Lowest and highest value that are told apart. @returns {[number, number]} */
  get window() {
    return [this._volume.cal_min, this._volume.cal_max];
  }

  /** @param {[number, number]} range */
  set window([lowest, highest]) {
    this._volume.cal_min = lowest;
    this._volume.cal_max = Math.max(highest, lowest + 1e-6);
    this._nv.updateGLVolume();
  }

  /** The window that holds nearly all values. @returns {[number, number]} */
  get wholeRange() {
    return [this._volume.robust_min, this._volume.robust_max];
  }

  /** Enlarge about a pixel of the page. @param {View} view @param {number} x @param {number} y @param {number} factor */
  zoom(view, x, y, factor) {
    const { mm } = this._millimetresAt(view, x, y);
    const pan = this._nv.scene.pan2Dxyzmm;
    const zoom = Math.min(Math.max(pan[3] * factor, 0.5), 30);
    for (const axis of VIEWS[view].plane) pan[axis] += mm[axis] * (pan[3] - zoom);
    pan[3] = zoom;
    this.redraw();
  }

  /** Move the image by pixels of the page. @param {View} view @param {number} dx @param {number} dy */
  pan(view, dx, dy) {
    const from = this._millimetresAt(view, 0, 0).mm;
    const to = this._millimetresAt(view, dx, dy).mm;
    const pan = this._nv.scene.pan2Dxyzmm;
    for (const axis of VIEWS[view].plane) pan[axis] += (to[axis] - from[axis]) * pan[3];
    this.redraw();
  }

  resetZoom() {
    this._nv.setPan2Dxyzmm([0, 0, 0, 1]);
    this.redraw();
  }

  /** Paint masks over the image; later ones lie over earlier ones. @param {Layer[]} layers */
  paint(layers) {
    const lut = new Uint8ClampedArray(256 * 4);
    layers.slice(0, 255).forEach(({ color, strong }, n) => lut.set([...color, strong ? 255 : 150], 4 * (n + 1)));
    const bitmap = this._nv.drawBitmap;
    bitmap.fill(0);
    // Searched at each refresh for the smooth drawing that is not used here.
    bitmap.some = () => false;
    layers.slice(0, 255).forEach(({ masks }, n) => masks.forEach((mask) => this._stamp(bitmap, mask, n + 1)));
    this._nv.drawLut = { lut, labels: [] };
    this._nv.drawOpacity = 0.4;
    this._nv.refreshDrawing(false);
    this._nv.updateGLVolume();
  }

  /** Draw once before the page is next shown, however often it is asked for. */
  redraw() {
    if (this._pending) return;
    this._pending = true;
    requestAnimationFrame(() => {
      this._pending = false;
      this._nv.drawScene();
    });
  }

  /** Draw now. */
  flush() {
    this._nv.drawScene();
  }

  /** @param {Uint8Array} bitmap @param {Mask} mask @param {number} label */
  _stamp(bitmap, mask, label) {
    const [ni, nj, nk] = mask.size;
    const strides = [1, this._dims[0], this._dims[0] * this._dims[1]];
    // What each step along i, j and k adds to the index, of whole voxels of NiiVue's.
    const [along, down, through] = [ni, nj, nk].map((n, axis) => {
      const ras = this._toRas.findIndex((row) => row[axis] !== 0);
      const sign = this._toRas[ras][axis];
      const first = sign * mask.lower[axis] + this._toRas[ras][3];
      return Array.from({ length: n }, (_, m) => Math.floor((first + sign * m) / this._step[ras]) * strides[ras]);
    });
    for (let k = 0, n = 0; k < nk; k++)
      for (let j = 0; j < nj; j++)
        for (let i = 0; i < ni; i++, n++) if (mask.data[n]) bitmap[through[k] + down[j] + along[i]] = label;
  }

  /** @param {ArrayLike<number>} ras voxels @returns {Vec3} */
  _fraction(ras) {
    return /** @type {Vec3} */ (this._ras.map((n, axis) => (ras[axis] + 0.5) / n));
  }

  /** @param {ArrayLike<number>} ijk @returns {Vec3} */
  _inside(ijk) {
    return /** @type {Vec3} */ (this._size.map((n, axis) => Math.min(Math.max(Math.round(ijk[axis]), 0), n - 1)));
  }

  /** @param {View} view */
  _tile(view) {
    return this._nv.screenSlices.find((tile) => tile.axCorSag === VIEWS[view].type);
  }

  /** Millimetres along NiiVue's own, never oblique axes. @param {View} view @param {number} x @param {number} y */
  _millimetresAt(view, x, y) {
    const { leftTopWidthHeight: [left, top, width, height], leftTopMM, fovMM } = this._tile(view);
    const scale = this._nv.uiData.dpr;
    const across = (x * scale - left) / width;
    const up = 1 - (y * scale - top) / height;
    const mm = [...this._nv.frac2mm([...this._nv.scene.crosshairPos])].slice(0, 3);
    mm[VIEWS[view].plane[0]] = leftTopMM[0] + across * fovMM[0];
    mm[VIEWS[view].plane[1]] = leftTopMM[1] + up * fovMM[1];
    return { mm };
  }

  /** @param {View} view @param {ArrayLike<number>} fraction @returns {[number, number]} */
  _pixelOf(view, fraction) {
    const { leftTopWidthHeight: [left, top, width, height], leftTopMM, fovMM } = this._tile(view);
    const mm = this._nv.frac2mm([...Array.from(fraction)]);
    const [across, up] = VIEWS[view].plane.map((axis, n) => (mm[axis] - leftTopMM[n]) / fovMM[n]);
    const scale = this._nv.uiData.dpr;
    return [(left + across * width) / scale, (top + (1 - up) * height) / scale];
  }
}

export class SurfaceView {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this._canvas = canvas;
    this._nv = new Niivue({ ...QUIET, isOrientCube: true, sliceType: 4, show3Dcrosshair: false });
  }

  async attach() {
    await this._nv.attachToCanvas(this._canvas, true);
    this.turnTo(200, 10);
    // Room for what is long.
    this._nv.setScale(0.8);
  }

  /**
   * Show surfaces in place of those before.
   * @param {{points: Float32Array, triangles: Uint32Array, color: [number, number, number]}[]} surfaces points in RAS mm
   */
  show(surfaces) {
    for (const mesh of [...this._nv.meshes]) this._nv.removeMesh(mesh);
    for (const { points, triangles, color } of surfaces) {
      const rgba = new Uint8Array([...color, 255]);
      this._nv.addMesh(new NVMesh(points, triangles, "", rgba, 1, true, this._nv.gl));
    }
    this._nv.drawScene();
  }

  /** @param {number} azimuth degrees @param {number} elevation */
  turnTo(azimuth, elevation) {
    this._nv.setRenderAzimuthElevation(azimuth, elevation);
  }

  /** @param {number} dx degrees @param {number} dy */
  turnBy(dx, dy) {
    this.turnTo(this._nv.scene.renderAzimuth + dx, this._nv.scene.renderElevation + dy);
  }

  get isEmpty() {
    return this._nv.meshes.length === 0;
  }
}
