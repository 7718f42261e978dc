import type { Client, MarketEvent, Subscription } from "tickcast";
import type { Detail } from "../messages";
import type { Board } from "./board";
import type { Book, Row } from "./book";
import type { Past } from "./past";
import { Sales } from "./sales";

// A candle is looked at, not read: drawing it more often would cost the prices their frames.
const candlesEveryMs = 100;
// Who goes through the list with the arrow keys does not stop at each.
const pastAfterMs = 250;

/** The symbol that the page shows in full: its trades, its bars, and its candles from before the page. */
export class Chosen {
  symbol = "";
  private seconds = 1;
  private readonly sales = new Sales();
  private bars: Subscription<"bar"> | undefined;
  private sent: { version: number; last: number; at: number } | undefined; // of the candles
  private stays: ReturnType<typeof setTimeout> | undefined;

  /** `changed` is called when there is more to see than an event has brought. */
  constructor(
    private readonly book: Book,
    private readonly board: Board,
    private readonly past: Past,
    private readonly changed: () => void,
  ) {}

  /** Shows the symbol, with candles of so many seconds, by way of the client. */
  select(symbol: string, seconds: number, client: Client | undefined): void {
    this.sent = undefined;
    this.seconds = seconds;
    if (symbol === this.symbol) return;
    this.symbol = symbol;
    this.sales.clear();
    this.askBars(client);
    clearTimeout(this.stays);
    this.stays = undefined;
    this.askPast();
  }

  askBars(client: Client | undefined): void {
    const { symbol } = this;
    this.bars?.close();
    this.bars = undefined;
    if (symbol === "" || client?.state.kind === "closed") return;
    this.bars = client?.subscribe(
      { channels: ["bar"], symbols: [symbol] },
      {
        bar: (bar) => this.book.row(symbol).candles.bar(bar),
        snapshot: ({ last }) => last && this.book.row(symbol).candles.bar(last),
      },
    );
  }

  /** An event of the symbol is in the book. `now` is in Unix ms. */
  heard(event: MarketEvent, now: number): void {
    this.sales.add(event, now);
    this.askPast();
  }

  detail(now: number): Detail | undefined {
    const row = this.book.rows.get(this.symbol);
    if (!row) return undefined;
    return {
      row: this.board.view(row, now),
      bidSize: row.bidSize,
      askSize: row.askSize,
      high: row.high,
      low: row.low,
      sales: this.sales.newest(),
      candles: this.candles(row, now),
    };
  }

  private candles({ candles }: Row, now: number): Detail["candles"] {
    const { sent } = this;
    if (sent && (sent.version === candles.version || now - sent.at < candlesEveryMs)) return undefined;
    const list = candles.fold(this.seconds, sent?.last);
    this.sent = { version: candles.version, last: list.at(-1)?.time ?? 0, at: now };
    return { all: sent === undefined, list };
  }

  /** Has the chart begin before the page did, once. */
  private askPast(): void {
    const row = this.book.rows.get(this.symbol);
    if (row?.begun === undefined || row.whole || this.stays !== undefined || this.past.asking === row.symbol)
      return;
    const { begun } = row;
    this.stays = setTimeout(() => {
      this.stays = undefined;
      this.past.ask(row.symbol, begun, (trades) => {
        row.whole = true;
        row.candles.before(trades);
        if (row.symbol === this.symbol) this.sent = undefined; // all of them are sent anew
        this.changed();
      });
    }, pastAfterMs);
  }
}
