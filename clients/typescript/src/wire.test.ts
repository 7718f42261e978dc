import { readFileSync } from "node:fs";
import { decode, encode } from "@msgpack/msgpack";
import { describe, expect, it } from "vitest";
import { decodeBatch, encodeRequest, ProtocolError, type Request, type WireEvent } from "./wire.js";

// The same vectors that the server's own codec is held to.
const golden = new URL("../../../pkg/codec/testdata/", import.meta.url);

interface Vector {
  name: string;
  kind: "event" | "request";
  msgpack: string;
  json: string;
}

const read = (name: string) => readFileSync(new URL(name, golden), "utf8");
const vectors = JSON.parse(read("index.json")) as Vector[];
const bytesOf = (v: Vector) => Uint8Array.from(Buffer.from(read(v.msgpack).replaceAll(/\s/g, ""), "hex"));
const trade = { kind: "trade", symbol: "BTC/USD", seq: 41000, time: 1770000000123456789n };
const bar = { kind: "bar", symbol: "AAPL", seq: 300, time: 1770000000000000000n, intervalSeconds: 60 };
const stat = {
  pendingBytes: 70000,
  queueAgeMs: 250,
  conflated: 3,
  dropped: 50,
  aggregated: 250,
  sent: 100000,
};

// By name; what the JSON beside the bytes says, in this library's words.
const events: Record<string, object | null> = {
  hello: {
    kind: "hello",
    protocol: 1,
    session: "s-1",
    node: "node-a",
    heartbeatMs: 15000,
    maxSymbols: 500,
    auth: "none",
  },
  "ack-subscribe": {
    kind: "ack",
    id: 12,
    rejected: new Map([
      ["NOPE", 4404],
      ["SECRET", 4403],
    ]),
  },
  "ack-total": { kind: "ack", id: 12, rejected: new Map() },
  "ack-empty": { kind: "ack", id: undefined, rejected: new Map() },
  error: { kind: "err", id: 2 ** 63, code: 4400, message: 'policy: "keep" is unknown' },
  "error-no-id": { kind: "err", id: undefined, code: 4400, message: "malformed: not JSON" },
  pong: { kind: "pong", id: 12, time: 1770000000123456789n },
  trade: { ...trade, price: 64250.5, size: 0.25, side: "buy", id: "98-7" },
  "trade-odd": null, // its seq is the largest int64: refused below
  quote: {
    kind: "quote",
    symbol: "BRK.B",
    seq: 7,
    time: 1770000000123456789n,
    bid: 498.25,
    bidSize: 300,
    ask: 498.5,
    askSize: 0,
  },
  bar: { ...bar, open: 201, high: 202.5, low: 200.75, close: 202, volume: 125000, trades: 841, closed: true },
  "bar-forming": {
    ...bar,
    open: 201,
    high: 202.5,
    low: 200.75,
    close: 202,
    volume: 125000,
    trades: 0,
    closed: false,
  },
  aggregate: {
    kind: "aggregate",
    symbol: "BTC/USD",
    from: 41001,
    to: 41250,
    firstTime: 1770000000123456790n,
    lastTime: 1770000009123456789n,
    open: 64250.5,
    high: 64300,
    low: 64200.25,
    close: 64210,
    volume: 12.5,
    count: 250,
  },
  snapshot: {
    kind: "snapshot",
    channel: "trade",
    symbol: "BTC/USD",
    last: { ...trade, price: 64250.5, size: 0.25, side: "buy", id: "98-7" },
  },
  "snapshot-none": { kind: "snapshot", channel: "bar", symbol: "AAPL", last: undefined },
  gap: { kind: "gap", channel: "trade", symbol: "BTC/USD", from: 41251, to: 41300, reason: "slow" },
  stat: { kind: "stat", ...stat, slow: true, hops: {} },
  "stat-hops": {
    kind: "stat",
    pendingBytes: 0,
    queueAgeMs: 0,
    conflated: 0,
    dropped: 0,
    aggregated: 0,
    sent: 7,
    slow: false,
    hops: {
      venue: { median: -1.2, p99: 3 },
      feed: { median: 0.7, p99: 5.25 },
      node: { median: 2, p99: 1500 },
    },
  },
  heartbeat: { kind: "heartbeat", time: 1770000000123456789n },
  bye: { kind: "bye", code: 1012, reason: "draining", retryAfterMs: 1500 },
};

