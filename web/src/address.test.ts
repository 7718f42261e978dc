import { describe, expect, it } from "vitest";
import { readSymbols, writeSymbols } from "./address";

describe("readSymbols", () => {
  it.each([
    ["", undefined],
    ["?theme=dark", undefined],
    ["?symbols=", []],
    ["?symbols=A,B", ["A", "B"]],
    ["?theme=dark&symbols=B,A", ["B", "A"]],
    ["?symbols=A,,A, B ", ["A", "B"]],
    ["?symbols=BTC/USD,BRK.B", ["BTC/USD", "BRK.B"]],
    ["?symbols=ES+Z6,ES%20H7", ["ES Z6", "ES H7"]],
    ["?symbols=50%", ["50%"]],
  ])("reads %j as %j", (search, want) => {
    expect(readSymbols(search)).toEqual(want);
  });
});

it("reads what it wrote, whatever is in the names", () => {
  const symbols = ["A", "BTC/USD", "a,b", "x&y=z", "1+1", "50%", "ES Z6", "日経", "#?"];
  expect(readSymbols(writeSymbols(symbols))).toEqual(symbols);
  expect(readSymbols(writeSymbols([]))).toEqual([]);
});
