import { byPolicy, split } from "./asks.js";
import { Code, TickcastError, type Channel } from "./events.js";
import { rangeOf } from "./seqs.js";
import type { Subscriber, SubscriptionOwner } from "./subscription.js";
import type { After, MarketWire, Request, WireEvent } from "./wire.js";

/** What the desk needs of the connection. Requests are dropped while it is not live. */
export interface Wire {
  nextId(): number;
  send(request: Request): void;
}

const everything = "*";
const channelNames = ["trade", "quote", "bar"] as const;
// "Not now" rather than "not you": asked again after a while.
const passing = new Set<number>([Code.tooMany, Code.serverFault, Code.noUpstream]);
const less = new Set<number>([Code.forbidden, Code.tooManySymbols]);
const askAgainMs = 2_000;

/** One stream that somebody wants, or a channel's wildcard. */
interface Wanted {
  readonly sub: Subscriber;
  /** The last seq delivered, or accounted for by a gap. */
  last: number | undefined;
  /** Whether this connection has acknowledged it. What comes before is left over from an earlier request. */
  live: boolean;
  /** The code last told, so that a refusal that is repeated is told once. */
  code: number | undefined;
}

/** A request without an answer. */
interface Ask {
  readonly sub: Subscriber;
  readonly channels: readonly Channel[];
  readonly symbols: readonly string[];
}

/**
 * Keeps what the server is asked for equal to what the subscriptions want: over additions, removals,
 * refusals and reconnects. It hands events to their owners and keeps the books of trade streams.
 */
export class Desk implements SubscriptionOwner {
  private readonly streams: Record<Channel, Map<string, Wanted>> = {
    trade: new Map(),
    quote: new Map(),
    bar: new Map(),
  };
  private readonly subs = new Set<Subscriber>();
  private readonly asked = new Map<number, Ask>();
  private refused: Ask[] = [];
  private again: ReturnType<typeof setTimeout> | undefined;
  private maxSymbols: number | undefined; // undefined while there is no connection

  constructor(
    private readonly wire: Wire,
    private readonly random: () => number,
  ) {}

  /** A connection is live: everything is asked for anew. */
  opened(maxSymbols: number): void {
    this.maxSymbols = maxSymbols;
    for (const sub of this.subs) this.ask(sub, namesOf(sub));
  }

  /** The connection is gone. The books stay. */
  lost(): void {
    this.maxSymbols = undefined;
    this.asked.clear();
    this.refused = [];
    clearTimeout(this.again);
    this.again = undefined;
    for (const channel of channelNames)
      for (const stream of this.streams[channel].values()) stream.live = false;
  }

  /** Nothing comes any more. */
  finish(error: TickcastError | undefined): void {
    this.lost();
    for (const sub of this.subs) sub.finish(error);
    this.subs.clear();
  }

  add(sub: Subscriber): void {
    this.added(sub, namesOf(sub));
    this.subs.add(sub);
  }

  added(sub: Subscriber, symbols: string[]): void {
    // Both passes, so that nothing is wanted of what is refused as a whole.
    for (const channel of sub.channels) for (const symbol of symbols) this.checkFree(channel, symbol);
    for (const channel of sub.channels) {
      const begin = new Map(Object.entries(sub.begin[channel] ?? {}));
      // A wildcard goes on behind all that it had; a name only behind its own.
      const names = symbols[0] === everything ? new Set([...symbols, ...begin.keys()]) : symbols;
      for (const symbol of names) this.streams[channel].set(symbol, wanted(sub, begin.get(symbol)));
    }
    this.ask(sub, symbols);
  }

  removed(sub: Subscriber, symbols: string[]): void {
    for (const channel of sub.channels) {
      if (symbols[0] === everything) this.streams[channel].clear();
      else for (const symbol of symbols) this.streams[channel].delete(symbol);
    }
    if (sub.closed) this.subs.delete(sub);
    for (const some of split(symbols, () => 0)) {
      this.wire.send({ op: "unsubscribe", id: this.wire.nextId(), channels: sub.channels, symbols: some });
    }
  }

  updated(sub: Subscriber): void {
    this.ask(sub, namesOf(sub));
  }

  /** Takes the events of one message. Returns a refusal that belongs to no subscription. */
  receive(events: readonly WireEvent[]): TickcastError | undefined {
    let fault: TickcastError | undefined;
    for (const event of events) {
      switch (event.kind) {
        case "ack":
          this.acknowledged(event.id, event.rejected);
          break;
        case "err":
          if (!this.refuse(event.id, event.code, event.message))
            fault = new TickcastError(event.message, event.code);
          // A new token allows less. The node tells in words which streams that ends; the answers to asking
          // for all once more name them one by one, and change nothing about the others.
          if (event.id === undefined && less.has(event.code) && this.maxSymbols !== undefined)
            this.opened(this.maxSymbols);
          break;
        case "trade":
        case "quote":
        case "bar":
        case "aggregate":
        case "snapshot":
        case "gap":
          this.deliver(event);
          break;
      }
    }
    return fault;
  }

  private checkFree(channel: Channel, symbol: string): void {
    const streams = this.streams[channel];
    const all = streams.has(everything);
    if (streams.has(symbol) || all || (symbol === everything && streams.size > 0)) {
      const other = all ? "*" : symbol === everything ? "a symbol" : symbol;
      throw new TickcastError(`another subscription of this client has ${channel}s of ${other}`);
    }
  }

