// The wire form of tickcast.v1.msgpack, as far as a watchlist needs it: bytes to events, requests
// to bytes. Seqs are bigint, because they may use all 64 bits; prices and sizes are numbers. Times
// are not read here: the page measures age by its own clock.

import { decode, encode } from "@msgpack/msgpack";

export const subprotocol = "tickcast.v1.msgpack";

export type Trade = { kind: "trade"; symbol: string; seq: bigint; price: number; size: number };
export type Quote = { kind: "quote"; symbol: string; seq: bigint; bid: number; ask: number };
/** Stands for all trades from `from` to `to`, both included. */
export type Aggregate = {
  kind: "aggregate";
  symbol: string;
  from: bigint;
  to: bigint;
  open: number;
  close: number;
};
export type Hello = { kind: "hello"; session: string; node: string; heartbeatMs: number; auth: string };
export type Ack = { kind: "ack"; id: number; rejected: Record<string, number> };
/** `id` is undefined where the server could not tell which request it refuses. */
export type Err = { kind: "err"; id: number | undefined; code: number; message: string };
/** `last` is undefined for a stream that had no event yet, or one of a channel unknown here. */
export type Snapshot = { kind: "snap"; symbol: string; last: Trade | Quote | undefined };
export type Gap = {
  kind: "gap";
  channel: string;
  symbol: string;
  from: bigint;
  to: bigint;
  reason: string;
};
export type Heartbeat = { kind: "heartbeat" };
export type Bye = { kind: "bye"; code: number; reason: string; retryAfterMs: number };

export type StreamEvent = Hello | Ack | Err | Trade | Quote | Aggregate | Snapshot | Gap | Heartbeat | Bye;

export type Request =
  | { op: "subscribe"; id: number; channels: string[]; symbols: string[]; after: After }
  | { op: "unsubscribe"; id: number; channels: string[]; symbols: string[] };

/** The last seq seen of each stream, by channel and symbol. */
export type After = Record<string, Record<string, bigint>>;

/** Reports bytes that are not a batch of version 1. The connection they came on is of no more use. */
export class ProtocolError extends Error {}

export function encodeRequest(request: Request): Uint8Array<ArrayBuffer> {
  return encode(request, { useBigInt64: true });
}

/**
 * Returns the events of one message, in order. Kinds unknown here are left out and elements beyond
 * the known ones ignored, so that a later server can say more. Throws ProtocolError.
 */
export function decodeBatch(bytes: ArrayBuffer): StreamEvent[] {
  let batch: unknown;
  try {
    batch = decode(bytes, { useBigInt64: true });
  } catch (cause) {
    throw new ProtocolError("not MessagePack", { cause });
  }
  return array(batch, "batch").flatMap((raw) => decodeEvent(array(raw, "event")) ?? []);
}

function decodeEvent(e: unknown[]): StreamEvent | undefined {
  switch (e[0]) {
    case "t":
      return {
        kind: "trade",
        symbol: string(e[1], "t symbol"),
        seq: int(e[2], "t seq"),
        price: number(e[4], "t price"),
        size: number(e[5], "t size"),
      };
    case "q":
      return {
        kind: "quote",
        symbol: string(e[1], "q symbol"),
        seq: int(e[2], "q seq"),
        bid: number(e[4], "q bid"),
        ask: number(e[6], "q ask"),
      };
    case "a":
      return {
        kind: "aggregate",
        symbol: string(e[1], "a symbol"),
        from: int(e[2], "a from"),
        to: int(e[3], "a to"),
        open: number(e[6], "a open"),
        close: number(e[9], "a close"),
      };
    case "snap":
      return { kind: "snap", symbol: string(e[2], "snap symbol"), last: decodeLast(e[3]) };
    case "gap":
      return {
        kind: "gap",
        channel: string(e[1], "gap channel"),
        symbol: string(e[2], "gap symbol"),
        from: int(e[3], "gap from"),
        to: int(e[4], "gap to"),
        reason: string(e[5], "gap reason"),
      };
    case "hb":
      return { kind: "heartbeat" };
    case "hello": {
      const m = map(e[1], "hello");
      return {
        kind: "hello",
        session: string(m["session"], "hello session"),
        node: string(m["node"], "hello node"),
        heartbeatMs: number(m["heartbeat_ms"], "hello heartbeat_ms"),
        auth: string(m["auth"], "hello auth"),
      };
    }
    case "ack": {
      const rejected = Object.entries(map(map(e[2], "ack")["rejected"] ?? {}, "ack rejected"));
      return {
        kind: "ack",
        id: number(e[1], "ack id"),
        rejected: Object.fromEntries(rejected.map(([s, code]) => [s, number(code, "ack code")])),
      };
    }
    case "err":
      return {
        kind: "err",
        id: e[1] == null ? undefined : number(e[1], "err id"),
        code: number(e[2], "err code"),
        message: string(e[3], "err message"),
      };
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

function decodeLast(raw: unknown): Trade | Quote | undefined {
  const last = raw == null ? undefined : decodeEvent(array(raw, "snap event"));
  return last?.kind === "trade" || last?.kind === "quote" ? last : undefined;
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

// MessagePack may carry one value in any width that fits, and a price without a fraction as an
// integer: what arrives as a number and what as a bigint says nothing about the field.
function number(v: unknown, what: string): number {
  if (typeof v !== "number" && typeof v !== "bigint") {
    throw new ProtocolError(`${what}: want a number, got ${typeof v}`);
  }
  return Number(v);
}

function int(v: unknown, what: string): bigint {
  if (typeof v === "bigint") return v;
  if (!Number.isInteger(v)) throw new ProtocolError(`${what}: want an integer, got ${typeof v}`);
  return BigInt(v as number);
}
