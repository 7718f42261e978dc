import { Backlog } from "./backlog.js";
import { socketDial, type FromWorker, type ToWorker, type Transport } from "./transport.js";
import type { WireEvent } from "./wire.js";

// Messages on their way to a page that has not taken them yet. Beyond these, events wait here, where
// they can be counted: the browser's own queue between two threads has no bound.
const onTheWayMax = 4;

export interface WorkerOptions {
  /** How many events may wait for a page that is busy. Default 65,536; the oldest become `gap` events. */
  backlogMax?: number;
}

/** What this library needs of a worker's global scope. */
export interface WorkerScope {
  onmessage: ((message: { data: any }) => void) | null;
  postMessage(message: FromWorker): void;
}

/**
 * Makes a worker read and decode for a client whose option `worker` starts it. It is all that the
 * worker's own file has to call. `scope` is for tests; it is the worker's own `self`.
 */
export function serveWorker(
  options: WorkerOptions = {},
  scope = globalThis as unknown as WorkerScope,
  make = globalThis.WebSocket,
): void {
  const waiting = new Backlog<WireEvent>(options.backlogMax ?? 65_536);
  let bytes = 0;
  let onTheWay = 0;
  let end: FromWorker | undefined; // comes behind what waits
  let socket: Transport | undefined;

  const flush = () => {
    if (onTheWay >= onTheWayMax) return;
    if (!waiting.empty) {
      const events: WireEvent[] = [];
      for (let event = waiting.shift(); event; event = waiting.shift()) events.push(event);
      onTheWay++;
      scope.postMessage({ say: "batch", events, bytes });
      bytes = 0;
    }
    if (end) scope.postMessage(end);
    end = undefined;
  };

  scope.onmessage = ({ data }: { data: ToWorker }) => {
    switch (data.do) {
      case "open":
        socket = socketDial(make)(data.url, {
          batch: (events, size) => {
            for (const event of events) waiting.push(event);
            bytes += size;
            flush();
          },
          closed: (why, code) => {
            end = { say: "closed", why, code };
            flush();
          },
        });
        break;
      case "send":
        socket?.send(data.request);
        break;
      case "took":
        onTheWay--;
        flush();
        break;
    }
  };
}
