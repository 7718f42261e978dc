// What the page knows of each symbol, and how events change it. No clock, no network, no document.

import { decimalsOf } from "./format";
import type { Aggregate, Gap, Quote, StreamEvent, Trade } from "./protocol";

/** One symbol. Prices and sizes are in the instrument's quoted units; undefined is not known (yet). */
export interface Row {
  readonly symbol: string;
  last: number | undefined;
  /** Of the last trade; an aggregate does not tell it. */
  size: number | undefined;
  /** 0 where the venue has none. */
  bid: number | undefined;
  ask: number | undefined;
  /** The first trade price seen: what change is measured against. */
  first: number | undefined;
  /** As many as the longest price seen, so that the column does not dance. */
  decimals: number;
  /** When the last live event arrived, in the caller's ms. A snapshot is old news and does not count. */
  heardAt: number | undefined;
  /** Numbers of trades that a gap stood for: as many trades at most. */
  missed: number;
  /** The error code of a symbol that the server rejected. */
  rejected: number | undefined;
  /** The last seq of the trade stream that was delivered or accounted for. */
  tradeSeq: bigint | undefined;
}

export class Watchlist {
  readonly rows = new Map<string, Row>();
  /** Trades, quotes and aggregates applied. */
  events = 0;
  gaps = 0;
  missed = 0;

  /** Adds an empty row; false where there is one already. */
  add(symbol: string): boolean {
    if (this.rows.has(symbol)) return false;
    this.rows.set(symbol, {
      symbol,
      last: undefined,
      size: undefined,
      bid: undefined,
      ask: undefined,
      first: undefined,
      decimals: 0,
      heardAt: undefined,
      missed: 0,
      rejected: undefined,
      tradeSeq: undefined,
    });
    return true;
  }

  remove(symbol: string): boolean {
    return this.rows.delete(symbol);
  }

  /** Returns the row that the event changed. Events of symbols that are not listed change none. */
  apply(event: StreamEvent, now: number): Row | undefined {
    const row = "symbol" in event ? this.rows.get(event.symbol) : undefined;
    if (!row) return undefined;
    switch (event.kind) {
      case "trade":
        this.advance(row, event.seq, event.seq);
        this.trade(row, event);
        this.heard(row, now);
        break;
      case "aggregate":
        this.advance(row, event.from, event.to);
        this.aggregate(row, event);
        this.heard(row, now);
        break;
      case "quote":
        this.quote(row, event);
        this.heard(row, now);
        break;
      case "gap":
        this.gap(row, event);
        break;
      case "snap":
        if (event.last?.kind === "quote") this.quote(row, event.last);
        if (event.last?.kind === "trade") {
          row.tradeSeq = event.last.seq; // the count begins here, whatever was seen before
          this.trade(row, event.last);
        }
        break;
    }
    return row;
  }

  private heard(row: Row, now: number): void {
    this.events++;
    row.heardAt = now;
  }

  private trade(row: Row, trade: Trade): void {
    this.price(row, trade.price);
    row.last = trade.price;
    row.size = trade.size;
    row.first ??= trade.price;
  }

  private aggregate(row: Row, a: Aggregate): void {
    this.price(row, a.open);
    this.price(row, a.close);
    row.last = a.close;
    row.size = undefined;
    row.first ??= a.open;
  }

  private quote(row: Row, quote: Quote): void {
    this.price(row, quote.bid);
    this.price(row, quote.ask);
    row.bid = quote.bid;
    row.ask = quote.ask;
  }

  private price(row: Row, price: number): void {
    row.decimals = Math.max(row.decimals, decimalsOf(price));
  }

  private gap(row: Row, gap: Gap): void {
    this.gaps++;
    if (gap.channel !== "trade") return;
    row.tradeSeq = gap.to;
    // "reset" is a range of numbers that were never used: nothing was traded under them.
    if (gap.reason !== "reset") this.miss(row, gap.from, gap.to);
  }

  // The server promises each trade once, or a gap in its place. A jump without one is a fault of its
  // own, and is shown as the loss it is.
  private advance(row: Row, from: bigint, to: bigint): void {
    if (row.tradeSeq !== undefined && from > row.tradeSeq + 1n) {
      this.gaps++;
      this.miss(row, row.tradeSeq + 1n, from - 1n);
    }
    row.tradeSeq = to;
  }

  private miss(row: Row, from: bigint, to: bigint): void {
    const n = Number(to - from + 1n);
    row.missed += n;
    this.missed += n;
  }
}
