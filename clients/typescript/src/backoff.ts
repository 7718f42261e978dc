// How long to wait before the next attempt to connect: exponential with full jitter, so that the
// thousands of clients that a node drops at once do not come back at once.

const baseMs = 500;
const capMs = 30_000;

export class Backoff {
  private attempts = 0;

  /** `random` returns a number from 0 up to 1. */
  constructor(private readonly random: () => number) {}

  /**
   * Returns the wait in ms, its bound doubling with each call. The jitter comes on top of `atLeastMs`,
   * the server's own wish: all that were told the same number would else return together.
   */
  next(atLeastMs = 0): number {
    const bound = Math.min(capMs, baseMs * 2 ** this.attempts);
    this.attempts++;
    return atLeastMs + this.random() * bound;
  }

  reset(): void {
    this.attempts = 0;
  }
}
