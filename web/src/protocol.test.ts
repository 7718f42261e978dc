import { decode, encode } from "@msgpack/msgpack";
import { describe, expect, it } from "vitest";
import { decodeBatch, encodeRequest, ProtocolError } from "./protocol";

function pack(value: unknown): ArrayBuffer {
  return encode(value, { useBigInt64: true }).slice().buffer; // encode returns a view of more
}

const hugeSeq = 9_007_199_254_740_993n; // 2^53 + 1: no float64 holds it

describe("decodeBatch", () => {
  it.each([
    [
      "trade",
      ["t", "BRK.B", hugeSeq, 1n, 412.25, 3.5, "b", "x1"],
      { kind: "trade", symbol: "BRK.B", seq: hugeSeq, price: 412.25, size: 3.5 },
    ],
    [
      "quote",
      ["q", "BTC/USD", 7, 1n, 99.5, 1, 100, 2],
      { kind: "quote", symbol: "BTC/USD", seq: 7n, bid: 99.5, ask: 100 },
    ],
    [
      "aggregate",
      ["a", "A", 5, 9, 1n, 2n, 10, 12, 9, 11.5, 60, 5],
      { kind: "aggregate", symbol: "A", from: 5n, to: 9n, open: 10, close: 11.5 },
    ],
    [
      "snapshot of a trade",
      ["snap", "trade", "A", ["t", "A", 5, 1n, 10, 1, "", ""]],
      { kind: "snap", symbol: "A", last: { kind: "trade", symbol: "A", seq: 5n, price: 10, size: 1 } },
    ],
    ["snapshot of nothing", ["snap", "quote", "A", null], { kind: "snap", symbol: "A", last: undefined }],
    [
      "snapshot of a channel unknown here",
      ["snap", "bar", "A", ["b", "A", 5]],
      { kind: "snap", symbol: "A", last: undefined },
    ],
    [
      "gap",
      ["gap", "trade", "A", 5, 9, "slow"],
      { kind: "gap", channel: "trade", symbol: "A", from: 5n, to: 9n, reason: "slow" },
    ],
    ["heartbeat", ["hb", 1n], { kind: "heartbeat" }],
    [
      "hello",
      ["hello", { protocol: 1, session: "s", node: "n", heartbeat_ms: 5000n, max_symbols: 9, auth: "none" }],
      { kind: "hello", session: "s", node: "n", heartbeatMs: 5000, auth: "none" },
    ],
    [
      "ack",
      ["ack", 3n, { channels: ["trade"], symbols: ["A"], rejected: { B: 4404 } }],
      { kind: "ack", id: 3, rejected: { B: 4404 } },
    ],
    ["ack of nothing to reject", ["ack", 3, {}], { kind: "ack", id: 3, rejected: {} }],
    [
      "error",
      ["err", null, 4400, "bad request"],
      { kind: "err", id: undefined, code: 4400, message: "bad request" },
    ],
    ["bye", ["bye", 1012, "restart", 750], { kind: "bye", code: 1012, reason: "restart", retryAfterMs: 750 }],
  ])("reads a %s", (_name, wire, want) => {
    expect(decodeBatch(pack([wire]))).toEqual([want]);
    expect(decodeBatch(pack([[...wire, "said by a later version", { more: 1 }]]))).toEqual([want]);
  });

  it("keeps the order and leaves out kinds that it does not know", () => {
    const batch = [["hb", 1], ["new", 1, 2], ["stat", {}], [], ["gap", "trade", "A", 1, 2, "slow"]];
    expect(decodeBatch(pack(batch)).map((e) => e.kind)).toEqual(["heartbeat", "gap"]);
  });

  it.each([
    ["no MessagePack", new Uint8Array([0xc1]).buffer],
    ["half a message", pack([["hb", "long enough to cut"]]).slice(0, 8)],
    ["nothing", new ArrayBuffer(0)],
    ["a batch that is a map", pack({ t: 1 })],
    ["an event that is a string", pack(["hb"])],
    ["a price that is a string", pack([["t", "A", 1, 1, "10", 1]])],
    ["a seq with a fraction", pack([["t", "A", 1.5, 1, 10, 1]])],
    ["a trade cut short", pack([["t", "A", 1]])],
    ["a snapshot that is no event", pack([["snap", "trade", "A", 5]])],
    ["a hello without its map", pack([["hello", null]])],
  ])("refuses %s", (_name, bytes) => {
    expect(() => decodeBatch(bytes)).toThrow(ProtocolError);
  });
});

describe("encodeRequest", () => {
  it("writes seqs as integers of 64 bits", () => {
    const request = {
      op: "subscribe" as const,
      id: 1,
      channels: ["trade"],
      symbols: ["A"],
      after: { trade: { A: hugeSeq } },
    };
    expect(decode(encodeRequest(request), { useBigInt64: true })).toEqual(request);
  });
});
