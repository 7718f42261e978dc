import type { Latency } from "./messages";

const samplesMax = 1024;

/** The middle and the worst of the last samples, in ms. */
export class Samples {
  private readonly ring = new Float64Array(samplesMax);
  private count = 0;

  add(ms: number): void {
    this.ring[this.count++ % samplesMax] = ms;
  }

  read(): Latency | undefined {
    const n = Math.min(this.count, samplesMax);
    if (n === 0) return undefined;
    const sorted = this.ring.slice(0, n).sort();
    return { median: sorted[(n - 1) >> 1]!, p99: sorted[Math.floor((n - 1) * 0.99)]! };
  }

  clear(): void {
    this.count = 0;
  }
}
