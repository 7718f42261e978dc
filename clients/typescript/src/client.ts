import { Desk } from "./desk.js";
import { TickcastError, type Channel, type Stat } from "./events.js";
import { Link, type State } from "./link.js";
import { Subscription, type Handler, type SubscribeOptions } from "./subscription.js";
import type { TokenSource } from "./token.js";
import { socketDial, workerDial, type WebSocketMaker, type WorkerLike } from "./transport.js";
import type { WireEvent } from "./wire.js";

export interface ConnectOptions {
  /**
   * What the server's question for credentials is answered with. A function is called for each connection
   * that asks, and again before a token with an `exp` claim ends. A string that is refused, or ends, ends the
   * client; so does the third refusal in a row of what a function returned.
   */
  token?: TokenSource;
  /** How often to be told {@link Stat}, in ms. Default 0: not at all. */
  statsEveryMs?: number;
  /** The WebSocket to use where there is no global one, as in Node 20: that of package `ws`. */
  webSocket?: WebSocketMaker;
  /** Starts a worker that reads and decodes: see `serveWorker` of `tickcast/worker`. Browsers only. */
  worker?: () => WorkerLike;
}

/** What a client tells beside its subscriptions. */
export interface ClientEvents {
  /** The connection changed. */
  state: State;
  stat: Stat;
  /** A message was handled. `bytes` is its size before decoding. */
  batch: { readonly events: number; readonly bytes: number };
  /**
   * The server refused something that belongs to no subscription, such as a token that was to replace one.
   * The connection lives on.
   */
  refused: TickcastError;
}

/** What a ping found out. */
export interface Pong {
  /** From sending to hearing the answer, in ms. */
  readonly roundTripMs: number;
  /** The server's clock when it answered, in Unix nanoseconds. */
  readonly serverTime: bigint;
}

/**
 * Begins to connect, and keeps at it until the client is closed. `url` is the server's `/v1/stream`; in a
 * browser it may be relative, and http and https stand for ws and wss. Throws TypeError for what is no URL.
 */
export function connect(url: string | URL, options: ConnectOptions = {}): Client {
  const absolute = new URL(url, globalThis.location?.href);
  absolute.protocol = absolute.protocol.replace(/^http/, "ws");
  return new Client(absolute.href, options);
}

/** One lasting connection and what is subscribed on it. Made by {@link connect}. */
export class Client {
  private readonly link: Link;
  private readonly desk: Desk;
  private readonly listeners: { [K in keyof ClientEvents]: Set<(event: ClientEvents[K]) => void> } = {
    state: new Set(),
    stat: new Set(),
    batch: new Set(),
    refused: new Set(),
  };
  private readonly pings = new Map<number, Ping>();

  /** @internal */
  constructor(
    url: string,
    private readonly options: ConnectOptions,
    random: () => number = Math.random,
  ) {
    const { worker, webSocket = globalThis.WebSocket } = options;
    if (!worker && !webSocket)
      throw new TickcastError("there is no WebSocket here: pass one as option webSocket");
    this.link = new Link(
      {
        url,
        dial: worker ? workerDial(worker) : socketDial(webSocket),
        token: options.token,
        random,
      },
      {
        stateChanged: (state) => this.stateChanged(state),
        batch: (events, bytes) => this.batch(events, bytes),
      },
    );
    this.desk = new Desk(this.link, random);
    this.link.start();
  }

  /** What the connection is doing. */
  get state(): State {
    return this.link.state;
  }

  /**
   * Asks for streams, now and after every reconnect. With a `handler` events are delivered to it as they
   * arrive; without one they wait to be iterated. Throws {@link TickcastError} where a subscription of this
   * client has one of the streams already, or the client is closed.
   */
  subscribe<C extends Channel>(options: SubscribeOptions<C>, handler?: Handler<C>): Subscription<C> {
    if (this.state.kind === "closed") throw new TickcastError("the client is closed");
    const sub = new Subscription<C>(this.desk, options, handler);
    this.desk.add(sub);
    return sub;
  }

  /** Calls `listener` from now on; returns how to end that. */
  on<K extends keyof ClientEvents>(event: K, listener: (event: ClientEvents[K]) => void): () => void {
    this.listeners[event].add(listener);
    return () => this.listeners[event].delete(listener);
  }

  /** Measures the way to the server and back. Rejects where the connection is not live, or ends meanwhile. */
  ping(): Promise<Pong> {
    return new Promise((resolve, reject) => {
      if (this.state.kind !== "live") return reject(new TickcastError("not connected"));
      const id = this.link.nextId();
      this.pings.set(id, { resolve, reject, sentAt: performance.now() });
      this.link.send({ op: "ping", id });
    });
  }

  /** Leaves the connection and makes a new one at once: nothing is lost that the server still has. */
  reconnect(): void {
    this.link.reconnect();
  }

  /**
   * Asks the token source again now, and shows what it returns in the place of the token in force: for a
   * program that learns of a new token, or of new rights, by itself. Only while live.
   */
  renewToken(): void {
    this.link.renew();
  }

  /** Ends the connection and all subscriptions, for good. */
  close(): void {
    this.link.close();
  }

  private stateChanged(state: State): void {
    if (state.kind === "live") {
      const { statsEveryMs = 0 } = this.options;
      if (statsEveryMs > 0) this.link.send({ op: "stats", id: this.link.nextId(), every_ms: statsEveryMs });
      this.desk.opened(state.hello.maxSymbols);
    } else {
      this.desk.lost();
      for (const { reject } of this.pings.values()) reject(new TickcastError("the connection ended"));
      this.pings.clear();
    }
    if (state.kind === "closed") this.desk.finish(state.error);
    this.tell("state", state);
  }

  private batch(events: WireEvent[], bytes: number): void {
    const fault = this.desk.receive(events);
    if (fault) this.tell("refused", fault);
    for (const event of events) {
      if (event.kind === "stat") this.tell("stat", event);
      else if (event.kind === "pong") this.answered(event.id, event.time);
    }
    this.tell("batch", { events: events.length, bytes });
  }

  private answered(id: number | undefined, serverTime: bigint): void {
    const ping = id === undefined ? undefined : this.pings.get(id);
    if (!ping) return;
    this.pings.delete(id!);
    ping.resolve({ roundTripMs: performance.now() - ping.sentAt, serverTime });
  }

  private tell<K extends keyof ClientEvents>(event: K, value: ClientEvents[K]): void {
    for (const listener of [...this.listeners[event]]) listener(value);
  }
}

interface Ping {
  readonly resolve: (pong: Pong) => void;
  readonly reject: (error: TickcastError) => void;
  readonly sentAt: number;
}
