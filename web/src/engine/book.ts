// What is known of each symbol, and how events change it. No clock, no network.

import type { Aggregate, Bar, Gap, MarketEvent, Quote, Trade } from "tickcast";
import { decimalsOf } from "../format";
import { Candles } from "./candles";

/** One symbol. Prices and sizes are in the instrument's quoted units; undefined is not known (yet). */
export class Row {
  last: number | undefined;
  /** 0 where the venue has none. */
  bid: number | undefined;
  ask: number | undefined;
  bidSize: number | undefined;
  askSize: number | undefined;
  /** The first trade price seen: what change is measured against. */
  first: number | undefined;
  high: number | undefined;
  low: number | undefined;
  /** Of the trades seen. */
  volume = 0;
  /** As many as the longest price seen, so that the column does not dance. */
  decimals = 0;
  moves = 0;
  up = true;
  /** When the last of its trades and quotes was read, in ms; that of a snapshot when it happened. */
  tradedAt: number | undefined;
  quotedAt: number | undefined;
  /** The last trade's number, or that of a gap behind it. */
  seq: number | undefined;
  /** The number of the first trade in `candles`, as they were begun here. */
  begun: number | undefined;
  /** Trades from before that have been asked for. */
  whole = false;
  /** Numbers of trades that a gap stood for: as many trades at most. */
  missed = 0;
  /** The code of a symbol that the node refuses. */
  rejected: number | undefined;
  readonly candles = new Candles();

  constructor(readonly symbol: string) {}
}

/** Every symbol that was heard of. */
export class Book {
  readonly rows = new Map<string, Row>();
  gaps = 0;
  missed = 0;

  row(symbol: string): Row {
    let row = this.rows.get(symbol);
    if (!row) this.rows.set(symbol, (row = new Row(symbol)));
    return row;
  }

  /** The last number of each stream of trades: what another connection goes on behind. */
  seqs(): Record<string, number> {
    const had = [...this.rows.values()].flatMap(({ symbol, seq }): [string, number][] =>
      seq === undefined ? [] : [[symbol, seq]],
    );
    return Object.fromEntries(had);
  }

  /** Returns the row that the event changed. `now` is when it was read, in ms, and `unixMs` by the node's clock. */
  apply(event: MarketEvent, now: number, unixMs: number): Row {
    const row = this.row(event.symbol);
    switch (event.kind) {
      case "trade":
        this.trade(row, event);
        row.volume += event.size;
        row.tradedAt = now;
        break;
      case "aggregate":
        this.aggregate(row, event);
        row.tradedAt = now;
        break;
      case "quote":
        this.quote(row, event);
        row.quotedAt = now;
        break;
      case "snapshot":
        row.rejected = undefined;
        this.snapshot(row, event.last, now, unixMs);
        break;
      case "gap":
        this.gap(row, event);
        break;
      case "rejected":
        row.rejected = event.code;
        break;
    }
    return row;
  }

  // Old news: it is as old as its own time says, however lately the page was opened.
  private snapshot(row: Row, last: Trade | Quote | Bar | undefined, now: number, unixMs: number): void {
    if (last === undefined) return;
    const at = now - Math.max(0, unixMs - Number(last.time) / 1e6);
    if (last.kind === "trade") {
      this.trade(row, last);
      row.tradedAt = at;
    } else if (last.kind === "quote") {
      this.quote(row, last);
      row.quotedAt = at;
    }
  }

  private trade(row: Row, { seq, price, size, time }: Trade): void {
    row.seq = seq;
    row.begun ??= seq;
    this.priced(row, price);
    row.high = Math.max(row.high ?? price, price);
    row.low = Math.min(row.low ?? price, price);
    row.candles.add(Number(time) / 1e9, price, price, price, price, size);
  }

  private aggregate(row: Row, a: Aggregate): void {
    row.seq = a.to;
    row.begun ??= a.from;
    row.first ??= a.open;
    this.priced(row, a.close);
    row.high = Math.max(row.high ?? a.high, a.high);
    row.low = Math.min(row.low ?? a.low, a.low);
    row.volume += a.volume;
    row.candles.add(Number(a.lastTime) / 1e9, a.open, a.high, a.low, a.close, a.volume);
  }

  private priced(row: Row, price: number): void {
    row.decimals = Math.max(row.decimals, decimalsOf(price));
    row.first ??= price;
    if (row.last !== undefined && row.last !== price) {
      row.moves++;
      row.up = price > row.last;
    }
    row.last = price;
  }

  private quote(row: Row, quote: Quote): void {
    row.decimals = Math.max(row.decimals, decimalsOf(quote.bid), decimalsOf(quote.ask));
    row.bid = quote.bid;
    row.ask = quote.ask;
    row.bidSize = quote.bidSize;
    row.askSize = quote.askSize;
  }

  private gap(row: Row, gap: Gap): void {
    if (gap.channel === "trade") row.seq = gap.to;
    // "reset" is a range of numbers that were never used: nothing was traded under them.
    if (gap.reason === "reset") return;
    this.gaps++;
    if (gap.channel !== "trade") return;
    const n = gap.to - gap.from + 1;
    row.missed += n;
    this.missed += n;
  }
}
