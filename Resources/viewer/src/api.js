/**
 * The service's API, with `fetch` alone. The token goes into a header, so it is in no address.
 */

const BASE = "/api/v1";

/** An answer that is no result: the service's own `message`, and in `cure` what to do. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {string} cure
   * @param {number} status of HTTP; 0 where there was no answer
   */
  constructor(message, cure, status) {
    super(message);
    this.cure = cure;
    this.status = status;
  }
}

export class ServiceApi {
  /** @param {string} token */
  constructor(token) {
    this.token = token;
  }

  /** @returns {Promise<any>} what the server can do */
  info() {
    return this.json("GET", "/info");
  }

  /** @param {string} id @returns {Promise<any>} grid, window and notes of an image */
  image(id) {
    return this.json("GET", `/sessions/${id}`);
  }

  /** @param {string} id @returns {Promise<ArrayBuffer>} the voxels, as packed NIfTI */
  voxels(id) {
    return this.bytes(`/sessions/${id}/image.nii.gz`);
  }

  /** @param {string} id @returns {Promise<void>} */
  async deleteImage(id) {
    await this._fetch("DELETE", `/sessions/${id}`);
  }

  /**
   * Segment one object on one slice: what it looks like so far, where that is known, and then the answer.
   * @param {string} image
   * @param {object} body
   * @param {AbortSignal} signal
   * @returns {AsyncGenerator<any>}
   */
  async *previews(image, body, signal) {
    const answer = await this._fetch("POST", `/sessions/${image}/preview`, body, signal, "text/event-stream");
    for await (const { kind, fields } of eventsOf(answer)) {
      if (kind === "failed") throw problem(fields.problem, fields.problem.status);
      yield fields;
      if (kind === "preview") return;
    }
    throw unreachable();
  }

  /** Start a run. @param {string} image @param {object} body */
  run(image, body) {
    return this.json("POST", `/sessions/${image}/runs`, body);
  }

  /** @param {string} run */
  cancel(run) {
    return this.json("POST", `/runs/${run}/cancel`);
  }

  /** @param {string} run @returns {Promise<any>} figures of its objects */
  report(run) {
    return this.json("GET", `/runs/${run}/report`);
  }

  /** @param {string} run @returns {Promise<ArrayBuffer>} its label map, as packed NIfTI */
  labels(run) {
    return this.bytes(`/runs/${run}/result?format=nii.gz`);
  }

  /**
   * The masks of several runs in one file.
   * @param {string} image
   * @param {object} body
   * @returns {Promise<Blob>}
   */
  async segmentation(image, body) {
    return (await this._fetch("POST", `/sessions/${image}/segmentation`, body)).blob();
  }

  /**
   * The events of a run from its first on, to its end.
   * @param {string} run
   * @param {AbortSignal} signal
   * @returns {AsyncGenerator<{kind: string, fields: any}>}
   */
  async *events(run, signal) {
    yield* eventsOf(await this._fetch("GET", `/runs/${run}/events`, undefined, signal));
  }

  /**
   * Send an image. `fetch` does not tell how far an upload is, hence the older interface.
   * @param {Blob} body
   * @param {string} suffix of its name, of which nothing else is sent
   * @param {(share: number) => void} onProgress 0 to 1
   * @returns {Promise<any>} the image
   */
  upload(body, suffix, onProgress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", `${BASE}/sessions?name=image${encodeURIComponent(suffix)}`);
      request.setRequestHeader("Authorization", `Bearer ${this.token}`);
      request.upload.onprogress = (event) => onProgress(event.loaded / event.total);
      request.onerror = () => reject(unreachable());
      request.onload = () => {
        const fields = parsed(request.responseText);
        if (request.status === 201) resolve(fields);
        else reject(problem(fields, request.status));
      };
      request.send(body);
    });
  }

  /** @returns {Promise<any>} */
  async json(method, path, body, signal) {
    return (await this._fetch(method, path, body, signal)).json();
  }

  /** @returns {Promise<ArrayBuffer>} */
  async bytes(path) {
    return (await this._fetch("GET", path)).arrayBuffer();
  }

  /** @returns {Promise<Response>} */
  async _fetch(method, path, body, signal, accept) {
    const headers = { Authorization: `Bearer ${this.token}` };
    if (accept) headers.Accept = accept;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(BASE + path, { method, headers, body: body && JSON.stringify(body), signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw unreachable();
    }
    if (!answer.ok) throw problem(parsed(await answer.text()), answer.status);
    return answer;
  }
}

/**
 * The server-sent events of an answer, as they come.
 * @param {Response} answer
 * @returns {AsyncGenerator<{kind: string, fields: any}>}
 */
async function* eventsOf(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text = (text + value).replaceAll("\r\n", "\n");
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const fields = Object.fromEntries(
        text
          .slice(0, end)
          .split("\n")
          .filter((line) => !line.startsWith(":"))
          .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
      );
      text = text.slice(end + 2);
      if (fields.data) yield { kind: fields.event, fields: JSON.parse(fields.data) };
    }
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

function problem(fields, status) {
  return new ApiError(fields.message ?? `The server answered with ${status}.`, fields.cure ?? "", status);
}

function unreachable() {
  return new ApiError("The server does not answer.", "It may have ended: start `medsam-segment view` again.", 0);
}
