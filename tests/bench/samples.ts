/** Milliseconds of one measured kind. */
export class Samples {
  readonly #values: number[] = [];

  add(ms: number | null): void {
    if (ms !== null) this.#values.push(ms);
  }

  get count(): number {
    return this.#values.length;
  }

  get sum(): number {
    return this.#values.reduce((sum, ms) => sum + ms, 0);
  }

  /** NaN when there is none. */
  percentile(share: number): number {
    const sorted = [...this.#values].sort((a, b) => a - b);
    return sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)] ?? Number.NaN;
  }
}
