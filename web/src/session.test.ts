import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Request, StreamEvent } from "./protocol";
import { Session } from "./session";

let sent: Request[];
let session: Session;

beforeEach(() => {
  vi.useFakeTimers();
  sent = [];
  session = new Session(
    (request) => sent.push(request),
    () => 0.5,
  );
});

afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const trade = (symbol: string, seq: bigint): StreamEvent => ({
  kind: "trade",
  symbol,
  seq,
  price: 1,
  size: 1,
});

/** What was sent since the last call. */
function take(): Request[] {
  return sent.splice(0);
}

it("asks for nothing before hello, then for the whole list", () => {
  session.add(["A", "B"]);
  expect(take()).toEqual([]);
  session.opened();
  expect(take()).toEqual([
    { op: "subscribe", id: 1, channels: ["trade", "quote"], symbols: ["A", "B"], after: { trade: {} } },
  ]);
});

it("asks for an added symbol alone and gives up a removed one", () => {
  session.opened();
  session.add(["A"]);
  expect(session.add(["A", "B"])).toEqual(["B"]);
  session.remove("A");
  session.remove("nobody");
  expect(take().map((r) => [r.op, r.symbols])).toEqual([
    ["subscribe", ["A"]],
    ["subscribe", ["B"]],
    ["unsubscribe", ["A"]],
  ]);
});

it("asks for what came after the trades it has seen when it comes back", () => {
  session.add(["A", "B"]);
  session.opened();
  session.receive([trade("A", 7n)], 0);
  session.closed();
  take();
  session.opened();
  expect(take()).toMatchObject([{ symbols: ["A", "B"], after: { trade: { A: 7n } } }]);
});

it("spreads a long list over several requests", () => {
  session.add(Array.from({ length: 450 }, (_, i) => `S${i}`));
  session.opened();
  expect(take().map((r) => r.symbols.length)).toEqual([200, 200, 50]);
});

it("shows a rejected symbol in its row until it is asked for again", () => {
  session.add(["A", "B"]);
  session.opened();
  const changed = session.receive([{ kind: "ack", id: 1, rejected: { B: 4404, C: 4404 } }], 0);
  const b = session.list.rows.get("B")!;
  expect([...changed]).toEqual([b]);
  expect(b.rejected).toBe(4404);
  session.closed();
  session.opened();
  expect(b.rejected).toBeUndefined();
});

it("marks every row of a request that was refused for good", () => {
  session.add(["A", "B"]);
  session.opened();
  session.receive([{ kind: "err", id: 1, code: 4403, message: "not for you" }], 0);
  expect([...session.list.rows.values()].map((r) => r.rejected)).toEqual([4403, 4403]);
  expect(session.refused).toBe("not for you (4403)");
});

it("asks again for what was refused for the moment, without what was removed since", () => {
  session.add(["A", "B"]);
  session.opened();
  session.receive([{ kind: "err", id: 1, code: 4503, message: "no data yet" }], 0);
  session.remove("B");
  take();
  vi.advanceTimersByTime(1999);
  expect(take()).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(take().map((r) => [r.op, r.symbols])).toEqual([["subscribe", ["A"]]]);
  session.receive([{ kind: "ack", id: 3, rejected: {} }], 0);
  expect(session.refused).toBe("");
});

it("does not ask again over a link that is gone", () => {
  session.add(["A"]);
  session.opened();
  session.receive([{ kind: "err", id: 1, code: 4503, message: "no data yet" }], 0);
  session.closed();
  take();
  vi.advanceTimersByTime(60_000);
  expect(take()).toEqual([]);
});

it("shows an error that names no request", () => {
  session.opened();
  session.receive([{ kind: "err", id: undefined, code: 4400, message: "bad request" }], 0);
  expect(session.refused).toBe("bad request (4400)");
});
