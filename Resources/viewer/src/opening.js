/** Files that are chosen or dropped, as one body to send: a file as it is, several as a .zip. */

import { zip } from "./zip.js";

const SUFFIX = /(\.nii\.gz|\.seg\.nrrd|\.[a-z0-9]{1,8})$/i;
const PICTURES = /\.(png|jpe?g|tiff?|bmp)$/i;

/**
 * @param {{name: string, file: File}[]} files `name` with the folders that it lies in
 * @returns {Promise<{body: Blob, suffix: string}>}
 */
export async function asUpload(files) {
  if (files.length === 1) {
    const [{ file }] = files;
    // A file without a suffix is most likely DICOM, whose files often have none.
    return { body: file, suffix: (SUFFIX.exec(file.name)?.[1] ?? ".dcm").toLowerCase() };
  }
  // Of names nothing leaves the page but what tells kinds and orders apart.
  const sorted = [...files].sort((a, b) => (a.name < b.name ? -1 : 1));
  const named = sorted.map(({ name, file }, n) => {
    const suffix = SUFFIX.exec(file.name)?.[1] ?? "";
    return { file, name: PICTURES.test(name) ? name : `${String(n).padStart(6, "0")}${suffix}` };
  });
  return { body: await zip(isHeaderWithData(sorted) ? sorted : named), suffix: ".zip" };
}

/** A header names its data file, so neither may be renamed. @param {{name: string}[]} files */
function isHeaderWithData(files) {
  return files.some(({ name }) => /\.(mhd|nhdr|hdr)$/i.test(name));
}

/** What was dropped, with what lies in folders. @param {DataTransfer} transfer @returns {Promise<{name: string, file: File}[]>} */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  return (await Promise.all(entries.map(within))).flat();
}

/** @param {FileSystemEntry} entry @returns {Promise<{name: string, file: File}[]>} */
async function within(entry) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => /** @type {any} */ (entry).file(resolve, reject));
    return [{ name: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = /** @type {any} */ (entry).createReader();
  const found = [];
  for (;;) {
    // A reader gives a hundred at a time.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    found.push(...(await Promise.all(some.map(within))).flat());
  }
}
