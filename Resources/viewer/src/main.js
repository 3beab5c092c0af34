/**
 * The start: the token and the image come behind the # of the address, which is in no request and no log. The page keeps
 * them for its own reloads, and takes them off the address.
 */

import { ServiceApi } from "./api.js";
import { App } from "./app.js";
import { byId } from "./dom.js";

const TOKEN = "medsam-token";
const IMAGE = "medsam-image";

/** @returns {{token: string, image: string}} */
function fromAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  const token = given.get("token");
  if (token) {
    if (token !== sessionStorage.getItem(TOKEN)) sessionStorage.clear();
    sessionStorage.setItem(TOKEN, token);
    for (const name of ["image", "name"]) {
      if (given.has(name)) sessionStorage.setItem(`medsam-${name}`, given.get(name) ?? "");
    }
    history.replaceState(null, "", location.pathname);
  }
  return { token: sessionStorage.getItem(TOKEN) ?? "", image: sessionStorage.getItem(IMAGE) ?? "" };
}

/** Ask for the address that the server printed. @param {string} reason */
function askForToken(reason) {
  const dialog = byId("token-dialog");
  byId("token-reason").textContent = `${reason} Use the address that the server printed when it was started: it has a new token at each start.`;
  dialog.addEventListener("close", () => {
    const typed = byId("token").value.trim();
    const found = /token=([^&\s]+)/.exec(typed);
    location.hash = `token=${found ? found[1] : encodeURIComponent(typed)}`;
    location.reload();
  });
  dialog.showModal();
}

async function start() {
  const { token, image } = fromAddress();
  if (!token) return askForToken("The address has no token.");
  const api = new ServiceApi(token);
  try {
    await api.info();
  } catch (error) {
    if (error.status !== 401) throw error;
    sessionStorage.removeItem(TOKEN);
    return askForToken("The token is wrong, or of a server that has ended.");
  }
  const app = new App(api);
  Object.assign(window, { viewer: app });
  await app.start();
  try {
    if (image) await app.open(image);
  } catch (error) {
    if (error.status !== 404) throw error;
    sessionStorage.removeItem(IMAGE);
    app.say("The image is no longer on the server: open it again.", true);
  } finally {
    app.settled = true;
  }
}

start().catch((error) => {
  const message = byId("message");
  message.textContent = [error.message, error.cure].filter(Boolean).join(" ");
  message.classList.add("bad");
  console.error(error);
});

// A changed address is another server or image.
addEventListener("hashchange", () => location.hash.includes("token=") && location.reload());
