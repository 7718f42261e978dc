// One lasting link to a node: a WebSocket that is opened again whenever it ends or falls silent.
// It reads hello, heartbeats and bye; the meaning of all other events is its owner's affair.

import { Backoff } from "./backoff";
import {
  decodeBatch,
  encodeRequest,
  subprotocol,
  type Hello,
  type Request,
  type StreamEvent,
} from "./protocol";

export type LinkState =
  | { kind: "connecting" }
  | { kind: "live"; hello: Hello }
  /** `at` is when the next attempt begins, in ms of performance.now(). */
  | { kind: "reconnecting"; at: number; why: string };

export interface LinkOwner {
  /** Called on every change; always "live" before the first events of a connection. */
  stateChanged(state: LinkState): void;
  received(events: StreamEvent[]): void;
}

// Covers the dial, the upgrade and the way of hello; after that the heartbeat sets the pace.
const helloWithinMs = 10_000;
// One heartbeat may be late and the next one on its way; then the link is dead.
const silentHeartbeats = 2.5;
// A connection that ends sooner counts as one more failed attempt, or a node that accepts and
// drops in turn would be asked again without pause.
const stableAfterMs = 10_000;

export class Link {
  private socket: WebSocket | undefined;
  private timer: ReturnType<typeof setTimeout> | undefined; // the watchdog, or the wait for the next attempt
  private hello: Hello | undefined;
  private liveSince = 0;
  private readonly backoff: Backoff;

  constructor(
    private readonly url: string,
    private readonly owner: LinkOwner,
    random: () => number = Math.random,
  ) {
    this.backoff = new Backoff(random);
  }

  /** Begins the first attempt. Call once; the link then lasts as long as the page. */
  start(): void {
    this.owner.stateChanged({ kind: "connecting" });
    this.dial();
  }

  /** Sends while live, and drops the request otherwise: the owner asks anew on each "live". */
  send(request: Request): void {
    if (this.hello) this.socket?.send(encodeRequest(request));
  }

  private dial(): void {
    const socket = new WebSocket(this.url, subprotocol);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (message) => this.read(message.data);
    socket.onclose = (close) => this.drop(close.reason || `closed with code ${close.code}`);
    this.socket = socket;
    this.watch(helloWithinMs);
  }

  private watch(silenceMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(
      () => this.drop(`nothing heard for ${Math.round(silenceMs / 1000)} s`),
      silenceMs,
    );
  }

  private read(data: unknown): void {
    let events: StreamEvent[];
    try {
      if (!(data instanceof ArrayBuffer)) throw new TypeError("a text message, which was not asked for");
      events = decodeBatch(data);
    } catch (error) {
      this.drop(`unreadable message: ${String(error)}`);
      return;
    }
    const first = events[0];
    if (!this.hello) {
      if (first?.kind !== "hello") {
        this.drop("the first event was not hello");
        return;
      }
      this.hello = first;
      this.liveSince = performance.now();
      this.owner.stateChanged({ kind: "live", hello: first });
    }
    this.watch(this.hello.heartbeatMs * silentHeartbeats);
    this.owner.received(events);
    const bye = events.find((e) => e.kind === "bye");
    if (bye) this.drop(`${bye.reason} (${bye.code})`, bye.retryAfterMs);
  }

  /** Leaves the socket, without waiting for its close event: on a dead link that takes minutes. */
  private drop(why: string, retryAfterMs = 0): void {
    const socket = this.socket;
    if (!socket) return;
    this.socket = undefined;
    socket.onmessage = socket.onclose = null;
    socket.close();
    if (this.hello && performance.now() - this.liveSince >= stableAfterMs) this.backoff.reset();
    this.hello = undefined;
    const waitMs = this.backoff.next(retryAfterMs);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.dial(), waitMs);
    this.owner.stateChanged({ kind: "reconnecting", at: performance.now() + waitMs, why });
  }
}
