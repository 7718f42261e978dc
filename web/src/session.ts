// Keeps what the node is asked for equal to what the watchlist holds: over additions, removals,
// refusals and reconnects.

import type { After, Request, StreamEvent } from "./protocol";
import { Watchlist, type Row } from "./watchlist";

const channels = ["trade", "quote"];
// A request may hold 64 KiB, a symbol 64 bytes, and each may be named twice (symbols, after).
const symbolsPerRequest = 200;
// Codes that say "not now" rather than "not you": asked again after a while.
const passing = new Set([4429, 4500, 4503]);
const askAgainMs = 2_000;

export class Session {
  readonly list = new Watchlist();
  /** Why the last request was refused as a whole; empty once one was accepted. */
  refused = "";

  private live = false;
  private nextId = 1;
  private readonly pending = new Map<number, string[]>(); // symbols of subscribes without an answer
  private again: ReturnType<typeof setTimeout> | undefined;
  private readonly waiting = new Set<string>(); // symbols to ask for again

  constructor(
    private readonly send: (request: Request) => void,
    private readonly random: () => number = Math.random,
  ) {}

  /** A connection said hello: everything is asked for anew. */
  opened(): void {
    this.live = true;
    this.subscribe([...this.list.rows.keys()]);
  }

  closed(): void {
    this.live = false;
    this.refused = "";
    this.pending.clear();
    this.waiting.clear();
    clearTimeout(this.again);
    this.again = undefined;
  }

  /** Returns the symbols that were not in the list yet. */
  add(symbols: string[]): string[] {
    const added = symbols.filter((s) => this.list.add(s));
    if (this.live) this.subscribe(added);
    return added;
  }

  remove(symbol: string): void {
    if (!this.list.remove(symbol) || !this.live) return;
    this.waiting.delete(symbol);
    this.send({ op: "unsubscribe", id: this.nextId++, channels, symbols: [symbol] });
  }

  /** Returns the rows that changed. `now` is when the events arrived, in ms. */
  receive(events: StreamEvent[], now: number): Set<Row> {
    const changed = new Set<Row>();
    const touch = (row: Row | undefined) => row && changed.add(row);
    for (const event of events) {
      if (event.kind === "ack") {
        if (this.pending.delete(event.id)) this.refused = "";
        for (const [symbol, code] of Object.entries(event.rejected)) touch(this.reject(symbol, code));
      } else if (event.kind === "err") {
        this.refused = `${event.message} (${event.code})`;
        const symbols = event.id === undefined ? [] : (this.pending.get(event.id) ?? []);
        if (event.id !== undefined) this.pending.delete(event.id);
        if (passing.has(event.code)) this.askAgain(symbols);
        else for (const symbol of symbols) touch(this.reject(symbol, event.code));
      } else {
        touch(this.list.apply(event, now));
      }
    }
    return changed;
  }

  private reject(symbol: string, code: number | undefined): Row | undefined {
    const row = this.list.rows.get(symbol);
    if (row) row.rejected = code;
    return row;
  }

  private subscribe(symbols: string[]): void {
    for (let i = 0; i < symbols.length; i += symbolsPerRequest) {
      const some = symbols.slice(i, i + symbolsPerRequest);
      const id = this.nextId++;
      for (const symbol of some) this.reject(symbol, undefined);
      this.pending.set(id, some);
      this.send({ op: "subscribe", id, channels, symbols: some, after: this.seen(some) });
    }
  }

  /** The trades after these are still owed; a symbol that is not in it gets a snapshot instead. */
  private seen(symbols: string[]): After {
    const trade: Record<string, bigint> = {};
    for (const symbol of symbols) {
      const seq = this.list.rows.get(symbol)?.tradeSeq;
      if (seq !== undefined) trade[symbol] = seq;
    }
    return { trade };
  }

  private askAgain(symbols: string[]): void {
    for (const symbol of symbols) this.waiting.add(symbol);
    // Half of it jitter: the pages of a node without data were all refused at one moment.
    this.again ??= setTimeout(
      () => {
        this.again = undefined;
        const due = [...this.waiting].filter((s) => this.list.rows.has(s));
        this.waiting.clear();
        this.subscribe(due);
      },
      askAgainMs * (0.5 + this.random()),
    );
  }
}
