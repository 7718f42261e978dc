import { decode, encode } from "@msgpack/msgpack";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Link, type LinkState } from "./link";
import type { StreamEvent } from "./protocol";

function pack(value: unknown): ArrayBuffer {
  return encode(value).slice().buffer;
}

/** A WebSocket whose other end is the test. */
class FakeSocket {
  static all: FakeSocket[] = [];
  onmessage: ((m: { data: unknown }) => void) | null = null;
  onclose: ((c: { code: number; reason: string }) => void) | null = null;
  binaryType = "blob";
  closed = false;
  sent: unknown[] = [];

  constructor(
    readonly url: string,
    readonly subprotocol: string,
  ) {
    FakeSocket.all.push(this);
  }

  send(bytes: Uint8Array): void {
    this.sent.push(decode(bytes));
  }

  close(): void {
    this.closed = true;
  }

  say(...events: unknown[]): void {
    this.onmessage?.({ data: pack(events) });
  }

  hello(): void {
    this.say(["hello", { protocol: 1, session: "s1", node: "n1", heartbeat_ms: 4000, auth: "none" }]);
  }
}

let states: LinkState[];
let events: StreamEvent[];
let link: Link;
let random: number;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", FakeSocket);
  FakeSocket.all = [];
  states = [];
  events = [];
  random = 0.5;
  const owner = {
    stateChanged: (state: LinkState) => states.push(state),
    received: (batch: StreamEvent[]) => events.push(...batch),
  };
  link = new Link("ws://node/v1/stream", owner, () => random);
  link.start();
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const socket = () => FakeSocket.all.at(-1)!;
const kinds = () => states.map((s) => s.kind);

it("offers the binary subprotocol and is live with hello, not before", () => {
  expect([socket().url, socket().subprotocol, socket().binaryType]).toEqual([
    "ws://node/v1/stream",
    "tickcast.v1.msgpack",
    "arraybuffer",
  ]);
  expect(kinds()).toEqual(["connecting"]);
  socket().hello();
  expect(states[1]).toMatchObject({ kind: "live", hello: { node: "n1", session: "s1" } });
});

it("hands on events in order, and sends only while live", () => {
  const request = { op: "unsubscribe" as const, id: 1, channels: [], symbols: [] };
  link.send(request);
  socket().hello();
  link.send(request);
  socket().say(["t", "A", 1, 1, 10, 1], ["hb", 1]);
  expect(socket().sent).toEqual([request]);
  expect(events.map((e) => e.kind)).toEqual(["hello", "trade", "heartbeat"]);
});

it("connects again after a close, later each time", () => {
  const waits: number[] = [];
  for (let i = 0; i < 3; i++) {
    socket().onclose?.({ code: 1006, reason: "" });
    const state = states.at(-1)!;
    if (state.kind !== "reconnecting") throw new Error(`state is ${state.kind}`);
    expect(state.why).toBe("closed with code 1006");
    waits.push(state.at - performance.now());
    const before = FakeSocket.all.length;
    vi.advanceTimersToNextTimer();
    expect(FakeSocket.all.length).toBe(before + 1);
  }
  expect(waits).toEqual([250, 500, 1000]);
});

it("begins with short waits again once a connection has lasted", () => {
  socket().onclose?.({ code: 1006, reason: "" });
  vi.advanceTimersByTime(250);
  socket().hello();
  socket().onclose?.({ code: 1006, reason: "" }); // did not last: the wait grows
  vi.advanceTimersByTime(500);
  expect(FakeSocket.all.length).toBe(3);
  socket().hello();
  for (let i = 0; i < 5; i++) {
    vi.advanceTimersByTime(3000);
    socket().say(["hb", 1]);
  }
  socket().onclose?.({ code: 1006, reason: "" });
  vi.advanceTimersByTime(250);
  expect(FakeSocket.all.length).toBe(4);
});

it("takes two and a half heartbeats of silence for death", () => {
  socket().hello();
  vi.advanceTimersByTime(9_999);
  socket().say(["hb", 1]);
  vi.advanceTimersByTime(9_999);
  expect(kinds()).toEqual(["connecting", "live"]);
  vi.advanceTimersByTime(1);
  expect(states.at(-1)).toMatchObject({ kind: "reconnecting", why: "nothing heard for 10 s" });
  expect(socket().closed).toBe(true);
});

it("does not wait for a hello for ever", () => {
  vi.advanceTimersByTime(10_000);
  expect(kinds()).toEqual(["connecting", "reconnecting"]);
});

it("stays away for as long as bye says, and some jitter more", () => {
  socket().hello();
  socket().say(["t", "A", 1, 1, 10, 1], ["bye", 1012, "restarting", 7000]);
  expect(events.map((e) => e.kind)).toEqual(["hello", "trade", "bye"]);
  expect(states.at(-1)).toMatchObject({ why: "restarting (1012)", at: performance.now() + 7250 });
  vi.advanceTimersByTime(7249);
  expect(FakeSocket.all.length).toBe(1);
  vi.advanceTimersByTime(1);
  expect(FakeSocket.all.length).toBe(2);
});

it.each([
  ["a text message", "[]"],
  ["bytes that are no batch", new Uint8Array([0xc1]).buffer],
  ["events before hello", pack([["hb", 1]])],
  ["an empty batch before hello", pack([])],
])("drops a connection that sends %s", (_name, data) => {
  socket().onmessage?.({ data });
  expect(kinds()).toEqual(["connecting", "reconnecting"]);
  expect(socket().closed).toBe(true);
});

it("hears nothing more from a socket that it left", () => {
  socket().hello();
  const left = socket();
  left.say(["bye", 1012, "restarting", 0]);
  left.say(["t", "A", 1, 1, 10, 1]);
  left.onclose?.({ code: 1012, reason: "" });
  expect(events.map((e) => e.kind)).toEqual(["hello", "bye"]);
  expect(kinds()).toEqual(["connecting", "live", "reconnecting"]);
});
