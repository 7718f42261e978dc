// A WebSocket whose other end is the test.

import { decode, encode } from "@msgpack/msgpack";
import type { WebSocketLike } from "../src/transport.js";

export function pack(value: unknown): ArrayBuffer {
  return encode(value).slice().buffer;
}

export class FakeSocket implements WebSocketLike {
  static all: FakeSocket[] = [];
  static get last(): FakeSocket {
    return FakeSocket.all.at(-1)!;
  }

  onmessage: WebSocketLike["onmessage"] = null;
  onclose: WebSocketLike["onclose"] = null;
  onerror: WebSocketLike["onerror"] = null;
  binaryType = "blob";
  closed = false;
  private sent: Record<string, unknown>[] = [];

  constructor(
    readonly url: string,
    readonly subprotocol: string,
  ) {
    FakeSocket.all.push(this);
  }

  send(bytes: Uint8Array): void {
    this.sent.push(decode(bytes) as Record<string, unknown>);
  }

  close(): void {
    this.closed = true;
  }

  /** What was sent since the last call. */
  take(): Record<string, unknown>[] {
    return this.sent.splice(0);
  }

  say(...events: unknown[]): void {
    this.onmessage?.({ data: pack(events) });
  }

  hello(more: object = {}): void {
    const hello = {
      protocol: 1,
      session: "s1",
      node: "n1",
      heartbeat_ms: 4000,
      max_symbols: 1000,
      auth: "none",
    };
    this.say(["hello", { ...hello, ...more }]);
  }

  /** Acknowledges a request; all of it where no rejections are named. */
  ack(id: unknown, rejected: Record<string, number> = {}): void {
    this.say(["ack", id, { channels: [], symbols: [], rejected }]);
  }

  /** The end of a connection that the other side, or the network, brings about. */
  end(code = 1006, reason = ""): void {
    this.onclose?.({ code, reason });
  }
}
