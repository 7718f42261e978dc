import { describe, expect, it } from "vitest";
import type { Aggregate, Gap, Quote, Snapshot, StreamEvent, Trade } from "./protocol";
import { Watchlist, type Row } from "./watchlist";

const trade = (seq: number, price: number, size = 1): Trade => ({
  kind: "trade",
  symbol: "A",
  seq: BigInt(seq),
  price,
  size,
});
const quote = (seq: number, bid: number, ask: number): Quote => ({
  kind: "quote",
  symbol: "A",
  seq: BigInt(seq),
  bid,
  ask,
});
const gap = (from: number, to: number, reason = "slow", channel = "trade"): Gap => ({
  kind: "gap",
  channel,
  symbol: "A",
  from: BigInt(from),
  to: BigInt(to),
  reason,
});
const snap = (last?: Trade | Quote): Snapshot => ({ kind: "snap", symbol: "A", last });
const aggregate = (from: number, to: number, open: number, close: number): Aggregate => ({
  kind: "aggregate",
  symbol: "A",
  from: BigInt(from),
  to: BigInt(to),
  open,
  close,
});

function watch(...events: StreamEvent[]): { list: Watchlist; row: Row } {
  const list = new Watchlist();
  list.add("A");
  events.forEach((e, i) => list.apply(e, 1000 + i));
  return { list, row: list.rows.get("A")! };
}

describe("a row", () => {
  it("shows the last trade and quote, and measures from the first price", () => {
    const { row } = watch(trade(1, 10, 5), quote(1, 9.5, 10.25), trade(2, 11, 6));
    expect(row).toMatchObject({ last: 11, size: 6, bid: 9.5, ask: 10.25, first: 10, decimals: 2 });
  });

  it("keeps the decimals of the longest price", () => {
    expect(watch(trade(1, 10.125), trade(2, 10.5)).row.decimals).toBe(3);
  });

  it("counts its age from the last live event, not from a snapshot", () => {
    expect(watch(snap(trade(1, 10))).row).toMatchObject({ last: 10, heardAt: undefined });
    expect(watch(snap(trade(1, 10)), quote(1, 9, 11)).row.heardAt).toBe(1001);
  });

  it("takes an empty snapshot for nothing known", () => {
    expect(watch(snap()).row).toMatchObject({ last: undefined, tradeSeq: undefined });
  });

  it("knows the close of an aggregate, but no size", () => {
    expect(watch(trade(1, 10), aggregate(2, 9, 10.5, 12)).row).toMatchObject({
      last: 12,
      size: undefined,
      tradeSeq: 9n,
      missed: 0,
    });
  });

  it("is not changed by the events of others", () => {
    const { list, row } = watch();
    expect(list.apply({ ...trade(1, 10), symbol: "B" }, 0)).toBeUndefined();
    expect(list.apply({ kind: "heartbeat" }, 0)).toBeUndefined();
    expect(list.apply(trade(1, 10), 0)).toBe(row);
    expect(list.events).toBe(1);
  });
});

describe("missed trades", () => {
  for (const [name, events, gaps, missed] of [
    ["are none in an unbroken stream", [snap(trade(4, 1)), trade(5, 1), trade(6, 1)], 0, 0],
    ["are what a gap covers", [trade(5, 1), gap(6, 9), trade(10, 1)], 1, 4],
    ["are counted where history ends", [trade(5, 1), gap(6, 6, "history"), trade(7, 1)], 1, 1],
    [
      "are none under numbers that were never used",
      [trade(5, 1), gap(6, 999, "reset"), trade(1000, 1)],
      1,
      0,
    ],
    ["are no quotes", [gap(6, 9, "upstream", "quote")], 1, 0],
    ["are none before the first event", [trade(500, 1)], 0, 0],
    ["are counted even where the server kept silent", [trade(5, 1), trade(8, 1)], 1, 2],
    ["are counted before an aggregate too", [trade(5, 1), aggregate(7, 9, 1, 1), trade(10, 1)], 1, 1],
    ["do not reach back over a new snapshot", [trade(5, 1), snap(trade(50, 1)), trade(51, 1)], 0, 0],
    ["are not seen where quotes skip numbers", [quote(5, 1, 2), quote(9, 1, 2)], 0, 0],
  ] as [string, StreamEvent[], number, number][]) {
    it(name, () => {
      const { list, row } = watch(...events);
      expect([list.gaps, list.missed, row.missed]).toEqual([gaps, missed, missed]);
    });
  }
});

it("adds a symbol once and removes it once", () => {
  const list = new Watchlist();
  expect([list.add("A"), list.add("A"), list.remove("A"), list.remove("A")]).toEqual([
    true,
    false,
    true,
    false,
  ]);
});
