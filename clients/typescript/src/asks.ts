// How much of a subscription goes into one request: a server refuses more than 64 KiB.

import type { Channel } from "./events.js";
import type { DeliveryOptions } from "./subscription.js";

const requestBytesMax = 48 << 10; // the rest is for what stands around the names
const symbolsMax = 1000; // an ack names no more

/** Channels that one request can ask for together, since they share a policy. */
export function byPolicy(
  channels: readonly Channel[],
  policy: DeliveryOptions["policy"],
): Map<string | undefined, Channel[]> {
  const groups = new Map<string | undefined, Channel[]>();
  for (const channel of channels) {
    const name = policy?.[channel];
    groups.set(name, [...(groups.get(name) ?? []), channel]);
  }
  return groups;
}

/** Splits symbols into requests. `seqs` is how many seqs go along with a symbol. */
export function split(symbols: readonly string[], seqs: (symbol: string) => number): string[][] {
  const parts: string[][] = [];
  let part: string[] = [];
  let bytes = 0;
  for (const symbol of symbols) {
    // At most three bytes a UTF-16 unit, and a length; a seq comes with the name once more.
    const name = symbol.length * 3 + 5;
    const more = name + seqs(symbol) * (name + 9);
    if (part.length > 0 && (bytes + more > requestBytesMax || part.length >= symbolsMax)) {
      parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(symbol);
    bytes += more;
  }
  if (part.length > 0) parts.push(part);
  return parts;
}
