/**
 * Build the page that the service serves, MedSAMSegmentLib/service/viewer/, from src/, index.html, viewer.css and icon.svg:
 * one script with NiiVue in it, and everybody's licences.
 *
 * node build.mjs [FOLDER]    into another folder
 */

import { build } from "esbuild";
import { copyFile, mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "..", "MedSAMSegmentLib", "service", "viewer");

/** What NiiVue reads Zarr archives with: nothing here does, and it is a third of the bundle. */
const UNUSED = new Set(["zarrita"]);

const withoutUnused = {
  name: "without-unused",
  setup(build) {
    build.onResolve({ filter: /.*/ }, ({ path }) => (UNUSED.has(path) ? { path, namespace: "unused" } : undefined));
    build.onLoad({ filter: /.*/, namespace: "unused" }, () => ({ contents: "module.exports = {};", loader: "js" }));
  },
};

await mkdir(out, { recursive: true });
const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["src/main.js"],
  outfile: join(out, "viewer.js"),
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  charset: "utf8",
  metafile: true,
  plugins: [withoutUnused],
  banner: { js: "/* Third-party licences: LICENSES.txt */" },
});
for (const name of ["index.html", "viewer.css", "icon.svg"]) await copyFile(join(here, name), join(out, name));
await writeFile(join(out, "LICENSES.txt"), await licences(Object.keys(metafile.inputs)));

/** The licence of each package that is in the bundle. */
async function licences(inputs) {
  const packages = new Set(inputs.map((input) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1]).filter(Boolean));
  const parts = ["The page is under the Apache License 2.0, as the whole project. Its script holds these packages, too.\n"];
  for (const name of [...packages].sort()) {
    const folder = join(here, "node_modules", name);
    const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).find((one) => /^licen[cs]e/i.test(one));
    const text = file ? await readFile(join(folder, file), "utf8") : await readFile(join(here, "licences", `${name.replace("/", "+")}.txt`), "utf8");
    parts.push(`${"=".repeat(100)}\n${name} ${version} (${license})\n\n${text.trim()}\n`);
  }
  return parts.join("\n");
}
