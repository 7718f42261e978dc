import { describe, expect, it } from "vitest";
import {
  changeOf,
  decimalsOf,
  formatAge,
  formatChange,
  formatMissed,
  formatPrice,
  formatRejection,
  formatSize,
  formatSpread,
  isStale,
} from "./format";

it.each([
  [101, 0],
  [101.5, 1],
  [0.25, 2],
  [1.2345, 4],
  [1e-7, 7],
  [1.5e-7, 8],
  [1e21, 0],
  [1.25e22, 0],
  [0.1 + 0.2, 10],
  [0, 0],
  [-3.75, 2],
])("%d is written with %d decimals", (value, want) => {
  expect(decimalsOf(value)).toBe(want);
});

describe("formatPrice", () => {
  it.each([
    [101.5, 2, "101.50"],
    [64321.1, 1, "64,321.1"],
    [0.00001234, 8, "0.00001234"],
    [-37.63, 2, "-37.63"],
    [0, 2, "–"],
    [undefined, 2, "–"],
  ])("writes %s with %d decimals as %s", (price, decimals, want) => {
    expect(formatPrice(price, decimals)).toBe(want);
  });
});

it.each([
  [100, "100"],
  [12345.678, "12,345.678"],
  [0.00000001, "0.00000001"],
  [0, "0"],
  [undefined, "–"],
])("writes a size of %s as %s", (size, want) => {
  expect(formatSize(size)).toBe(want);
});

describe("change", () => {
  it.each([
    [100, 101.5, "+1.50 %"],
    [100, 98, "-2.00 %"],
    [100, 100, "0.00 %"],
    [100, 99.9999, "0.00 %"],
    [-10, -5, "+50.00 %"],
    [100, undefined, "–"],
    [undefined, 100, "–"],
    [0, 100, "–"],
  ])("from %s to %s reads %s", (first, last, want) => {
    expect(formatChange(changeOf(first, last))).toBe(want);
  });
});

it.each([
  [0.9, "0 s"],
  [59.9, "59 s"],
  [60, "1 min"],
  [3599, "59 min"],
  [7200, "2 h"],
  [undefined, "–"],
])("an age of %s s reads %s", (seconds, want) => {
  expect(formatAge(seconds)).toBe(want);
});

it("names the code of a rejection, known or not", () => {
  expect(formatRejection(4404)).toBe("unknown symbol (4404)");
  expect(formatRejection(4999)).toBe("refused (4999)");
});

it("claims no more than it knows of missed trades", () => {
  expect([formatMissed(0), formatMissed(8311577)]).toEqual(["0", "up to 8,311,577"]);
});

it("tells a spread in both measures, also a crossed one", () => {
  expect(formatSpread(99.5, 100.5, 2)).toBe("1.00 (100 bp)");
  expect(formatSpread(61800.13, 61800.14, 2)).toBe("0.01 (0.00162 bp)");
  expect(formatSpread(100, 100, 0)).toBe("0 (0 bp)");
  expect(formatSpread(101, 99, 0)).toBe("-2 (-200 bp)");
});

it("takes a price for old after half a minute", () => {
  expect([undefined, 0, 29, 30].map(isStale)).toEqual([false, false, false, true]);
});
