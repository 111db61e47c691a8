// PAE as an image.

import type { Pae } from "./structure.js";

/** AlphaFold DB's greens: dark is 0 Å, white the largest error. */
export function green(share: number): [number, number, number] {
  const f = Math.max(0, Math.min(1, share)) ** 0.8;
  return [Math.round(255 * f), Math.round(68 + 187 * f), Math.round(27 + 228 * f)];
}

/** Pixels at most on a side: beyond, a canvas is too large for some machines, and the screen shows no more. */
const MOST = 1024;

/** One pixel a pair, or the mean of a square of pairs where there are too many. */
export function heat(pae: Pae): ImageData {
  const step = Math.ceil(pae.size / MOST);
  const size = Math.ceil(pae.size / step);
  const image = new ImageData(size, size);
  const table = Array.from({ length: 256 }, (_, i) => green(i / 255));
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      let [sum, count] = [0, 0];
      for (let i = row * step; i < Math.min(pae.size, (row + 1) * step); i++) {
        for (let j = column * step; j < Math.min(pae.size, (column + 1) * step); j++) {
          sum += pae.values[i * pae.size + j]!;
          count++;
        }
      }
      const share = Math.min(255, Math.max(0, Math.round((255 * sum) / count / pae.most)));
      image.data.set([...table[share]!, 255], 4 * (row * size + column));
    }
  }
  return image;
}
