// Which stream an event belongs to, and which of its seqs the event accounts for.

import type { Channel } from "./events.js";
import type { WireEvent } from "./wire.js";

export interface Range {
  readonly channel: Channel;
  readonly symbol: string;
  /** Both included. An empty range (from above to) is a stream's snapshot without an event. */
  readonly from: number;
  readonly to: number;
}

/** Returns undefined for events that belong to no stream. */
export function rangeOf(event: WireEvent | { readonly kind: "rejected" }): Range | undefined {
  switch (event.kind) {
    case "trade":
    case "quote":
    case "bar":
      return { channel: event.kind, symbol: event.symbol, from: event.seq, to: event.seq };
    case "aggregate":
      return { channel: "trade", symbol: event.symbol, from: event.from, to: event.to };
    case "gap":
      return event;
    case "snapshot": {
      const { channel, symbol, last } = event;
      return { channel, symbol, from: last?.seq ?? 1, to: last?.seq ?? 0 };
    }
    default:
      return undefined;
  }
}
