import { Backlog } from "./backlog.js";
import { TickcastError, type Channel, type MarketEvent, type Rejected } from "./events.js";
import type { After, MarketWire } from "./wire.js";

/** What may give way on the server when this client cannot keep up with trades. */
export type TradePolicy = "drop_oldest" | "drop_newest" | "aggregate" | "disconnect";

/** The same for quotes and bars, of which mostly the latest counts. */
export type QuotePolicy = "conflate" | "drop_oldest" | "drop_newest" | "disconnect";

/** How the streams of a subscription are sent. What is left out is the server's own choice. */
export interface DeliveryOptions {
  /**
   * 0 to 60,000. Quotes and bars come at most once per stream in so many ms. Trades are held back by at
   * most as long, and all come; under policy `aggregate` as one {@link Aggregate} per stream.
   */
  intervalMs?: number;
  policy?: { trade?: TradePolicy; quote?: QuotePolicy; bar?: QuotePolicy };
}

export interface SubscribeOptions<C extends Channel> extends DeliveryOptions {
  channels: readonly C[];
  /** Exact names, or `"*"` for all that the token allows, also those that appear later. */
  symbols: readonly string[] | "*";
  /**
   * The last seqs that the program has, by channel and symbol, from an earlier run. Those streams go on
   * behind them, without a snapshot; what the server no longer holds comes as a {@link Gap}. Quotes and
   * bars begin with a snapshot all the same, unless their policy keeps each.
   */
  after?: { readonly [K in C]?: Readonly<Record<string, number>> };
  /**
   * How many events may wait for `for await`. Beyond, the oldest become {@link Gap} events of reason
   * `backlog`. Default 65,536. It has no meaning with a handler, which is called at once.
   */
  backlogMax?: number;
}

/** One function for everything, or one for each kind of event; kinds without one are passed over. */
export type Handler<C extends Channel> =
  | ((event: MarketEvent<C>) => void)
  | { [K in MarketEvent<C>["kind"]]?: (event: Extract<MarketEvent<C>, { kind: K }>) => void };

/** A subscription as its client sees it, whatever its channels. */
export interface Subscriber {
  readonly channels: readonly Channel[];
  readonly symbols: ReadonlySet<string> | "*";
  readonly delivery: Readonly<DeliveryOptions>;
  readonly begin: After;
  readonly closed: boolean;
  deliver(event: MarketWire | Rejected): void;
  finish(error: TickcastError | undefined): void;
}

/** What a subscription asks of its client. */
export interface SubscriptionOwner {
  added(sub: Subscriber, symbols: string[]): void;
  removed(sub: Subscriber, symbols: string[]): void;
  updated(sub: Subscriber): void;
}

/**
 * Streams that are wanted until {@link close}, over all reconnects. Made by `client.subscribe`. Without a
 * handler it is iterated, once: `for await (const event of subscription)`. Leaving the loop closes it; the
 * loop ends when the client is closed, and throws {@link TickcastError} where the client ended by a fault.
 */
export class Subscription<C extends Channel = Channel> implements Subscriber, AsyncIterable<MarketEvent<C>> {
  readonly channels: readonly C[];
  /** @internal What its streams begin behind. */
  readonly begin: After;
  private readonly backlog: Backlog<MarketWire | Rejected> | undefined;
  private names: Set<string> | undefined; // undefined for "*"
  private options: DeliveryOptions;
  private end: { error: TickcastError | undefined } | undefined;
  private wake: (() => void) | undefined;
  private iterated = false;

  /** @internal */
  constructor(
    private readonly owner: SubscriptionOwner,
    { channels, symbols, backlogMax, after, ...options }: SubscribeOptions<C>,
    private readonly handler: Handler<C> | undefined,
  ) {
    this.channels = [...new Set(channels)];
    this.names = symbols === "*" ? undefined : new Set(symbols);
    this.options = options;
    this.begin = after ?? {};
    if (!handler) this.backlog = new Backlog<MarketWire | Rejected>(backlogMax ?? 65_536);
  }

  /** The names asked for, or `"*"`. */
  get symbols(): ReadonlySet<string> | "*" {
    return this.names ?? "*";
  }

  /** How its streams are sent. */
  get delivery(): Readonly<DeliveryOptions> {
    return this.options;
  }

  /** Whether it is over: closed, or its client was. */
  get closed(): boolean {
    return this.end !== undefined;
  }

  /** Asks for more symbols. Those that it has already are passed over. */
  add(symbols: Iterable<string>): void {
    const names = this.named();
    const fresh = [...new Set(symbols)].filter((symbol) => !names.has(symbol));
    if (this.end || fresh.length === 0) return;
    this.owner.added(this, fresh);
    for (const symbol of fresh) names.add(symbol);
  }

  /** Ends symbols: nothing of them is delivered any more, but for what waits to be iterated. */
  remove(symbols: Iterable<string>): void {
    const names = this.named();
    const gone = [...new Set(symbols)].filter((symbol) => names.delete(symbol));
    if (!this.end && gone.length > 0) this.owner.removed(this, gone);
  }

  /** Changes how all its streams are sent; options left out become the server's own choice. */
  update(options: DeliveryOptions): void {
    this.options = options;
    if (!this.end) this.owner.updated(this);
  }

  /** Ends the subscription. An iteration ends when it has had what waits. */
  close(): void {
    if (this.end) return;
    this.finish(undefined);
    this.owner.removed(this, this.names ? [...this.names] : ["*"]);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<MarketEvent<C>, void, undefined> {
    if (!this.backlog) throw new TickcastError("a subscription with a handler cannot be iterated");
    if (this.iterated) throw new TickcastError("a subscription can be iterated once");
    this.iterated = true;
    try {
      for (;;) {
        const event = this.backlog.shift();
        if (event) {
          yield event as MarketEvent<C>;
        } else if (this.end) {
          if (this.end.error) throw this.end.error;
          return;
        } else {
          await new Promise<void>((resolve) => (this.wake = resolve));
        }
      }
    } finally {
      this.close();
    }
  }

  /** @internal Hands on one event, at once or to whoever iterates. */
  deliver(event: MarketWire | Rejected): void {
    if (this.end) return;
    if (this.backlog) {
      this.backlog.push(event);
      this.wake?.();
      return;
    }
    const { handler } = this;
    const one = typeof handler === "function" ? handler : handler?.[event.kind as keyof typeof handler];
    try {
      (one as ((event: MarketWire | Rejected) => void) | undefined)?.(event);
    } catch (error) {
      // The program's own fault: it must not cost the connection, nor pass unseen.
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  /** @internal Nothing will be delivered any more. */
  finish(error: TickcastError | undefined): void {
    this.end ??= { error };
    this.wake?.();
  }

  private named(): Set<string> {
    if (!this.names) throw new TickcastError('a subscription to "*" has every symbol');
    return this.names;
  }
}
