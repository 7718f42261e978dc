import type { Trade } from "tickcast";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { FakeSocket } from "../../../clients/typescript/test/fake";
import { Past } from "./past";

const done = vi.fn<(trades: Trade[]) => void>();
let past: Past;
let token: string | undefined;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", FakeSocket);
  FakeSocket.all = [];
  token = undefined;
  done.mockClear();
  past = new Past("ws://node/v1/stream", () => token);
});

// Nothing is left behind: every connection was left, and no timer waits.
afterEach(() => {
  expect(FakeSocket.all.every((socket) => socket.closed)).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const socket = () => FakeSocket.last;
const trade = (seq: number, symbol = "A") => ["t", symbol, seq, seq, 10, 1, "b", ""];
const gap = (from: number, to: number) => ["gap", "trade", "A", from, to, "history"];
const aggregate = (from: number, to: number) => ["a", "A", from, to, 1, 2, 1, 1, 1, 1, 5, to - from + 1];

/** Asks for what was before the seq, and answers up to the ack. Returns what the node was asked. */
function ask(first: number): Record<string, unknown> {
  past.ask("A", first, done);
  socket().hello();
  const [request] = socket().take();
  socket().ack(request!["id"]);
  return request!;
}

/** The seqs that were handed over; undefined where nothing was. */
const had = () => done.mock.calls.at(-1)?.[0].map(({ seq }) => seq);

it.each([
  [10_001, 7_000],
  [3_002, 1],
  [500, 0],
])("asks for three thousand trades before seq %d, by those after %d", (first, after) => {
  expect(ask(first)).toMatchObject({
    op: "subscribe",
    channels: ["trade"],
    symbols: ["A"],
    after: { trade: { A: after } },
  });
  expect(past.asking).toBe("A");
  socket().say(gap(after + 1, first - 1));
});

it("hands over what came up to the page's first trade, once, and leaves", () => {
  ask(104);
  socket().say(trade(101), trade(102));
  expect(done).not.toHaveBeenCalled();
  socket().say(trade(103), trade(104));
  socket().say(trade(105));
  expect(had()).toEqual([101, 102, 103]);
  expect(done).toHaveBeenCalledOnce();
  expect(past.asking).toBeUndefined();
});

it.each([
  ["a gap up to there", [trade(101), gap(102, 103)], [101]],
  ["a sum up to there", [trade(101), aggregate(102, 103)], [101]],
  ["a gap before them", [gap(1, 101), trade(102), trade(103)], [102, 103]],
  ["a trade from behind", [trade(101), trade(104)], [101]],
  ["a snapshot in their place", [["snap", "trade", "A", trade(103)]], []],
])("ends with %s", (_what, events, seqs) => {
  ask(104);
  socket().say(...events);
  expect(had()).toEqual(seqs);
  expect(done).toHaveBeenCalledOnce();
});

it("has none of a symbol that the node refuses", () => {
  past.ask("A", 104, done);
  socket().hello();
  const [request] = socket().take();
  socket().ack(request!["id"], { A: 4403 });
  expect(had()).toEqual([]);
});

it("does not ask twice a node that refuses the connection", () => {
  past.ask("A", 104, done);
  socket().end();
  expect(had()).toEqual([]);
  vi.advanceTimersByTime(60_000);
  expect(FakeSocket.all).toHaveLength(1);
});

it("gives up where the connection breaks midway, rather than show a part", () => {
  ask(104);
  socket().say(trade(101));
  socket().end();
  expect(had()).toEqual([]);
  expect(done).toHaveBeenCalledOnce();
});

it("gives up a node that is silent after a while", () => {
  ask(104);
  socket().say(trade(101));
  for (let s = 0; s < 14; s += 2) {
    vi.advanceTimersByTime(2_000);
    socket().say(["hb", 1]);
  }
  expect(done).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1_000);
  expect(had()).toEqual([]);
});

it.each([
  ["asks for a token that the page has not", () => socket().hello({ auth: "required" })],
  ["speaks another protocol", () => socket().hello({ protocol: 2 })],
])("gives up a node at once that %s", (_what, greet) => {
  past.ask("A", 104, done);
  greet();
  return vi.waitFor(() => expect(had()).toEqual([]));
});

it("shows the node the page's token", async () => {
  token = "t";
  past.ask("A", 104, done);
  socket().hello({ auth: "required" });
  await vi.waitFor(() => expect(socket().take()).toMatchObject([{ op: "auth", token: "t" }]));
  socket().end();
});

it("forgets a symbol for the next one, and says nothing of it", () => {
  ask(104);
  socket().say(trade(101));
  const other = vi.fn();
  past.ask("B", 11, other);
  expect(past.asking).toBe("B");
  expect(FakeSocket.all).toHaveLength(2);
  FakeSocket.all[0]!.say(trade(102), trade(103));
  expect(done).not.toHaveBeenCalled();
  socket().hello();
  socket().ack(socket().take()[0]!["id"]);
  socket().say(trade(10, "B"));
  expect(other.mock.calls.map(([trades]) => (trades as Trade[]).map(({ seq }) => seq))).toEqual([[10]]);
});
