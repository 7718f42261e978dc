import type { BoardView, RowView, SortKey } from "../messages";
import { changeOf } from "../format";
import { Row, type Book } from "./book";

// Rows that are sorted by something that moves change places this often, and not under the reader's hand.
const resortMs = 1_000;

/** The watchlist as the page sees it: which symbols, in which order, and those on the screen. */
export class Board {
  readonly starred: Set<string>;
  /** Names that the node told of, beside those that the book has. */
  known: readonly string[] = [];
  private order: string[] = [];
  private sortedFor = "";
  private sortedAt = -Infinity;

  constructor(
    private readonly book: Book,
    starred: Iterable<string>,
  ) {
    this.starred = new Set(starred);
  }

  /** Returns the rows on the screen, and how many there are in all. `now` is in ms, as in the book. */
  window(view: BoardView, now: number): { total: number; from: number; rows: RowView[] } {
    const { scope, query, sort } = view;
    const key = [
      scope,
      query,
      sort.key,
      sort.descending,
      this.starred.size,
      this.book.rows.size,
      this.known.length,
    ].join("\n");
    if (key !== this.sortedFor || now - this.sortedAt >= resortMs) {
      this.order = this.sorted(view, now);
      this.sortedFor = key;
      this.sortedAt = now;
    }
    const from = Math.max(0, Math.min(view.from, this.order.length - view.count));
    const rows = this.order
      .slice(from, from + view.count)
      .map((symbol) => this.view(this.book.rows.get(symbol) ?? new Row(symbol), now));
    return { total: this.order.length, from, rows };
  }

  view(row: Row, now: number): RowView {
    return {
      symbol: row.symbol,
      starred: this.starred.has(row.symbol),
      last: row.last,
      bid: row.bid,
      ask: row.ask,
      change: changeOf(row.first, row.last),
      volume: row.volume,
      tradeAge: secondsSince(row.tradedAt, now),
      quoteAge: secondsSince(row.quotedAt, now),
      decimals: row.decimals,
      moves: row.moves,
      up: row.up,
      missed: row.missed,
      rejected: row.rejected,
    };
  }

  private sorted({ scope, query, sort }: BoardView, now: number): string[] {
    const wanted = query.trim().toUpperCase();
    let names: string[];
    if (wanted !== "") {
      const all = new Set([...this.starred, ...this.known, ...this.book.rows.keys()]);
      names = [...all].filter((name) => name.toUpperCase().includes(wanted));
    } else {
      names = scope === "starred" ? [...this.starred] : [...this.book.rows.keys()];
    }
    // Map keeps the node's own order, by name; only what is asked for is sorted.
    const value = values[sort.key];
    const sign = sort.descending ? -1 : 1;
    const keyed = names.map((name) => ({ name, value: value(this.book.rows.get(name), name, now) }));
    keyed.sort((a, b) => sign * compare(a.value, b.value) || compare(a.name, b.name));
    return keyed.map(({ name }) => name);
  }
}

type Value = number | string | undefined;

const values: Record<SortKey, (row: Row | undefined, name: string, now: number) => Value> = {
  symbol: (_row, name) => name,
  last: (row) => row?.last,
  change: (row) => changeOf(row?.first, row?.last),
  bid: (row) => row?.bid,
  ask: (row) => row?.ask,
  volume: (row) => row?.volume,
  age: (row, _name, now) => secondsSince(row?.tradedAt ?? row?.quotedAt, now),
};

function secondsSince(at: number | undefined, now: number): number | undefined {
  return at === undefined ? undefined : Math.max(0, Math.floor((now - at) / 1000));
}

/** What is not known comes first, so that a list sorted from the top down has it last. */
function compare(a: Value, b: Value): number {
  if (a === b) return 0;
  if (a === undefined) return -1;
  if (b === undefined) return 1;
  return a < b ? -1 : 1;
}
