// What can be seen: pixels of canvases, contrast of text, names of controls. Each function runs in the page.

/** Pixels of the 3D view by the nearest of these colours; light changes brightness, not hue. */
export function hues([selector, colours]) {
  const view = document.querySelector(selector);
  const copy = document.createElement("canvas");
  copy.width = view.width;
  copy.height = view.height;
  const context = copy.getContext("2d");
  context.drawImage(view, 0, 0);
  const { data } = context.getImageData(0, 0, copy.width, copy.height);
  const wanted = colours.map((colour) => [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16)));
  const length = (v) => Math.hypot(...v) || 1;
  const counts = colours.map(() => 0);
  for (let i = 0; i < data.length; i += 4) {
    const pixel = [data[i], data[i + 1], data[i + 2]];
    // Greys are the ground and edges.
    if (Math.max(...pixel) - Math.min(...pixel) < 40) continue;
    let [best, at] = [0.99, -1];
    wanted.forEach((v, k) => {
      const cosine = (v[0] * pixel[0] + v[1] * pixel[1] + v[2] * pixel[2]) / length(v) / length(pixel);
      if (cosine > best) [best, at] = [cosine, k];
    });
    if (at >= 0) counts[at]++;
  }
  return counts;
}

/** Places in the 3D view, in pixels of the page from its corner, that are well inside something coloured. */
export function inside(selector) {
  const view = document.querySelector(selector);
  const copy = document.createElement("canvas");
  copy.width = view.width;
  copy.height = view.height;
  const context = copy.getContext("2d");
  context.drawImage(view, 0, 0);
  const { data } = context.getImageData(0, 0, copy.width, copy.height);
  const coloured = (x, y) => {
    const at = 4 * (y * copy.width + x);
    const pixel = [data[at], data[at + 1], data[at + 2]];
    return Math.max(...pixel) - Math.min(...pixel) >= 40;
  };
  const found = [];
  for (let y = 8; y < copy.height - 8; y += 3) for (let x = 8; x < copy.width - 8; x += 3) if ([-3, 0, 3].every((dx) => [-3, 0, 3].every((dy) => coloured(x + dx, y + dy)))) found.push([(x * view.clientWidth) / copy.width, (y * view.clientHeight) / copy.height]);
  return found;
}

/** Text whose contrast with its ground is below WCAG AA. */
export function faint() {
  const parse = (text) => {
    const numbers = text.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
    return text.startsWith("color(") ? [...numbers.slice(0, 3).map((n) => n * 255), numbers[3] ?? 1] : [...numbers.slice(0, 3), numbers[3] ?? 1];
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour[3] > 0.99) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3 && node.data.trim()).map((node) => node.data.trim()).join(" ");
    const box = element.getBoundingClientRect();
    if (!text || !box.width || element.closest("[disabled], option, noscript") || element instanceof SVGElement) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color).slice(0, 3)), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(`${element.tagName} "${text.slice(0, 40)}" ${contrast.toFixed(2)}`);
  }
  return found;
}

/** Controls without a name. */
export function nameless() {
  return [...document.querySelectorAll("input, select, textarea, button, a, canvas[tabindex], progress")]
    .filter((element) => element.offsetParent !== null && !element.getAttribute("aria-label") && !element.labels?.length && !element.textContent.trim())
    .map((element) => element.outerHTML.slice(0, 100));
}
