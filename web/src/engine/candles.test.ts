import type { Trade } from "tickcast";
import { describe, expect, it } from "vitest";
import { Candles } from "./candles";

function trade(word: string): Trade {
  const [time, price] = word.split(":").map(Number);
  const ns = BigInt(Math.round(time! * 1e9));
  return { kind: "trade", symbol: "A", seq: 1, time: ns, price: price!, size: 1, side: "buy", id: "" };
}

/** Adds trades `time:price`, one unit each. */
function traded(words: string): Candles {
  const candles = new Candles();
  for (const word of words.split(" ").filter((word) => word !== "")) {
    const [time, price] = word.split(":").map(Number);
    candles.add(time!, price!, price!, price!, price!, 1);
  }
  return candles;
}

const shape = (candles: Candles, seconds: number, since?: number) =>
  candles.fold(seconds, since).map((c) => `${c.time} ${c.open} ${c.high} ${c.low} ${c.close} ${c.volume}`);

describe("candles", () => {
  it.each([
    ["of a second", 1, ["10 5 7 5 7 2", "12 6 6 6 6 1", "15 3 3 3 3 1"]],
    ["of five", 5, ["10 5 7 5 6 3", "15 3 3 3 3 1"]],
    ["of a minute", 60, ["0 5 7 3 3 4"]],
  ])("%s fold trades", (_name, seconds, want) => {
    expect(shape(traded("10.1:5 10.9:7 12:6 15:3"), seconds)).toEqual(want);
  });

  it("take a trade that is late for one of now: the past is drawn already", () => {
    expect(shape(traded("10:5 12:6 11:9"), 1)).toEqual(["10 5 5 5 5 1", "12 6 9 6 9 2"]);
  });

  it("can be had from one on", () => {
    expect(shape(traded("10:5 12:6 15:3"), 1, 12)).toEqual(["12 6 6 6 6 1", "15 3 3 3 3 1"]);
    expect(shape(traded("10:5 12:6 15:3"), 5, 10)).toEqual(["10 5 6 5 6 2", "15 3 3 3 3 1"]);
  });

  it.each([
    ["between two seconds", 2],
    ["in the middle of one", 3],
    ["before all", 0],
    ["behind all", 6],
  ])("are the same wherever the past was added: %s", (_name, at) => {
    const words = ["10.1:5", "10.9:7", "12:6", "12.5:9", "15:3", "14.9:1"];
    const candles = traded(words.slice(at).join(" "));
    candles.before(words.slice(0, at).map(trade));
    expect(shape(candles, 1)).toEqual(shape(traded(words.join(" ")), 1));
  });

  it("begin with a past that is late by the venue's clock where they began", () => {
    const candles = traded("12:6 13:4");
    candles.before(["11:1", "13:8", "14:2"].map(trade));
    expect(shape(candles, 1)).toEqual(["11 1 1 1 1 1", "12 8 8 2 6 3", "13 4 4 4 4 1"]);
  });

  it("keep some minutes of a busy symbol", () => {
    const candles = traded(Array.from({ length: 5000 }, (_, i) => `${i}:1`).join(" "));
    expect(candles.fold(1).length).toBeLessThanOrEqual(600);
    expect(candles.fold(1).at(-1)?.time).toBe(4999);
  });

  it("of a minute know from bars what was before, and from trades what is ahead", () => {
    const candles = traded("70:9");
    const bar = (time: bigint, close: number, volume: number) =>
      candles.bar({
        kind: "bar",
        symbol: "A",
        seq: 1,
        time: time * 1_000_000_000n,
        intervalSeconds: 60,
        open: 4,
        high: 8,
        low: 2,
        close,
        volume,
        trades: 1,
        closed: false,
      });
    bar(0n, 3, 50);
    bar(60n, 7, 10);
    expect(shape(candles, 60)).toEqual(["0 4 8 2 3 50", "60 4 9 2 9 10"]);
    expect(shape(candles, 1)).toEqual(["70 9 9 9 9 1"]);
  });
});
