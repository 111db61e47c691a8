// What is selected and pointed at: one place that the 3D view, the PAE map and the sequence share.

export interface Span {
  from: number;
  to: number;
}

/** Residues from 1. `scored` is the map's columns, `aligned` its rows. */
export interface Selected {
  scored: Span | null;
  aligned: Span | null;
}

export class Selection {
  private listeners = new Set<() => void>();
  selected: Selected = { scored: null, aligned: null };
  pointed: number | null = null;

  constructor(readonly residues: number) {}

  onChange(listener: () => void): void {
    this.listeners.add(listener);
  }

  select(scored: Span | null, aligned: Span | null): void {
    this.selected = { scored: scored && this.within(scored), aligned: aligned && this.within(aligned) };
    this.tell();
  }

  /** A residue as both row and column. */
  pick(residue: number | null): void {
    const one = residue === null ? null : { from: residue, to: residue };
    this.select(one, one);
  }

  point(residue: number | null): void {
    if (residue === this.pointed) return;
    this.pointed = residue;
    this.tell();
  }

  /** Without what is in both twice. */
  spans(): Span[] {
    const { scored, aligned } = this.selected;
    if (!scored || !aligned) return [scored ?? aligned].filter((span) => span !== null);
    const same = scored.from === aligned.from && scored.to === aligned.to;
    return same ? [scored] : [scored, aligned];
  }

  has(residue: number): boolean {
    return this.spans().some((span) => residue >= span.from && residue <= span.to);
  }

  private within(span: Span): Span {
    const clamp = (at: number) => Math.min(this.residues, Math.max(1, Math.round(at)));
    const [a, b] = [clamp(span.from), clamp(span.to)];
    return { from: Math.min(a, b), to: Math.max(a, b) };
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

export function spanText(span: Span): string {
  return span.from === span.to ? `${span.from}` : `${span.from}–${span.to}`;
}
