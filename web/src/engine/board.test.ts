import { beforeEach, describe, expect, it } from "vitest";
import type { BoardView } from "../messages";
import { Board } from "./board";
import { Book } from "./book";

let book: Book;
let board: Board;

beforeEach(() => {
  book = new Book();
  board = new Board(book, ["C", "Z"]);
  for (const [symbol, last] of Object.entries({ A: 1, B: 3, C: 2 })) {
    book.row(symbol).last = last;
    book.row(symbol).first = 1;
  }
});

const shown = (view: Partial<BoardView>, now = 0) => {
  const sort = { key: "symbol", descending: false } as const;
  const { rows, total, from } = board.window(
    { scope: "all", query: "", sort, from: 0, count: 10, ...view },
    now,
  );
  return `${from}/${total} ${rows.map((row) => row.symbol).join("")}`;
};

describe("the board", () => {
  it.each<[string, Partial<BoardView>, string]>([
    ["all symbols by name", {}, "0/3 ABC"],
    ["those on the screen", { from: 1, count: 1 }, "1/3 B"],
    ["the end, where the screen lies beyond it", { from: 9, count: 2 }, "1/3 BC"],
    ["the starred ones, heard of or not", { scope: "starred" }, "0/2 CZ"],
    ["what a search finds, in any case", { query: " b" }, "0/1 B"],
    ["what a search finds, whatever the scope", { query: "a", scope: "starred" }, "0/1 A"],
    ["them by price", { sort: { key: "last", descending: true } }, "0/3 BCA"],
    [
      "what is not known last, from the top down",
      { scope: "starred", sort: { key: "last", descending: true } },
      "0/2 CZ",
    ],
    ["them by change", { sort: { key: "change", descending: false } }, "0/3 ACB"],
  ])("shows %s", (_name, view, want) => {
    expect(shown(view)).toBe(want);
  });

  it("searches what the node has told of", () => {
    board.known = ["MSFT"];
    expect(shown({ query: "ms", scope: "starred" })).toBe("0/1 MSFT");
    expect(shown({})).toBe("0/3 ABC");
  });

  it("does not reorder under the reader's hand", () => {
    const byPrice = { sort: { key: "last", descending: true } } as const;
    expect(shown(byPrice)).toBe("0/3 BCA");
    book.row("A").last = 9;
    expect(shown(byPrice, 999)).toBe("0/3 BCA");
    expect(shown(byPrice, 1000)).toBe("0/3 ABC");
  });

  it("tells stars and ages", () => {
    book.row("C").tradedAt = 500;
    book.row("C").quotedAt = 2_500;
    const view = {
      scope: "starred",
      query: "",
      sort: { key: "symbol", descending: false },
      from: 0,
      count: 9,
    } as const;
    expect(board.window(view, 3_700).rows).toMatchObject([
      { symbol: "C", starred: true, tradeAge: 3, quoteAge: 1, change: 100 },
      { symbol: "Z", starred: true, tradeAge: undefined, last: undefined },
    ]);
  });
});
