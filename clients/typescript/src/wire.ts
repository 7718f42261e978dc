// The wire form tickcast.v1.msgpack: bytes to events, requests to bytes.

import { Decoder, encode } from "@msgpack/msgpack";
import type {
  Aggregate,
  Bar,
  Bye,
  Channel,
  Gap,
  GapReason,
  Hello,
  Hop,
  Hops,
  Quote,
  Side,
  Snapshot,
  Stat,
  Trade,
} from "./events.js";

export const subprotocol = "tickcast.v1.msgpack";

export type MarketWire = Trade | Quote | Bar | Aggregate | Snapshot | Gap;

export interface Ack {
  readonly kind: "ack";
  readonly id: number | undefined;
  readonly rejected: ReadonlyMap<string, number>;
}

export interface Err {
  readonly kind: "err";
  /** Undefined where the server could not tell which request it refuses. */
  readonly id: number | undefined;
  readonly code: number;
  readonly message: string;
}

export type ControlWire =
  | Hello
  | Ack
  | Err
  | Stat
  | Bye
  | { readonly kind: "pong"; readonly id: number | undefined; readonly time: bigint }
  | { readonly kind: "heartbeat"; readonly time: bigint };

export type WireEvent = MarketWire | ControlWire;

/** The last seq had of each stream. */
export type After = Partial<Record<Channel, Record<string, number>>>;

export type Request =
  | { op: "auth"; id: number; token: string }
  | {
      op: "subscribe";
      id: number;
      channels: readonly Channel[];
      symbols: readonly string[];
      interval_ms?: number;
      policy?: string;
      after?: After;
    }
  | { op: "unsubscribe"; id: number; channels: readonly Channel[]; symbols: readonly string[] }
  | { op: "stats"; id: number; every_ms: number }
  | { op: "ping"; id: number };

/** Reports bytes that are no batch of version 1. The connection that they came on is of no more use. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

// Integers of 64 bits come as bigint, all others as number: the width says nothing about the field.
// Arrays are allocated before they are read, so a length is believed only so far.
const decoder = new Decoder({ useBigInt64: true, maxArrayLength: 1 << 20 });

export function encodeRequest(request: Request): Uint8Array<ArrayBuffer> {
  // Without useBigInt64, which would write a seq above 2^32 as a float: no integer to the server.
  return encode(request, { ignoreUndefined: true });
}

/**
 * Returns the events of one message, in order. Kinds unknown here are left out and elements beyond the
 * known ones ignored, so that a later server can say more. Throws ProtocolError.
 */
export function decodeBatch(bytes: ArrayBuffer | Uint8Array): WireEvent[] {
  let batch: unknown;
  try {
    batch = decoder.decode(bytes);
  } catch (cause) {
    throw new ProtocolError("not MessagePack", { cause });
  }
  const events: WireEvent[] = [];
  for (const raw of array(batch, "batch")) {
    const event = decodeEvent(array(raw, "event"));
    if (event) events.push(event);
  }
  return events;
}

function decodeEvent(e: readonly unknown[]): WireEvent | undefined {
  switch (e[0]) {
    case "snap": {
      if (!isChannel(e[1])) return undefined;
      const last = e[3] == null ? undefined : decodeTick(array(e[3], "snap event"));
      return { kind: "snapshot", channel: e[1], symbol: string(e[2], "snap symbol"), last };
    }
    case "gap":
      if (!isChannel(e[1])) return undefined;
      return {
        kind: "gap",
        channel: e[1],
        symbol: string(e[2], "gap symbol"),
        from: seq(e[3], "gap from"),
        to: seq(e[4], "gap to"),
        reason: string(e[5], "gap reason") as GapReason,
      };
    case "a":
      return {
        kind: "aggregate",
        symbol: string(e[1], "a symbol"),
        from: seq(e[2], "a from"),
        to: seq(e[3], "a to"),
        firstTime: nanos(e[4], "a first time"),
        lastTime: nanos(e[5], "a last time"),
        open: number(e[6], "a open"),
        high: number(e[7], "a high"),
        low: number(e[8], "a low"),
        close: number(e[9], "a close"),
        volume: number(e[10], "a volume"),
        count: number(e[11], "a count"),
      };
    default:
      return decodeTick(e) ?? decodeControl(e);
  }
}

function decodeTick(e: readonly unknown[]): Trade | Quote | Bar | undefined {
  switch (e[0]) {
    case "t":
      return {
        kind: "trade",
        symbol: string(e[1], "t symbol"),
        seq: seq(e[2], "t seq"),
        time: nanos(e[3], "t time"),
        price: number(e[4], "t price"),
        size: number(e[5], "t size"),
        side: side(e[6]),
        id: string(e[7], "t id"),
      };
    case "q":
      return {
        kind: "quote",
        symbol: string(e[1], "q symbol"),
        seq: seq(e[2], "q seq"),
        time: nanos(e[3], "q time"),
        bid: number(e[4], "q bid"),
        bidSize: number(e[5], "q bid size"),
        ask: number(e[6], "q ask"),
        askSize: number(e[7], "q ask size"),
      };
    case "b":
      return {
        kind: "bar",
        symbol: string(e[1], "b symbol"),
        seq: seq(e[2], "b seq"),
        time: nanos(e[3], "b start"),
        intervalSeconds: number(e[4], "b interval"),
        open: number(e[5], "b open"),
        high: number(e[6], "b high"),
        low: number(e[7], "b low"),
        close: number(e[8], "b close"),
        volume: number(e[9], "b volume"),
        trades: number(e[10], "b trades"),
        closed: e[11] === true,
      };
    default:
      return undefined;
  }
}

