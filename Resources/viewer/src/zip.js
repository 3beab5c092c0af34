/** Several files as one .zip, unpacked in it: what a DICOM folder is sent as. */

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n >>> 0;
});

/** @param {Uint8Array} bytes */
export function crc32(bytes) {
  let crc = 0xffffffff;
  for (let n = 0; n < bytes.length; n++) crc = TABLE[(crc ^ bytes[n]) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * @param {{name: string, file: Blob}[]} files of less than 4 GB together
 * @returns {Promise<Blob>}
 */
export async function zip(files) {
  /** @type {BlobPart[]} */
  const parts = [];
  const index = [];
  let offset = 0;
  for (const { name, file } of files) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const encoded = new TextEncoder().encode(name);
    // Version 2.0, names in UTF-8, stored, no date.
    const common = [20, 0x0800, 0, 0, 0x21, crc32(bytes), bytes.length, bytes.length, encoded.length, 0];
    const widths = [2, 2, 2, 2, 2, 4, 4, 4, 2, 2];
    const head = numbers([0x04034b50, ...common], [4, ...widths]);
    index.push(numbers([0x02014b50, 20, ...common, 0, 0, 0, 0, offset], [4, 2, ...widths, 2, 2, 2, 4, 4]), encoded);
    parts.push(head, encoded, file);
    offset += head.length + encoded.length + bytes.length;
  }
  const length = index.reduce((sum, part) => sum + part.length, 0);
  const count = files.length;
  const end = numbers([0x06054b50, 0, 0, count, count, length, offset, 0], [4, 2, 2, 2, 2, 4, 4, 2]);
  return new Blob([...parts, ...index, end]);
}

/** Numbers, lowest byte first. @param {number[]} values @param {number[]} widths */
function numbers(values, widths) {
  const bytes = [];
  values.forEach((value, n) => {
    for (let byte = 0; byte < widths[n]; byte++) bytes.push(Math.floor(value / 256 ** byte) % 256);
  });
  return Uint8Array.from(bytes);
}
