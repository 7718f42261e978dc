// One connection, seen from above: decoded batches come out, requests go in. It reads the socket on
// this thread, or leaves that to a worker.

import { decodeBatch, encodeRequest, subprotocol, type Request, type WireEvent } from "./wire.js";

/** What this library needs of a WebSocket: a browser's, Node's own, or that of package `ws`. */
export interface WebSocketLike {
  binaryType: string;
  onmessage: ((message: { data: unknown }) => void) | null;
  onclose: ((close: { code: number; reason: string }) => void) | null;
  onerror: ((error: unknown) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(): void;
}

/** Makes a WebSocket that offers the subprotocol. */
export type WebSocketMaker = new (url: string, subprotocol: string) => unknown;

/** Who hears of a connection. Nothing is called any more after `closed`, nor after Transport.close. */
export interface Listener {
  /** `bytes` is the size of the message, or messages, before decoding. */
  batch(events: WireEvent[], bytes: number): void;
  /** `code` is the close code, where there was one. */
  closed(why: string, code?: number): void;
}

export interface Transport {
  send(request: Request): void;
  close(): void;
}

export type Dial = (url: string, listener: Listener) => Transport;

/** Dials on this thread. */
export function socketDial(make: WebSocketMaker): Dial {
  return (url, listener) => {
    const socket = new make(url, subprotocol) as WebSocketLike;
    socket.binaryType = "arraybuffer";
    const leave = () => {
      socket.onmessage = socket.onclose = null;
      socket.close();
    };
    socket.onerror = () => {}; // close follows; package ws throws where nobody listens
    socket.onmessage = ({ data }) => {
      let events: WireEvent[];
      try {
        if (!(data instanceof ArrayBuffer)) throw new TypeError("a text message, which was not asked for");
        events = decodeBatch(data);
      } catch (error) {
        leave();
        listener.closed(`unreadable message: ${String(error)}`);
        return;
      }
      listener.batch(events, data.byteLength);
    };
    socket.onclose = ({ code, reason }) => {
      leave();
      listener.closed(reason ? `${reason} (${code})` : `closed with code ${code}`, code);
    };
    return { send: (request) => socket.send(encodeRequest(request)), close: leave };
  };
}

/** What goes to a worker. `took` answers each batch message. */
export type ToWorker = { do: "open"; url: string } | { do: "send"; request: Request } | { do: "took" };

export type FromWorker =
  | { say: "batch"; events: WireEvent[]; bytes: number }
  | { say: "closed"; why: string; code: number | undefined };

/** What this library needs of a browser's Worker, whose own type is not there under Node. */
export interface WorkerLike {
  // `any` is what lets both a Worker and a test's stand-in be one of these.
  onmessage: ((message: any) => void) | null;
  onerror: ((error: any) => void) | null;
  postMessage(message: ToWorker): void;
  terminate(): void;
}

/** Dials in a worker that runs serveWorker: a new one for each connection, ended with it. */
export function workerDial(make: () => WorkerLike): Dial {
  return (url, listener) => {
    const worker = make();
    const leave = () => {
      worker.onmessage = worker.onerror = null;
      worker.terminate();
    };
    worker.onerror = (error: { message: string }) => {
      leave();
      listener.closed(`the worker failed: ${error.message}`);
    };
    worker.onmessage = ({ data }: { data: FromWorker }) => {
      if (data.say === "batch") {
        listener.batch(data.events, data.bytes);
        worker.postMessage({ do: "took" });
      } else {
        leave();
        listener.closed(data.why, data.code);
      }
    };
    worker.postMessage({ do: "open", url });
    return { send: (request) => worker.postMessage({ do: "send", request }), close: leave };
  };
}
