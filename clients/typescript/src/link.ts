import { Backoff } from "./backoff.js";
import { Code, TickcastError, type Hello } from "./events.js";
import { refreshAfter, refreshMinMs, type TokenSource } from "./token.js";
import type { Dial, Transport } from "./transport.js";
import type { Ack, Err, Request, WireEvent } from "./wire.js";

/** What a connection is doing. */
export type State =
  | { readonly kind: "connecting" }
  /** The server asked for a token, and has not accepted one yet. */
  | { readonly kind: "authenticating"; readonly hello: Hello }
  | { readonly kind: "live"; readonly hello: Hello }
  /** Between two attempts. `until` is in Unix ms; `code` is the server's, where it gave one. */
  | {
      readonly kind: "waiting";
      readonly until: number;
      readonly why: string;
      readonly code: number | undefined;
    }
  /** For good. `error` says why, unless the program itself closed the client. */
  | { readonly kind: "closed"; readonly error: TickcastError | undefined };

export interface LinkOwner {
  /** Called on every change; always "live" before the first market events of a connection. */
  stateChanged(state: State): void;
  /** Called with each message of a live connection, in order. */
  batch(events: WireEvent[], bytes: number): void;
}

export interface LinkConfig {
  url: string;
  dial: Dial;
  token: TokenSource | undefined;
  random: () => number;
}

const protocolVersion = 1;
// Covers the dial, the upgrade and the way of hello; after that the heartbeat sets the pace.
const helloWithinMs = 10_000;
// One heartbeat may be late and the next one on its way; then the link is dead.
const silentHeartbeats = 2.5;
// A program that was busy finds the timer and the messages due at once: the messages go first.
const graceMs = 100;
// A connection that ends sooner counts as one more failed attempt, or a node that accepts and
// drops in turn would be asked again without pause.
const stableAfterMs = 10_000;
// More than one, since a node may learn of an issuer's new key later than its clients.
const refusalsMax = 3;

/**
 * One lasting connection: a transport that is opened again whenever it ends or falls silent. It reads
 * hello, the answers to its own auth requests, and bye; all other events are its owner's affair.
 */
export class Link {
  state: State = { kind: "connecting" };

  private transport: Transport | undefined;
  private hello: Hello | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined; // the watchdog, or the wait for the next attempt
  private refresh: ReturnType<typeof setTimeout> | undefined;
  private heardAt = 0;
  private liveSince: number | undefined;
  private authId: number | undefined;
  private refusals = 0; // of tokens, in a row
  private lastId = 0;
  private readonly backoff: Backoff;

  constructor(
    private readonly config: LinkConfig,
    private readonly owner: LinkOwner,
  ) {
    this.backoff = new Backoff(config.random);
  }

  start(): void {
    this.dial();
  }

  /** An id that no other request of this link has. */
  nextId(): number {
    return ++this.lastId;
  }

  /** Sends while live, and drops the request otherwise: the owner asks anew on each "live". */
  send(request: Request): void {
    if (this.state.kind === "live") this.transport?.send(request);
  }

  /** Leaves the connection, if there is one, and makes the next attempt at once. */
  reconnect(): void {
    if (this.state.kind === "closed") return;
    this.leave();
    this.dial();
  }

  /** Shows a live connection the source's next token now. */
  renew(): void {
    if (this.state.kind === "live") void this.authenticate();
  }

  close(error?: TickcastError): void {
    if (this.state.kind === "closed") return;
    this.leave();
    this.change({ kind: "closed", error });
  }

  private change(state: State): void {
    this.state = state;
    this.owner.stateChanged(state);
  }

  private dial(): void {
    this.change({ kind: "connecting" });
    if (this.state.kind !== "connecting") return; // the owner closed it
    this.watch(helloWithinMs);
    this.transport = this.config.dial(this.config.url, {
      batch: (events, bytes) => this.read(events, bytes),
      closed: (why, code) => this.lost(why, code),
    });
  }

  private watch(silenceMs: number): void {
    clearTimeout(this.timer);
    this.heardAt = performance.now();
    // Not set anew with each message, of which there may be hundreds a second.
    const check = (waitMs: number, last: boolean) => {
      this.timer = setTimeout(() => {
        const left = silenceMs - (performance.now() - this.heardAt);
        if (left > 0) check(left, false);
        else if (!last) check(graceMs, true);
        else this.drop(`nothing heard for ${Math.round(silenceMs / 1000)} s`);
      }, waitMs);
    };
    check(silenceMs, false);
  }

