import type { Gap } from "./events.js";
import { rangeOf, type Range } from "./seqs.js";
import type { WireEvent } from "./wire.js";

type Queued = WireEvent | { readonly kind: "rejected" };

/**
 * A queue that holds at most so many events and loses none silently: when it is full the oldest makes
 * room, and a gap of reason `backlog` over all that a stream lost comes out before the stream's next
 * event, or when nothing else waits. Events that belong to no stream are never lost.
 */
export class Backlog<E extends Queued> {
  // A ring would have to grow as well; an array with a moving head is emptied as often as it is full.
  private events: E[] = [];
  private head = 0;
  private kept: E[] = []; // belong to no stream, and stood before the head
  private readonly lost = new Map<string, Range>(); // by channel and symbol

  /** `max` is the number of events, at least 1. */
  constructor(private readonly max: number) {}

  get empty(): boolean {
    return this.events.length === this.head && this.kept.length === 0 && this.lost.size === 0;
  }

  push(event: E): void {
    if (this.events.length - this.head >= this.max) this.lose(this.take());
    this.events.push(event);
  }

  /** Returns what comes next, or undefined if nothing waits. */
  shift(): E | Gap | undefined {
    const kept = this.kept.shift();
    if (kept) return kept;
    const next = this.events[this.head];
    if (next === undefined) {
      for (const [key, range] of this.lost) return this.gap(key, range);
      return undefined;
    }
    if (this.lost.size > 0) {
      const range = rangeOf(next);
      const key = range && keyOf(range);
      const before = key && this.lost.get(key);
      if (before) return this.gap(key, before);
    }
    this.take();
    return next;
  }

  private take(): E {
    const event = this.events[this.head++]!;
    if (this.head >= 1024 && this.head * 2 >= this.events.length) {
      this.events = this.events.slice(this.head);
      this.head = 0;
    }
    return event;
  }

  private lose(event: E): void {
    const range = rangeOf(event);
    if (!range) {
      this.kept.push(event);
    } else if (range.from <= range.to) {
      const key = keyOf(range);
      this.lost.set(key, { ...range, from: this.lost.get(key)?.from ?? range.from });
    }
  }

  private gap(key: string, { channel, symbol, from, to }: Range): Gap {
    this.lost.delete(key);
    return { kind: "gap", channel, symbol, from, to, reason: "backlog" };
  }
}

function keyOf(range: Range): string {
  return `${range.channel} ${range.symbol}`;
}
