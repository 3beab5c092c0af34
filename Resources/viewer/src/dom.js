/** Elements without markup: the page's policy lets no markup of others through, and so do we. */

/**
 * @param {string} tag
 * @param {Record<string, any>} [properties] of the element; `aria-...`, `role` and `data-...` are attributes, `on...` listen
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (/^(aria-|data-|role$|for$)/.test(name)) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** @param {string} id @returns {any} */
export function byId(id) {
  return document.getElementById(id);
}

/** @param {[number, number, number]} rgb */
export function css([r, g, b]) {
  return `rgb(${r} ${g} ${b})`;
}