function decodeControl(e: readonly unknown[]): ControlWire | undefined {
  switch (e[0]) {
    case "hello": {
      const m = map(e[1], "hello");
      const auth = string(m["auth"], "hello auth");
      return {
        kind: "hello",
        protocol: number(m["protocol"], "hello protocol"),
        session: string(m["session"], "hello session"),
        node: string(m["node"], "hello node"),
        heartbeatMs: number(m["heartbeat_ms"], "hello heartbeat_ms"),
        maxSymbols: number(m["max_symbols"], "hello max_symbols"),
        auth: auth === "ok" || auth === "required" ? auth : "none",
      };
    }
    case "ack": {
      const m = map(e[2], "ack");
      const rejected = Object.entries(map(m["rejected"] ?? {}, "ack rejected"));
      return {
        kind: "ack",
        id: id(e[1], "ack id"),
        rejected: new Map(rejected.map(([symbol, code]) => [symbol, number(code, "ack code")])),
      };
    }
    case "err":
      return {
        kind: "err",
        id: id(e[1], "err id"),
        code: number(e[2], "err code"),
        message: string(e[3], "err message"),
      };
    case "pong":
      return { kind: "pong", id: id(e[1], "pong id"), time: nanos(e[2], "pong time") };
    case "stat": {
      const m = map(e[1], "stat");
      return {
        kind: "stat",
        pendingBytes: number(m["pending_bytes"], "stat pending_bytes"),
        queueAgeMs: number(m["queue_age_ms"], "stat queue_age_ms"),
        slow: m["slow"] === true,
        conflated: number(m["conflated"], "stat conflated"),
        dropped: number(m["dropped"], "stat dropped"),
        aggregated: number(m["aggregated"], "stat aggregated"),
        sent: number(m["sent"], "stat sent"),
        hops: hops(map(m["hops"] ?? {}, "stat hops")),
      };
    }
    case "hb":
      return { kind: "heartbeat", time: nanos(e[1], "hb time") };
    case "bye":
      return {
        kind: "bye",
        code: number(e[1], "bye code"),
        reason: string(e[2], "bye reason"),
        retryAfterMs: number(e[3], "bye retry"),
      };
    default:
      return undefined;
  }
}

function hops(m: Record<string, unknown>): Hops {
  return {
    venue: hop(m["venue_ms"]),
    feed: hop(m["feed_ms"]),
    nats: hop(m["nats_ms"]),
    node: hop(m["node_ms"]),
  };
}

function hop(v: unknown): Hop | undefined {
  if (v === undefined) return undefined;
  const [median, p99] = array(v, "stat hop");
  return { median: number(median, "stat hop median"), p99: number(p99, "stat hop p99") };
}

function array(v: unknown, what: string): unknown[] {
  if (!Array.isArray(v)) throw new ProtocolError(`${what}: want an array, got ${typeof v}`);
  return v;
}

function map(v: unknown, what: string): Record<string, unknown> {
  if (typeof v !== "object" || v === null || Array.isArray(v)) {
    throw new ProtocolError(`${what}: want a map, got ${typeof v}`);
  }
  return v as Record<string, unknown>;
}

function string(v: unknown, what: string): string {
  if (typeof v !== "string") throw new ProtocolError(`${what}: want a string, got ${typeof v}`);
  return v;
}

function number(v: unknown, what: string): number {
  if (typeof v === "number") return v;
  if (typeof v === "bigint") return Number(v);
  throw new ProtocolError(`${what}: want a number, got ${typeof v}`);
}

// An id beyond 2^53 is rounded: it is not one of ours, which are small.
function id(v: unknown, what: string): number | undefined {
  return v == null ? undefined : number(v, what);
}

/** The protocol keeps seqs below 2^53. One beyond would be rounded to its neighbour, so it is refused. */
function seq(v: unknown, what: string): number {
  const n = number(v, what);
  if (!Number.isSafeInteger(n)) throw new ProtocolError(`${what}: ${String(v)} is no integer below 2^53`);
  return n;
}

function nanos(v: unknown, what: string): bigint {
  if (typeof v === "bigint") return v;
  if (!Number.isInteger(v)) throw new ProtocolError(`${what}: want an integer, got ${typeof v}`);
  return BigInt(v as number);
}

function isChannel(v: unknown): v is Channel {
  return v === "trade" || v === "quote" || v === "bar";
}

function side(v: unknown): Side {
  return v === "b" ? "buy" : v === "s" ? "sell" : "unknown";
}
