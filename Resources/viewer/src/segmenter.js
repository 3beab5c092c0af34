/**
 * The way from prompts to masks: previews at once, runs one after the other.
 *
 * The worker computes one thing at a time. A preview must not wait for a run, so a run that computes is put back into the
 * queue for it; what it has seen of the image is kept on the server.
 */

import { gunzip, maskOfLabels, maskOfSlice } from "./masks.js";

/** @typedef {import("./state.js").Item} Item */

const AXES = { i: 0, j: 1, k: 2 };

export class Segmenter {
  /**
   * @param {import("./api.js").ServiceApi} api
   * @param {import("./state.js").History} history
   * @param {{window: () => string, progress: (item: Item | null, done: number, total: number, stage: string) => void,
   *   problem: (error: Error) => void}} told
   */
  constructor(api, history, told) {
    this._api = api;
    this._history = history;
    this._told = told;
    this._image = "";
    /** @type {{id: number, revision: number}[]} what is to be run, in order */
    this._queue = [];
    /** @type {{id: number, revision: number, run: string, abort: AbortController, isCancelled: boolean} | null} */
    this._current = null;
    /** @type {{abort: AbortController, isWanted: boolean} | null} */
    this._preview = null;
  }

  /** @param {string} image the id of the image that is open */
  open(image) {
    this.stop();
    this._image = image;
  }

  get busy() {
    return this._current !== null || this._queue.length > 0;
  }

  /**
   * Show an object on the slice of its last prompt, then segment it in 3D.
   * @param {Item} item
   */
  async segment(item) {
    this._queue = this._queue.filter((job) => job.id !== item.id);
    this._preview?.abort.abort();
    const preview = (this._preview = { abort: new AbortController(), isWanted: true });
    const { signal } = preview.abort;
    this._history.note(item.id, item.revision, { status: "waiting" });
    try {
      await this._interrupt(item.id);
      signal.throwIfAborted();
      for await (const answer of this._api.previews(this._image, this._previewBody(item), signal))
        this._history.note(item.id, item.revision, { preview: maskOfSlice(answer) });
    } catch (error) {
      if (error.name !== "AbortError") this._fail(item, error);
      // Another object's preview came in between: this one is still to be segmented.
      if (error.name !== "AbortError" || !preview.isWanted) return;
    } finally {
      if (this._preview === preview) this._preview = null;
    }
    this._queue.push({ id: item.id, revision: item.revision });
    void this._next();
  }

  /** Fetch again what runs found, of before a reload or an undo; run again what was not finished. @param {Item[]} items */
  async resume(items) {
    for (const item of items) {
      if (item.status !== "new" && item.status !== "waiting" && item.status !== "running") continue;
      if (item.run) {
        try {
          await this._fetch(item, item.run);
          continue;
        } catch {
          await this._api.cancel(item.run).catch(() => undefined);
        }
      }
      this._queue.push({ id: item.id, revision: item.revision });
    }
    void this._next();
  }

  /** End the run that computes, and forget those that wait. */
  async cancel() {
    this._dropPreview();
    const waiting = this._queue.splice(0);
    for (const { id, revision } of waiting) this._history.note(id, revision, { status: "cancelled" });
    if (this._current) {
      this._current.isCancelled = true;
      await this._end(this._current.run);
    }
    for (const item of this._history.now.items)
      if (item.status === "waiting" && !item.run) this._history.note(item.id, item.revision, { status: "cancelled" });
  }

  /** End a run on the server; one that has no number yet is ended by whoever started it. @param {string} run */
  async _end(run) {
    if (run) await this._api.cancel(run).catch(() => undefined);
  }

  _dropPreview() {
    if (!this._preview) return;
    this._preview.isWanted = false;
    this._preview.abort.abort();
  }

  /** Leave everything as it is: another image comes. */
  stop() {
    this._dropPreview();
    this._queue = [];
    if (this._current) {
      this._current.abort.abort();
      void this._end(this._current.run);
      this._current = null;
    }
  }

  /** End the run of what was undone: its result would be looked at by nobody now. */
  forgetChanged() {
    const current = this._current;
    const item = current && this._history.find(current.id);
    if (!current || item?.revision === current.revision) return;
    this._current = null;
    current.abort.abort();
    void this._end(current.run);
    this._history.note(current.id, current.revision, { status: "waiting", run: null });
    void this._next();
  }

  /** Put the run that computes back into the queue, unless it is one of the object that changes now. */
  async _interrupt(changing) {
    const current = this._current;
    if (!current) return;
    this._current = null;
    current.abort.abort();
    await this._end(current.run);
    if (current.id !== changing) {
      this._queue.unshift({ id: current.id, revision: current.revision });
      this._history.note(current.id, current.revision, { status: "waiting", run: null });
    }
    this._told.progress(null, 0, 0, "");
  }

  async _next() {
    while (!this._current && !this._preview && this._queue.length) {
      const job = this._queue.shift();
      const item = job && this._history.find(job.id);
      // What was undone or changed in the meantime need not be computed.
      if (!item || item.revision !== job.revision || item.status === "done") continue;
      await this._run(item);
    }
    if (!this._current) this._told.progress(null, 0, 0, "");
  }

  /** @param {Item} item */
  async _run(item) {
    const abort = new AbortController();
    const mine = { id: item.id, revision: item.revision, run: "", abort, isCancelled: false };
    this._current = mine;
    try {
      this._told.progress(item, 0, 0, "");
      mine.run = (await this._api.run(this._image, this._runBody(item))).id;
      if (abort.signal.aborted || mine.isCancelled) await this._end(mine.run);
      if (abort.signal.aborted) return;
      this._history.note(item.id, item.revision, { status: "running", run: mine.run });
      for await (const { kind, fields } of this._api.events(mine.run, abort.signal)) {
        if (kind === "progress") this._told.progress(item, fields.done, fields.total, fields.stage);
        else if (kind === "done") await this._fetch(item, mine.run);
        else if (kind === "cancelled") this._history.note(item.id, item.revision, { status: "cancelled" });
        else if (kind === "failed") this._fail(item, Object.assign(new Error(fields.problem.message), fields.problem));
      }
    } catch (error) {
      if (error.name !== "AbortError") this._fail(item, error);
    } finally {
      if (this._current === mine) this._current = null;
    }
  }

  /** @param {Item} item @param {string} run */
  async _fetch(item, run) {
    const [labels, report] = await Promise.all([this._api.labels(run), this._api.report(run)]);
    const mask = maskOfLabels(await gunzip(labels));
    const facts = { ...report.objects[0], seconds: report.seconds, window: report.window };
    this._history.note(item.id, item.revision, { status: "done", run, mask, preview: null, facts, problem: "" });
  }

  /** @param {Item} item @param {any} error */
  _fail(item, error) {
    this._history.note(item.id, item.revision, { status: "failed", problem: error.message });
    this._told.problem(error);
  }

  /** @param {Item} item */
  _previewBody(item) {
    const last = /** @type {any} */ (item.prompts[item.prompts.length - 1]);
    const place = last.position ?? last.lower.map((first, axis) => Math.floor((first + last.upper[axis]) / 2));
    return {
      axis: item.axis,
      index: place[AXES[item.axis]],
      prompts: item.prompts,
      window: this._told.window(),
      reading: item.reading,
    };
  }

  /** @param {Item} item */
  _runBody(item) {
    return {
      objects: [{ name: item.name, prompts: item.prompts }],
      axis: item.axis,
      window: this._told.window(),
      reading: item.reading,
      ...(item.range ? { slice_range: item.range } : { stop: true }),
    };
  }
}
