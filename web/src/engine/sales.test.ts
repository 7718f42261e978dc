import { expect, it } from "vitest";
import type { MarketEvent } from "tickcast";
import { Sales } from "./sales";

const trade = (seq: number): MarketEvent => ({
  kind: "trade",
  symbol: "A",
  seq,
  time: 1_770_000_000_123_456_789n,
  price: 10,
  size: 2,
  side: "sell",
  id: "",
});

it("shows the newest first, and what stands for others", () => {
  const sales = new Sales();
  sales.add(trade(1), 0);
  sales.add({ kind: "gap", channel: "trade", symbol: "A", from: 2, to: 4, reason: "slow" }, 77);
  sales.add({ kind: "gap", channel: "trade", symbol: "A", from: 5, to: 6, reason: "reset" }, 77);
  sales.add({ kind: "gap", channel: "quote", symbol: "A", from: 5, to: 6, reason: "slow" }, 77);
  const sum = { open: 1, high: 3, low: 1, close: 2, volume: 30, count: 3 };
  sales.add(
    { kind: "aggregate", symbol: "A", from: 7, to: 9, firstTime: 1n, lastTime: 5_000_000n, ...sum },
    0,
  );
  expect(sales.newest()).toMatchObject([
    { id: 3, kind: "sum", from: 7, to: 9, timeMs: 5, price: 2, size: 30, count: 3 },
    { id: 2, kind: "gap", from: 2, to: 4, timeMs: 77, reason: "slow", count: 3 },
    { id: 1, kind: "trade", from: 1, to: 1, price: 10, size: 2, side: "sell" },
  ]);
});

it("keeps no more than a screen holds", () => {
  const sales = new Sales();
  for (let seq = 1; seq <= 1000; seq++) sales.add(trade(seq), 0);
  expect(sales.newest()).toHaveLength(40);
  expect(sales.newest()[0]).toMatchObject({ from: 1000 });
  sales.clear();
  expect(sales.newest()).toEqual([]);
});
