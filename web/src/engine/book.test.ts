import type { MarketEvent } from "tickcast";
import { expect, it } from "vitest";
import { Book } from "./book";

const trade = (seq: number, price: number): MarketEvent => ({
  kind: "trade",
  symbol: "A",
  seq,
  time: BigInt(seq) * 1_000_000_000n,
  price,
  size: 2,
  side: "buy",
  id: "",
});

it("keeps the last trade, and where the day began", () => {
  const book = new Book();
  for (const [seq, price] of [10, 12.5, 12.5, 11].entries()) book.apply(trade(seq, price), seq, 0);
  expect(book.rows.get("A")).toMatchObject({
    last: 11,
    first: 10,
    high: 12.5,
    low: 10,
    volume: 8,
    decimals: 1,
  });
});

it("counts moves, and knows the way of the last", () => {
  const book = new Book();
  const row = book.row("A");
  const ways = [10, 10, 11, 11, 9].map((price, seq) => {
    book.apply(trade(seq, price), 0, 0);
    return row.moves === 0 ? "" : `${row.moves}${row.up ? "+" : "-"}`;
  });
  expect(ways).toEqual(["", "", "1+", "1+", "2-"]);
});

it("takes an aggregate for all its trades", () => {
  const book = new Book();
  const range = { from: 1, to: 9, count: 9, firstTime: 1n, lastTime: 2n };
  const sum = {
    kind: "aggregate",
    symbol: "A",
    ...range,
    open: 5,
    high: 9,
    low: 4,
    close: 8,
    volume: 90,
  } as const;
  book.apply(sum, 1, 0);
  expect(book.rows.get("A")).toMatchObject({
    first: 5,
    last: 8,
    high: 9,
    low: 4,
    volume: 90,
    tradedAt: 1,
    seq: 9,
  });
});

it("dates a snapshot by its own time, and does not take it for volume", () => {
  const book = new Book();
  const last = trade(1, 10); // of the first second
  if (last.kind !== "trade") throw new Error(last.kind);
  book.apply({ kind: "snapshot", channel: "trade", symbol: "A", last }, 5_000, 61_000);
  expect(book.rows.get("A")).toMatchObject({ last: 10, volume: 0, tradedAt: -55_000, quotedAt: undefined });
  expect(book.seqs()).toEqual({ A: 1 });
});

it.each([
  ["trade", "slow", { gaps: 1, missed: 5 }],
  ["quote", "slow", { gaps: 1, missed: 0 }],
  ["trade", "reset", { gaps: 0, missed: 0 }],
] as const)("counts a gap on %s of reason %s", (channel, reason, want) => {
  const book = new Book();
  const row = book.apply({ kind: "gap", channel, symbol: "A", from: 3, to: 7, reason }, 0, 0);
  expect(book).toMatchObject(want);
  expect(row.missed).toBe(want.missed);
  expect(row.seq).toBe(channel === "trade" ? 7 : undefined);
});

it("remembers a refusal until the stream begins", () => {
  const book = new Book();
  book.apply({ kind: "rejected", symbol: "A", code: 4404, message: undefined }, 0, 0);
  expect(book.rows.get("A")?.rejected).toBe(4404);
  book.apply({ kind: "snapshot", channel: "trade", symbol: "A", last: undefined }, 0, 0);
  expect(book.rows.get("A")?.rejected).toBeUndefined();
});
