// The four bands of pLDDT, AlphaFold DB's. The one place that knows their colours.

export interface Band {
  readonly name: string;
  readonly short: string;
  /** From here, inclusive. */
  readonly from: number;
  /** Up to here, exclusive but for the last. */
  readonly to: number;
  readonly colour: string;
  /** Text that can be read on it. */
  readonly ink: string;
}

export const BANDS: readonly Band[] = [
  { name: "Very high", short: "VH", from: 90, to: 100, colour: "#0053D6", ink: "#FFFFFF" },
  { name: "Confident", short: "C", from: 70, to: 90, colour: "#65CBF3", ink: "#000000" },
  { name: "Low", short: "L", from: 50, to: 70, colour: "#FFDB13", ink: "#000000" },
  { name: "Very low", short: "VL", from: 0, to: 50, colour: "#FF7D45", ink: "#000000" },
];

export function bandOf(plddt: number): Band {
  return BANDS.find((band) => plddt >= band.from) ?? BANDS[BANDS.length - 1]!;
}

export function colourOf(plddt: number): string {
  return bandOf(plddt).colour;
}

/** As a number, 0xRRGGBB. */
export function numberOf(colour: string): number {
  return Number.parseInt(colour.slice(1), 16);
}

export function rangeOf(band: Band): string {
  if (band.from === 90) return "≥ 90";
  return band.from === 0 ? "< 50" : `${band.from}–${band.to}`;
}
