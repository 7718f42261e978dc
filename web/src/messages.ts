// What the page and its engine, a worker, say to each other. The page asks for a frame, and the engine
// answers with what is to be seen: nothing else of what arrives ever reaches the page.

import type { DeliveryOptions, Hops, State } from "tickcast";

export type SortKey = "symbol" | "last" | "change" | "bid" | "ask" | "volume" | "age";

/** What of the watchlist the page shows. */
export interface BoardView {
  /** Every symbol, or the starred ones. */
  scope: "all" | "starred";
  /** Shows what matches it, whatever the scope; empty for no search. */
  query: string;
  sort: { key: SortKey; descending: boolean };
  /** The rows on the screen: from the first, so many. */
  from: number;
  count: number;
}

export type ToEngine =
  | { do: "open"; url: string; starred: string[]; view: BoardView; delivery: DeliveryOptions }
  | { do: "view"; view: BoardView }
  /** Answered once there is something new to show. */
  | { do: "frame" }
  | { do: "select"; symbol: string; seconds: number }
  | { do: "star"; symbol: string; on: boolean }
  | { do: "deliver"; delivery: DeliveryOptions }
  | { do: "token"; token: string }
  /** Take messages only every two seconds: a slow client. */
  | { do: "slow"; on: boolean }
  /** Leave the connection and come back. */
  | { do: "drop" }
  /** Do not wait for the next attempt. */
  | { do: "retry" };

/** One line of the watchlist. Numbers are undefined where nothing is known. */
export interface RowView {
  symbol: string;
  starred: boolean;
  last: number | undefined;
  bid: number | undefined;
  ask: number | undefined;
  /** In percent of the first price seen. */
  change: number | undefined;
  volume: number;
  /** Seconds since the last trade, and the last quote. */
  tradeAge: number | undefined;
  quoteAge: number | undefined;
  decimals: number;
  /** Rises whenever the price moves; `up` is the way of the last move. */
  moves: number;
  up: boolean;
  missed: number;
  rejected: number | undefined;
}

/** A line of time and sales: a trade, a sum of trades, or trades that are missing. */
export interface Sale {
  /** Counts sales of the engine's life: a name for the line. */
  id: number;
  kind: "trade" | "sum" | "gap";
  /** The seqs that it stands for, both included. */
  from: number;
  to: number;
  timeMs: number;
  price: number | undefined;
  size: number | undefined;
  side: "buy" | "sell" | "unknown";
  count: number;
  reason: string;
}

/** Times in seconds of the Unix epoch. */
export interface Candle {
  time: number;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
}

export interface Detail {
  row: RowView;
  bidSize: number | undefined;
  askSize: number | undefined;
  high: number | undefined;
  low: number | undefined;
  /** The newest sales, newest first. */
  sales: Sale[];
  /** All candles, or those from the last one on that the page was sent; undefined where none changed. */
  candles: { all: boolean; list: Candle[] } | undefined;
}

/** Milliseconds: the middle, and one of a hundred. */
export interface Latency {
  median: number;
  p99: number;
}

export interface Quality {
  /** From the event's own time to this page's reading it, less the network: venue, feed, NATS, node, and waiting. */
  upstream: Latency | undefined;
  /** The parts of that way up to the node's sockets, as the node tells; undefined where it does not. */
  hops: Hops | undefined;
  /** What of `upstream` is in none of them, in the middle: waiting for this client, until it is read. */
  reading: number | undefined;
  /** How long events waited in the node for this client, as it last told. */
  queueMs: number | undefined;
  /** Half of the way there and back. */
  network: number | undefined;
  eventsPerSecond: number;
  messagesPerSecond: number;
  bytesPerSecond: number;
  gaps: number;
  missed: number;
  conflated: number;
  dropped: number;
  aggregated: number;
  /** The node's view of this client. */
  slow: boolean;
  pendingBytes: number;
  /** Symbols with news in the last ten seconds, of all that have a price. */
  fresh: number;
  priced: number;
}

export interface Notice {
  id: number;
  timeMs: number;
  text: string;
  tone: "good" | "bad" | "plain";
}

/** A connection's state as it can be posted: an error that is copied to another thread loses its code. */
export type LinkState =
  | Exclude<State, { kind: "closed" }>
  | { kind: "closed"; error: { message: string; code: number | undefined } | undefined };

export function portable(state: State): LinkState {
  if (state.kind !== "closed") return state;
  const { error } = state;
  return { kind: "closed", error: error && { message: error.message, code: error.code } };
}

export interface Status {
  state: LinkState;
  /** The node knows no symbol yet. */
  noFeed: boolean;
  /** No price has come for so long; undefined before the first. */
  silentSeconds: number | undefined;
  slow: boolean;
  /** The token in use should be replaced: it ends then, in Unix ms, and `fault` says why the last one was not taken. */
  renewal: { endsAt: number; fault: string } | undefined;
}

export interface Frame {
  say: "frame";
  /** The search that the rows answer. */
  query: string;
  total: number;
  from: number;
  rows: RowView[];
  detail: Detail | undefined;
  status: Status;
  /** Measured anew twice a second; undefined in the frames between. */
  quality: Quality | undefined;
  /** Those since the last frame. */
  notices: Notice[];
  starred: string[];
  /** When the newest event in it was read, in ms of the Unix epoch; 0 if there is none since the last. */
  readAt: number;
  /** Events handled since the page was opened. */
  events: number;
}