describe("events", () => {
  for (const v of vectors.filter((v) => v.kind === "event")) {
    it(`reads ${v.name}`, () => {
      expect(events).toHaveProperty([v.name]);
      const want = events[v.name];
      if (want === null) expect(() => decodeBatch(bytesOf(v))).toThrow(/no integer below 2\^53/);
      else expect(decodeBatch(bytesOf(v))).toEqual([want]);
    });
  }
});

describe("requests", () => {
  // What JSON.parse rounds is not a request of ours: our ids are small.
  for (const v of vectors.filter((v) => v.kind === "request" && v.name !== "subscribe-all")) {
    it(`writes ${v.name}`, () => {
      const request = JSON.parse(read(v.json)) as Request;
      expect(decode(encodeRequest(request))).toEqual(decode(bytesOf(v)));
    });
  }

  it("writes seqs beyond 32 bits as integers", () => {
    const after = { trade: { A: 1_795_234_349_001_631 } };
    const bytes = encodeRequest({ op: "subscribe", id: 1, channels: ["trade"], symbols: ["A"], after });
    expect(Buffer.from(bytes).toString("hex")).toContain("cf000660c191a92b9f");
  });
});

const batch = (...list: unknown[]): WireEvent[] => decodeBatch(encode(list));

const counts = { pending_bytes: 0, queue_age_ms: 0, conflated: 0, dropped: 0, aggregated: 0, sent: 0 };

describe("later versions", () => {
  it.each([
    ["unknown kinds", ["depth", "A", 1]],
    ["unknown channels", ["gap", "depth", "A", 1, 2, "slow"]],
    ["snapshots of unknown channels", ["snap", "depth", "A", ["d", "A", 1]]],
  ])("passes over %s", (_name, event) => {
    expect(batch(event, ["hb", 5]).map((e) => e.kind)).toEqual(["heartbeat"]);
  });

  it("ignores further elements and fields", () => {
    expect(batch(["hb", 5, "more"])).toEqual([{ kind: "heartbeat", time: 5n }]);
    const hops = { node_ms: [1, 2, 3], disk_ms: [1, 2] };
    expect(batch(["stat", { ...counts, hops }])).toMatchObject([{ hops: { node: { median: 1, p99: 2 } } }]);
    expect(batch(["ack", 1, { color: "red" }])).toEqual([{ kind: "ack", id: 1, rejected: new Map() }]);
  });
});

describe("bytes that are no batch", () => {
  it.each([
    ["no MessagePack", Uint8Array.of(0xc1)],
    ["nothing", Uint8Array.of()],
    ["a batch that ends too soon", encode([["hb", 5]]).slice(0, -1)],
    ["two batches", Uint8Array.of(...encode([]), ...encode([]))],
    ["a length beyond the message", Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)],
    ["no array", encode({ hb: 5 })],
    ["an event that is no array", encode([5])],
    ["a symbol that is no string", encode([["t", 5, 1, 1, 1, 1, "b", ""]])],
    ["a price that is no number", encode([["t", "A", 1, 1, "1", 1, "b", ""]])],
    ["a seq with a fraction", encode([["t", "A", 1.5, 1, 1, 1, "b", ""]])],
    ["a time that is no integer", encode([["t", "A", 1, null, 1, 1, "b", ""]])],
    ["a hello without its map", encode([["hello"]])],
    ["a hop without its p99", encode([["stat", { ...counts, hops: { node_ms: [1] } }]])],
  ])("refuses %s", (_name, bytes) => {
    expect(() => decodeBatch(bytes)).toThrow(ProtocolError);
  });

  it("never throws anything else, whatever comes", () => {
    let state = 1;
    const random = () => (state = (state * 48271) % 0x7fffffff);
    const seeds = vectors.map(bytesOf);
    for (let i = 0; i < 20_000; i++) {
      const bytes = seeds[random() % seeds.length]!.slice();
      for (let n = random() % 4; n >= 0; n--) bytes[random() % bytes.length] = random() & 0xff;
      try {
        decodeBatch(bytes);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
      }
    }
  });
});