  private read(events: WireEvent[], bytes: number): void {
    this.heardAt = performance.now();
    if (!this.hello) {
      const hello = events[0];
      if (hello?.kind !== "hello") return this.drop("the first event was not hello");
      this.welcome(hello);
    }
    const transport = this.transport;
    const answer = events.find((e) => (e.kind === "ack" || e.kind === "err") && e.id === this.authId);
    if (answer && this.authId !== undefined) this.answered(answer as Ack | Err);
    if (this.state.kind === "live") this.owner.batch(events, bytes);
    if (!transport || this.transport !== transport) return; // left meanwhile
    const bye = events.find((e) => e.kind === "bye");
    if (bye) this.lost(`${bye.reason} (${bye.code})`, bye.code, bye.retryAfterMs);
  }

  private welcome(hello: Hello): void {
    if (hello.protocol !== protocolVersion) {
      this.close(new TickcastError(`the server speaks protocol ${hello.protocol}, not ${protocolVersion}`));
      return;
    }
    this.hello = hello;
    this.watch(hello.heartbeatMs * silentHeartbeats);
    if (hello.auth === "required") {
      this.change({ kind: "authenticating", hello });
      void this.authenticate();
    } else {
      this.welcomed();
    }
  }

  private welcomed(): void {
    this.liveSince = performance.now();
    this.refusals = 0;
    if (this.hello) this.change({ kind: "live", hello: this.hello });
  }

  /** Sends a token: at the beginning, and again before it ends. */
  private async authenticate(): Promise<void> {
    const { token: source } = this.config;
    const transport = this.transport;
    let token: string;
    try {
      if (source === undefined) throw new TickcastError("the server asks for a token", Code.unauthenticated);
      token = typeof source === "string" ? source : await source();
    } catch (error) {
      if (this.transport !== transport) return;
      if (source === undefined) this.close(error as TickcastError);
      else if (this.liveSince === undefined) this.drop(`no token: ${String(error)}`);
      else this.renewIn(refreshMinMs); // the old token lasts as long as it does
      return;
    }
    if (!transport || this.transport !== transport) return;
    this.authId = this.nextId();
    transport.send({ op: "auth", id: this.authId, token });
    const afterMs = typeof source === "string" ? undefined : refreshAfter(token, Date.now());
    if (afterMs !== undefined) this.renewIn(afterMs);
  }

  private renewIn(ms: number): void {
    clearTimeout(this.refresh);
    this.refresh = setTimeout(() => void this.authenticate(), ms);
  }

  private answered(answer: Ack | Err): void {
    this.authId = undefined;
    if (answer.kind === "ack") {
      if (this.liveSince === undefined) this.welcomed();
      return;
    }
    const why = `${answer.message} (${answer.code})`;
    if (this.liveSince !== undefined) {
      this.renewIn(refreshMinMs); // the token before it stays in force; the owner tells of the refusal
    } else if (answer.code === Code.unauthenticated && ++this.refusals >= refusalsMax) {
      this.close(new TickcastError(why, answer.code));
    } else {
      this.lost(why, answer.code);
    }
  }

  /** The connection ended, or will: a token that cannot be replaced ends the link with it. */
  private lost(why: string, code?: number, retryAfterMs = 0): void {
    if (code === Code.unauthenticated && typeof this.config.token !== "function") {
      this.close(new TickcastError(why, code));
    } else {
      this.drop(why, code, retryAfterMs);
    }
  }

  private drop(why: string, code?: number, retryAfterMs = 0): void {
    if (this.liveSince !== undefined && performance.now() - this.liveSince >= stableAfterMs)
      this.backoff.reset();
    this.leave();
    const waitMs = this.backoff.next(retryAfterMs);
    this.timer = setTimeout(() => this.dial(), waitMs);
    this.change({ kind: "waiting", until: Date.now() + waitMs, why, code });
  }

  /** Gives up the transport without waiting for its close: on a dead link that takes minutes. */
  private leave(): void {
    clearTimeout(this.timer);
    clearTimeout(this.refresh);
    this.transport?.close();
    this.transport = this.hello = this.liveSince = this.authId = undefined;
  }
}
