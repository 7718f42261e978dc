import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeSocket } from "../test/fake.js";
import { Client } from "./client.js";
import type { Channel, MarketEvent } from "./events.js";
import type { SubscribeOptions, Subscription } from "./subscription.js";

let client: Client;
let seen: string[];

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all = [];
  seen = [];
  client = new Client("ws://node/v1/stream", { webSocket: FakeSocket }, () => 0.5);
});

afterEach(() => {
  client.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

const socket = () => FakeSocket.last;
const trade = (symbol: string, seq: number) => ["t", symbol, seq, 1, 10, 1, "b", ""];
const quote = (symbol: string, seq: number) => ["q", symbol, seq, 1, 10, 1, 11, 1];
const aggregate = (symbol: string, from: number, to: number) => [
  "a",
  symbol,
  from,
  to,
  1,
  2,
  1,
  1,
  1,
  1,
  5,
  to - from + 1,
];

/** What a subscriber saw, as one word an event. */
function word(e: MarketEvent): string {
  switch (e.kind) {
    case "snapshot":
      return `snap ${e.symbol} ${e.last?.seq}`;
    case "gap":
      return `${e.reason} ${e.symbol} ${e.from}-${e.to}`;
    case "aggregate":
      return `sum ${e.symbol} ${e.from}-${e.to}`;
    case "rejected":
      return `${e.code} ${e.symbol}`;
    default:
      return `${e.kind} ${e.symbol} ${e.seq}`;
  }
}

function want(...symbols: string[]): Subscription<"trade"> {
  return client.subscribe({ channels: ["trade"], symbols }, (e) => seen.push(word(e)));
}

function watch<C extends Channel>(options: SubscribeOptions<C>): Subscription<C> {
  return client.subscribe(options, (e) => seen.push(word(e as MarketEvent)));
}

/** Answers all that was asked, and returns it without ids. */
function acked(rejected: Record<string, number> = {}): Record<string, unknown>[] {
  return socket()
    .take()
    .map(({ id, ...request }) => {
      socket().ack(id, rejected);
      return request;
    });
}

/** The way from one connection to the next. */
function again(): void {
  socket().end();
  vi.advanceTimersToNextTimer();
  socket().hello();
}

describe("what is asked for", () => {
  it("waits for hello", () => {
    want("A", "B");
    expect(socket().take()).toEqual([]);
    socket().hello();
    expect(acked()).toEqual([{ op: "subscribe", channels: ["trade"], symbols: ["A", "B"], after: {} }]);
  });

  it("goes on behind what the program has already", () => {
    watch({ channels: ["trade", "quote"], symbols: ["A", "B"], after: { trade: { A: 7 }, quote: { B: 1 } } });
    socket().hello();
    const asked = { op: "subscribe", channels: ["trade", "quote"], symbols: ["A", "B"] };
    expect(acked()).toEqual([{ ...asked, after: { trade: { A: 7 } } }]);
    socket().say(trade("A", 9), trade("B", 4));
    expect(seen).toEqual(["unexplained A 8-8", "trade A 9", "trade B 4"]);
    again();
    expect(acked()).toEqual([{ ...asked, after: { trade: { A: 9, B: 4 } } }]);
  });

  it("goes on behind all that a wildcard had", () => {
    watch({ channels: ["trade"], symbols: "*", after: { trade: { A: 7, B: 3 } } });
    socket().hello();
    expect(acked()).toEqual([
      { op: "subscribe", channels: ["trade"], symbols: ["*"], after: { trade: { A: 7, B: 3 } } },
    ]);
    socket().say(trade("A", 8), trade("C", 5));
    expect(seen).toEqual(["trade A 8", "trade C 5"]);
  });

  it("follows the subscriptions", () => {
    socket().hello();
    const sub = want("A");
    sub.add(["A", "B"]);
    sub.remove(["A", "nobody"]);
    sub.close();
    sub.close();
    sub.add(["C"]);
    expect(acked().map((r) => [r["op"], r["symbols"]])).toEqual([
      ["subscribe", ["A"]],
      ["subscribe", ["B"]],
      ["unsubscribe", ["A"]],
      ["unsubscribe", ["B"]],
    ]);
  });

  it("carries options, each policy to its own channels", () => {
    socket().hello();
    const sub = watch({
      channels: ["trade", "quote", "bar"],
      symbols: ["A"],
      intervalMs: 250,
      policy: { trade: "aggregate" },
    });
    const asked = { op: "subscribe", symbols: ["A"], after: {} };
    expect(acked()).toEqual([
      { ...asked, channels: ["trade"], policy: "aggregate", interval_ms: 250 },
      { ...asked, channels: ["quote", "bar"], interval_ms: 250 },
    ]);
    sub.update({ policy: { trade: "drop_newest" } });
    expect(acked()).toEqual([
      { ...asked, channels: ["trade"], policy: "drop_newest" },
      { ...asked, channels: ["quote", "bar"] },
    ]);
  });

  it("is spread over requests of less than 64 KiB", () => {
    const symbols = Array.from({ length: 3000 }, (_, i) => `${i}`.padEnd(60, "x"));
    want(...symbols);
    socket().hello();
    const requests = acked();
    expect(requests.length).toBeGreaterThan(3);
    expect(requests.flatMap((r) => r["symbols"])).toEqual(symbols);
    for (const r of requests) expect(JSON.stringify(r).length).toBeLessThan(64 << 10);
  });

  it("is refused where it crosses another subscription", () => {
    want("A");
    expect(() => want("B", "A")).toThrow("another subscription of this client has trades of A");
    expect(() => watch({ channels: ["trade"], symbols: "*" })).toThrow("trades of a symbol");
    watch({ channels: ["quote"], symbols: "*" });
    expect(() => watch({ channels: ["bar", "quote"], symbols: ["A"] })).toThrow("quotes of *");
    want("B"); // nothing is left of what was refused
    watch({ channels: ["bar"], symbols: ["A"] });
  });
});

describe("what is delivered", () => {
  it("begins with the ack: what came before belongs to an earlier request", () => {
    socket().hello();
    const sub = want("A");
    acked();
    socket().say(["snap", "trade", "A", trade("A", 3)], trade("A", 4));
    sub.remove(["A"]);
    sub.add(["A"]);
    socket().say(trade("A", 5));
    acked();
    socket().say(["snap", "trade", "A", trade("A", 9)], trade("A", 10));
    expect(seen).toEqual(["snap A 3", "trade A 4", "snap A 9", "trade A 10"]);
  });

  it("goes to whom it belongs", () => {
    socket().hello();
    want("A");
    const other: string[] = [];
    client.subscribe({ channels: ["quote"], symbols: "*" }, { quote: (q) => other.push(word(q)) });
    acked();
    socket().say(trade("A", 1), quote("A", 1), quote("B", 1), trade("B", 1), ["snap", "quote", "C", null]);
    expect(seen).toEqual(["trade A 1"]);
    expect(other).toEqual(["quote A 1", "quote B 1"]);
  });

  it("covers every number: a jump that nothing explains is told", () => {
    socket().hello();
    want("A");
    acked();
    socket().say(["snap", "trade", "A", null], trade("A", 5), trade("A", 8), aggregate("A", 9, 12));
    socket().say(["gap", "trade", "A", 13, 20, "slow"], trade("A", 21), aggregate("A", 23, 24));
    expect(seen.slice(1)).toEqual([
      "trade A 5",
      "unexplained A 6-7",
      "trade A 8",
      "sum A 9-12",
      "slow A 13-20",
      "trade A 21",
      "unexplained A 22-22",
      "sum A 23-24",
    ]);
  });

  it("lets quotes jump", () => {
    socket().hello();
    watch({ channels: ["quote"], symbols: ["A"] });
    acked();
    socket().say(quote("A", 1), quote("A", 9));
    expect(seen).toEqual(["quote A 1", "quote A 9"]);
  });

  it("survives a handler that throws, which does not pass unseen", () => {
    const later: (() => void)[] = [];
    vi.spyOn(globalThis, "queueMicrotask").mockImplementation((run) => void later.push(run));
    socket().hello();
    client.subscribe({ channels: ["trade"], symbols: ["A"] }, () => {
      throw new Error("mine");
    });
    acked();
    socket().say(trade("A", 1));
    expect(client.state.kind).toBe("live");
    expect(later).toHaveLength(1);
    expect(later[0]).toThrow("mine");
    vi.restoreAllMocks();
  });
});

describe("a reconnect", () => {
  it("asks for the trades after the last ones had, and for quotes anew", () => {
    watch({ channels: ["trade", "quote"], symbols: ["A", "B", "C"] });
    socket().hello();
    acked();
    socket().say(trade("A", 3), quote("A", 7), ["snap", "trade", "B", trade("B", 5)]);
    socket().say(["gap", "trade", "A", 4, 6, "slow"]);
    again();
    expect(acked()).toMatchObject([{ symbols: ["A", "B", "C"], after: { trade: { A: 6, B: 5 } } }]);
    socket().say(trade("A", 7), trade("B", 6));
    expect(seen.slice(-2)).toEqual(["trade A 7", "trade B 6"]);
  });

  it("asks for every quote where the policy keeps them", () => {
    watch({ channels: ["quote"], symbols: ["A"], policy: { quote: "drop_oldest" } });
    socket().hello();
    acked();
    socket().say(quote("A", 7));
    again();
    expect(acked()).toMatchObject([{ after: { quote: { A: 7 } } }]);
  });

  it("names what a wildcard has had", () => {
    watch({ channels: ["trade"], symbols: "*" });
    socket().hello();
    acked();
    socket().say(trade("A", 3), trade("B", 5));
    again();
    expect(acked()).toEqual([
      { op: "subscribe", channels: ["trade"], symbols: ["*"], after: { trade: { A: 3, B: 5 } } },
    ]);
    socket().say(trade("A", 4), trade("C", 1));
    expect(seen.slice(-2)).toEqual(["trade A 4", "trade C 1"]);
  });

  it("names what does not fit beside a wildcard before it, as far as it may", () => {
    watch({ channels: ["trade"], symbols: "*" });
    socket().hello({ max_symbols: 500 });
    acked();
    const symbols = Array.from({ length: 3000 }, (_, i) => `${i}`.padStart(5, "0"));
    socket().say(...symbols.map((s) => trade(s, 7)));
    socket().end();
    vi.advanceTimersToNextTimer();
    socket().hello({ max_symbols: 500 });
    const requests = acked({ "01000": 4404 });
    expect(requests.at(-1)).toMatchObject({ symbols: ["*"] });
    expect(requests.slice(0, -1).flatMap((r) => r["symbols"])).toHaveLength(500);
    const named = requests.flatMap((r) => Object.keys((r["after"] as { trade: object }).trade));
    expect(new Set(named).size).toBe(named.length);
    // Begins anew, and the books show the difference.
    seen = [];
    socket().say(["snap", "trade", "02999", trade("02999", 9)], trade("00001", 8));
    expect(seen).toEqual(["unexplained 02999 8-8", "snap 02999 9", "trade 00001 8"]);
  });
});

describe("a refusal", () => {
  it("is told once, and asked again with the next connection", () => {
    want("A", "NOPE");
    socket().hello();
    acked({ NOPE: 4404 });
    expect(seen).toEqual(["4404 NOPE"]);
    again();
    expect(acked({ NOPE: 4404 })).toMatchObject([{ symbols: ["A", "NOPE"] }]);
    expect(seen).toEqual(["4404 NOPE"]);
    again();
    acked();
    socket().say(trade("NOPE", 1));
    expect(seen).toEqual(["4404 NOPE", "trade NOPE 1"]);
  });

  it("of a whole request names all its symbols", () => {
    socket().hello();
    want("A", "B");
    const [ask] = socket().take();
    socket().say(["err", ask!["id"], 4400, "bad"]);
    expect(seen).toEqual(["4400 A", "4400 B"]);
  });

  it.each([4429, 4500, 4503])("with %d passes: what is still wanted is asked again", (code) => {
    socket().hello();
    const sub = want("A", "B");
    const [ask] = socket().take();
    socket().say(["err", ask!["id"], code, "not now"]);
    sub.remove(["B"]);
    socket().take();
    vi.advanceTimersByTime(1_999);
    expect(socket().take()).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(acked()).toMatchObject([{ op: "subscribe", symbols: ["A"] }]);
    socket().say(trade("A", 1));
    expect(seen.at(-1)).toBe("trade A 1");
  });

  it("of a wildcard passes too", () => {
    watch({ channels: ["trade"], symbols: "*" });
    socket().hello();
    const [ask] = socket().take();
    socket().say(["err", ask!["id"], 4503, "no symbol is known yet"]);
    expect(seen).toEqual(["4503 *"]);
    vi.advanceTimersByTime(2_000);
    expect(acked()).toMatchObject([{ symbols: ["*"] }]);
  });

  it.each([4403, 4413])(
    "with %d for no request: what a new token has ended is found out and told",
    (code) => {
      want("A", "B");
      socket().hello();
      acked();
      socket().say(["err", null, code, "ended, since the new token does not allow it: B"]);
      expect(acked({ B: code })).toMatchObject([{ op: "subscribe", symbols: ["A", "B"] }]);
      socket().say(trade("A", 1));
      expect(seen).toEqual([`${code} B`, "trade A 1"]);
    },
  );

  it("that belongs to no subscription is told by the client", () => {
    const refused: unknown[] = [];
    client.on("refused", (error) => refused.push(error));
    socket().hello();
    socket().say(["err", null, 4400, "malformed"]);
    expect(refused).toMatchObject([{ code: 4400, message: "malformed" }]);
  });
});