  private ask(sub: Subscriber, symbols: readonly string[]): void {
    if (this.maxSymbols === undefined) return;
    for (const [policy, channels] of byPolicy(sub.channels, sub.delivery.policy)) {
      const resumed = channels.filter(
        (channel) => channel === "trade" || (policy ?? "conflate") !== "conflate",
      );
      const seqs = (symbol: string) =>
        resumed.filter((channel) => this.streams[channel].get(symbol)?.last !== undefined).length;
      const send = (some: readonly string[], after: After) => {
        const id = this.wire.nextId();
        this.asked.set(id, { sub, channels, symbols: some });
        this.wire.send({
          op: "subscribe",
          id,
          channels,
          symbols: some,
          ...(policy !== undefined && { policy }),
          ...(sub.delivery.intervalMs !== undefined && { interval_ms: sub.delivery.intervalMs }),
          after,
        });
      };
      if (symbols[0] !== everything) {
        for (const some of split(symbols, seqs)) send(some, this.after(resumed, some));
        continue;
      }
      // What does not fit beside the wildcard is named before it; what cannot be named begins anew.
      const known = new Set(resumed.flatMap((channel) => [...this.streams[channel].keys()]));
      known.delete(everything);
      const [last = [], ...named] = split(
        [...known].filter((symbol) => seqs(symbol) > 0),
        seqs,
      );
      let room = this.maxSymbols;
      for (const some of named) {
        const fit = some.slice(0, room);
        room -= fit.length;
        if (fit.length > 0) send(fit, this.after(resumed, fit));
      }
      send([everything], this.after(resumed, last));
    }
  }

  private after(channels: readonly Channel[], symbols: readonly string[]): After {
    const after: After = {};
    for (const channel of channels) {
      const had = symbols.flatMap((symbol): [string, number][] => {
        const last = this.streams[channel].get(symbol)?.last;
        return last === undefined ? [] : [[symbol, last]];
      });
      if (had.length > 0) after[channel] = Object.fromEntries(had);
    }
    return after;
  }

  private acknowledged(id: number | undefined, rejected: ReadonlyMap<string, number>): void {
    const ask = this.take(id);
    if (!ask) return;
    for (const channel of ask.channels) {
      for (const symbol of ask.symbols) {
        const stream = this.streams[channel].get(symbol);
        if (!stream || stream.sub !== ask.sub || rejected.has(symbol)) continue;
        stream.live = true;
        stream.code = undefined;
        if (symbol !== everything) continue;
        for (const each of this.streams[channel].values()) each.live = true;
      }
    }
    for (const [symbol, code] of rejected) this.reject(ask, [symbol], code, undefined);
  }

  private refuse(id: number | undefined, code: number, message: string): boolean {
    const ask = this.take(id);
    if (ask) this.reject(ask, ask.symbols, code, message);
    return ask !== undefined;
  }

  private take(id: number | undefined): Ask | undefined {
    const ask = id === undefined ? undefined : this.asked.get(id);
    if (id !== undefined) this.asked.delete(id);
    return ask;
  }

  private reject(ask: Ask, symbols: readonly string[], code: number, message: string | undefined): void {
    const { sub, channels } = ask;
    const told = new Set<string>();
    for (const channel of channels) {
      for (const symbol of symbols) {
        const stream = this.streams[channel].get(symbol);
        // A name that was only asked for because a wildcard had too many begins anew under it.
        if (stream?.sub !== sub || (sub.symbols === "*" && symbol !== everything)) continue;
        if (stream.code !== code) told.add(symbol);
        stream.code = code;
      }
    }
    for (const symbol of told) sub.deliver({ kind: "rejected", symbol, code, message });
    if (!passing.has(code)) return;
    this.refused.push({ sub, channels, symbols });
    // Half of it jitter: the clients of a node without data were all refused at one moment.
    this.again ??= setTimeout(() => this.askAgain(), askAgainMs * (0.5 + this.random()));
  }

  private askAgain(): void {
    this.again = undefined;
    const names = new Map<Subscriber, Set<string>>();
    for (const { sub, symbols } of this.refused) {
      const wanted = symbols.filter((symbol) => this.streams[sub.channels[0]!].get(symbol)?.sub === sub);
      names.set(sub, new Set([...(names.get(sub) ?? []), ...wanted]));
    }
    this.refused = [];
    for (const [sub, symbols] of names) if (symbols.size > 0) this.ask(sub, [...symbols]);
  }

  private deliver(event: MarketWire): void {
    const range = rangeOf(event)!;
    const { channel, symbol, from, to } = range;
    const streams = this.streams[channel];
    let stream = streams.get(symbol);
    if (!stream) {
      const all = streams.get(everything);
      if (!all?.live) return;
      stream = wanted(all.sub);
      stream.live = true;
      streams.set(symbol, stream);
    }
    if (!stream.live) return;
    const { sub, last } = stream;
    // The server promises each trade once, or a gap in its place. A jump without one is told as well.
    if (channel === "trade" && last !== undefined && from <= to && from > last + 1) {
      sub.deliver({ kind: "gap", channel, symbol, from: last + 1, to: from - 1, reason: "unexplained" });
    }
    if (from <= to) stream.last = to;
    sub.deliver(event);
  }
}

function namesOf(sub: Subscriber): string[] {
  return sub.symbols === "*" ? [everything] : [...sub.symbols];
}

function wanted(sub: Subscriber, last?: number): Wanted {
  return { sub, last, live: false, code: undefined };
}
