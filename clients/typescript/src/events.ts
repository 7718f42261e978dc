// The vocabulary: what a subscriber reads. Prices and sizes are in the instrument's own quoted
// units. Seqs are numbers, exact because they stay below 2^53; times are bigint, because Unix
// nanoseconds do not.

/** The three channels of a symbol. One channel of one symbol is a stream, with seqs of its own. */
export type Channel = "trade" | "quote" | "bar";

/** Who began a trade, as far as the venue tells. */
export type Side = "buy" | "sell" | "unknown";

/** Unix nanoseconds, exact. {@link millis} makes milliseconds of them. */
export type Nanos = bigint;

/** One trade. */
export interface Trade {
  readonly kind: "trade";
  readonly symbol: string;
  /** One more than that of the stream's trade before. */
  readonly seq: number;
  /** The venue's clock. */
  readonly time: Nanos;
  readonly price: number;
  readonly size: number;
  readonly side: Side;
  /** The venue's own name for the trade. */
  readonly id: string;
}

/** The best bid and ask. A price of 0 is a side without one; a size of 0 one that was not told. */
export interface Quote {
  readonly kind: "quote";
  readonly symbol: string;
  readonly seq: number;
  /** The venue's clock. */
  readonly time: Nanos;
  readonly bid: number;
  readonly bidSize: number;
  readonly ask: number;
  readonly askSize: number;
}

/** A bar as it forms, and once more when it is closed. */
export interface Bar {
  readonly kind: "bar";
  readonly symbol: string;
  readonly seq: number;
  /** When it begins. */
  readonly time: Nanos;
  readonly intervalSeconds: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly trades: number;
  readonly closed: boolean;
}

/** Stands for all trades from `from` to `to`, both included: policy `aggregate` sends it in their place. */
export interface Aggregate {
  readonly kind: "aggregate";
  readonly symbol: string;
  readonly from: number;
  readonly to: number;
  readonly firstTime: Nanos;
  readonly lastTime: Nanos;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly count: number;
}

/**
 * The state of a stream when it begins: its last event, or undefined where there was none yet. A
 * reconnect resumes without one, except where the server could no longer be asked for what was missed.
 */
export interface Snapshot<E = Trade | Quote | Bar> {
  readonly kind: "snapshot";
  readonly channel: Channel;
  readonly symbol: string;
  readonly last: E | undefined;
}

/**
 * Why events are missing. From the server: `slow` (this client could not keep up), `upstream` (lost
 * before the server had them), `history` (older than what it keeps), `reset` (numbers that were never
 * used: nothing is missing). From this library: `backlog` (the program did not iterate fast enough) and
 * `unexplained` (the server left out trades and did not say so).
 */
export type GapReason = "slow" | "upstream" | "history" | "reset" | "backlog" | "unexplained";

/** Stands for the events from `from` to `to`, both included, which will not come. */
export interface Gap {
  readonly kind: "gap";
  readonly channel: Channel;
  readonly symbol: string;
  readonly from: number;
  readonly to: number;
  readonly reason: GapReason;
}

/**
 * The server will not send this symbol. Codes that pass (4429, 4500, 4503) are asked again by
 * themselves; the others are asked again after the next reconnect.
 */
export interface Rejected {
  readonly kind: "rejected";
  readonly symbol: string;
  readonly code: number;
  /** The server's words, where it refused the request as a whole. */
  readonly message: string | undefined;
}

/** How long one part of ticks' way took, in ms. Clocks that differ may make it negative. */
export interface Hop {
  readonly median: number;
  /** One tick in a hundred took longer. */
  readonly p99: number;
}

/**
 * The way of ticks to the node's sockets, of the last minute and over all streams that the node follows.
 * Undefined is not known: nothing came, the session is delayed, or the node does not tell.
 */
export interface Hops {
  /** From the event's own time, by the venue's clock, to the feed's taking it. */
  readonly venue: Hop | undefined;
  /** In the feed, until it published. */
  readonly feed: Hop | undefined;
  /** Over NATS, to the node's taking it. */
  readonly nats: Hop | undefined;
  /** In the node, to the sockets of those who keep up. */
  readonly node: Hop | undefined;
}

/** What a connection knows of how it keeps up. The four counts are since the one before. */
export interface Stat {
  readonly kind: "stat";
  readonly pendingBytes: number;
  readonly queueAgeMs: number;
  readonly slow: boolean;
  readonly conflated: number;
  readonly dropped: number;
  readonly aggregated: number;
  readonly sent: number;
  readonly hops: Hops;
}

/** How a server introduces itself. */
export interface Hello {
  readonly kind: "hello";
  readonly protocol: number;
  readonly session: string;
  readonly node: string;
  readonly heartbeatMs: number;
  readonly maxSymbols: number;
  readonly auth: "ok" | "required" | "none";
}

/** The server's goodbye before it closes on purpose. */
export interface Bye {
  readonly kind: "bye";
  readonly code: number;
  readonly reason: string;
  readonly retryAfterMs: number;
}

interface ByChannel {
  trade: Trade | Aggregate | Snapshot<Trade>;
  quote: Quote | Snapshot<Quote>;
  bar: Bar | Snapshot<Bar>;
}

/** Everything that a subscription to the channels C delivers; `kind` tells which. */
export type MarketEvent<C extends Channel = Channel> = ByChannel[C] | Gap | Rejected;

/** The server's codes, in refusals, goodbyes and closes. */
export const Code = {
  restart: 1012,
  overloaded: 1013,
  badRequest: 4400,
  unauthenticated: 4401,
  forbidden: 4403,
  unknownSymbol: 4404,
  slowConsumer: 4408,
  tooManySymbols: 4413,
  tooMany: 4429,
  serverFault: 4500,
  noUpstream: 4503,
} as const;

/** What a client ends with when there is no use in trying again. */
export class TickcastError extends Error {
  override readonly name = "TickcastError";
  constructor(
    message: string,
    /** One of {@link Code}, or undefined where the server did not say. */
    readonly code?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Milliseconds of the Unix epoch, with a fraction: good to a quarter of a microsecond. */
export function millis(time: Nanos): number {
  return Number(time / 1_000_000n) + Number(time % 1_000_000n) / 1e6;
}

/** The time as a Date, cut to milliseconds. */
export function date(time: Nanos): Date {
  return new Date(Number(time / 1_000_000n));
}
