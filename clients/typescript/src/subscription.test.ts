import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeSocket } from "../test/fake.js";
import { Backlog } from "./backlog.js";
import { Client } from "./client.js";
import { date, millis, type Gap, type MarketEvent, type Trade } from "./events.js";
import { refreshAfter } from "./token.js";

const trade = (symbol: string, seq: number): Trade => ({
  kind: "trade",
  symbol,
  seq,
  time: 1n,
  price: 1,
  size: 1,
  side: "buy",
  id: "",
});

type Word = Trade | Gap | { kind: "rejected"; symbol: string };

function word(e: Word): string {
  if (e.kind === "gap") return `${e.symbol}${e.from}-${e.to}`;
  return e.kind === "trade" ? `${e.symbol}${e.seq}` : "!";
}

/** Pushes one event a word: `a3` is the third trade of a, `!` belongs to no stream. */
function pushed(max: number, words: string): string {
  const backlog = new Backlog<Word extends Gap ? never : Trade | Gap | { kind: "rejected"; symbol: string }>(
    max,
  );
  for (const w of words.split(" ")) {
    const [from, to] = w.slice(1).split("-").map(Number);
    if (w === "!") backlog.push({ kind: "rejected", symbol: "" });
    else if (to !== undefined)
      backlog.push({ kind: "gap", channel: "trade", symbol: w[0]!, from: from!, to, reason: "slow" });
    else backlog.push(trade(w[0]!, from!));
  }
  const out: string[] = [];
  for (let e = backlog.shift(); e; e = backlog.shift()) out.push(word(e));
  expect(backlog.empty).toBe(true);
  return out.join(" ");
}

describe("a backlog", () => {
  it.each([
    ["keeps what fits, in order", 4, "a1 b1 a2 b2", "a1 b1 a2 b2"],
    ["loses the oldest, with a gap before the stream's next", 2, "a1 a2 a3 a4", "a1-2 a3 a4"],
    ["tells the gap of a stream that has nothing more at the end", 2, "a1 b1 b2", "b1 b2 a1-1"],
    ["keeps a gap of each stream", 2, "a1 b1 a2 b2 b3 a3", "b1-2 b3 a1-2 a3"],
    ["makes one gap of what it lost and a gap that it lost", 1, "a1 a2-5 a6 a7", "a1-6 a7"],
    ["never loses what belongs to no stream", 2, "! a1 a2 a3 a4", "! a1-2 a3 a4"],
  ])("%s", (_name, max, words, want) => {
    expect(pushed(max, words)).toBe(want);
  });

  it("accounts for every number, whatever comes when", () => {
    let state = 7;
    const random = (n: number) => (state = (state * 48271) % 0x7fffffff) % n;
    for (let round = 0; round < 200; round++) {
      const backlog = new Backlog<Trade>(1 + random(20));
      const next: Record<string, number> = { a: 1, b: 1, c: 1 };
      const had: Record<string, number> = { a: 0, b: 0, c: 0 };
      const take = () => {
        const e = backlog.shift();
        if (!e) return false;
        const [from, to] = e.kind === "gap" ? [e.from, e.to] : [e.seq, e.seq];
        if (from !== had[e.symbol]! + 1) throw new Error(`${word(e)} after ${had[e.symbol]}`);
        had[e.symbol] = to;
        return true;
      };
      for (let i = 0; i < 300; i++) {
        const symbol = "abc"[random(3)]!;
        if (random(3) > 0) backlog.push(trade(symbol, next[symbol]!++));
        else take();
      }
      while (take());
      for (const symbol of "abc") expect(had[symbol]).toBe(next[symbol]! - 1);
    }
  });
});

describe("an iteration", () => {
  let client: Client;

  beforeEach(() => {
    client = new Client("ws://node/v1/stream", { webSocket: FakeSocket });
    FakeSocket.last.hello();
  });
  afterEach(() => client.close());

  const ask = () => {
    const [request] = FakeSocket.last.take();
    FakeSocket.last.ack(request!["id"]);
  };
  const say = (...seqs: number[]) =>
    FakeSocket.last.say(...seqs.map((seq) => ["t", "A", seq, 1, 10, 1, "b", ""]));

  it("has what came before it began, and what comes while it waits", async () => {
    const sub = client.subscribe({ channels: ["trade"], symbols: ["A"] });
    ask();
    say(1, 2);
    const seqs: number[] = [];
    for await (const event of sub) {
      if (event.kind !== "trade") continue;
      seqs.push(event.seq);
      if (event.seq === 2) setTimeout(() => say(3, 4), 0);
      if (event.seq === 4) break;
    }
    expect(seqs).toEqual([1, 2, 3, 4]);
    expect(sub.closed).toBe(true);
    expect(FakeSocket.last.take()).toMatchObject([{ op: "unsubscribe", symbols: ["A"] }]);
  });

  it("that is too slow gets a gap", async () => {
    const sub = client.subscribe({ channels: ["trade"], symbols: ["A"], backlogMax: 2 });
    ask();
    say(1, 2, 3, 4, 5);
    client.close();
    const got: MarketEvent[] = [];
    for await (const event of sub) got.push(event);
    expect(got).toMatchObject([{ kind: "gap", from: 1, to: 3, reason: "backlog" }, { seq: 4 }, { seq: 5 }]);
  });

  it("throws where the client ended by a fault", async () => {
    const sub = client.subscribe({ channels: ["trade"], symbols: ["A"] });
    FakeSocket.last.say(["bye", 4401, "expired", 0]);
    const loop = async () => {
      for await (const _ of sub);
    };
    await expect(loop()).rejects.toMatchObject({ name: "TickcastError", code: 4401 });
  });

  it("is one, and none beside a handler", async () => {
    const sub = client.subscribe({ channels: ["trade"], symbols: ["A"] });
    const first = sub[Symbol.asyncIterator]();
    ask();
    say(1);
    await first.next();
    await expect(sub[Symbol.asyncIterator]().next()).rejects.toThrow("iterated once");
    await first.return();
    const handled = client.subscribe({ channels: ["trade"], symbols: ["A"] }, {});
    await expect(handled[Symbol.asyncIterator]().next()).rejects.toThrow("handler");
  });

  it("is told of by kind", () => {
    const seen: string[] = [];
    client.subscribe(
      { channels: ["trade"], symbols: ["A"] },
      { trade: (t) => seen.push(`trade ${t.seq}`), gap: (g) => seen.push(`gap ${g.from}-${g.to}`) },
    );
    ask();
    say(1, 4);
    expect(seen).toEqual(["trade 1", "gap 2-3", "trade 4"]);
  });
});

it("makes milliseconds of nanoseconds", () => {
  expect(millis(1_770_000_000_123_456_789n)).toBeCloseTo(1_770_000_000_123.4568, 3);
  expect(millis(-1n)).toBe(-1e-6);
  expect(date(1_770_000_000_123_456_789n).toISOString()).toBe("2026-02-02T02:40:00.123Z");
});

it.each([
  ["a token's end", { exp: 1100 }, 80_000],
  ["one that is near or past", { exp: 900 }, 5_000],
  ["one so far away that a timer overflows", { exp: 1e12 }, 2 ** 31 - 1],
  ["none", {}, undefined],
  ["no number", { exp: "soon" }, undefined],
])("refreshes before %s", (_name, claims, want) => {
  expect(refreshAfter(`h.${btoa(JSON.stringify(claims))}.s`, 1_000_000)).toBe(want);
});

it("does not know when an opaque token ends", () => {
  for (const token of ["", "opaque", "a.b.c", "a.!.c"]) expect(refreshAfter(token, 0)).toBeUndefined();
});
