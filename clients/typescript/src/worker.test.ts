import { beforeEach, describe, expect, it } from "vitest";
import { FakeSocket } from "../test/fake.js";
import type { MarketEvent } from "./events.js";
import { Client } from "./client.js";
import type { FromWorker, ToWorker, WorkerLike } from "./transport.js";
import { serveWorker, type WorkerScope } from "./worker.js";

/** Both ends of a worker: what is posted is copied, and waits until the test delivers it. */
class FakeWorker implements WorkerLike {
  onmessage: WorkerLike["onmessage"] = null;
  onerror: WorkerLike["onerror"] = null;
  terminated = false;
  readonly toPage: FromWorker[] = [];
  readonly toWorker: ToWorker[] = [];
  private readonly scope: WorkerScope = {
    onmessage: null,
    postMessage: (message) => this.toPage.push(structuredClone(message)),
  };

  constructor(backlogMax: number) {
    serveWorker({ backlogMax }, this.scope, FakeSocket as never);
  }

  postMessage(message: ToWorker): void {
    this.toWorker.push(structuredClone(message));
  }

  terminate(): void {
    this.terminated = true;
  }

  work(): void {
    for (const data of this.toWorker.splice(0)) this.scope.onmessage?.({ data });
  }

  /** Lets both sides run until neither has anything left. */
  run(): void {
    while (this.toWorker.length + this.toPage.length > 0) {
      this.work();
      const message = this.toPage.shift();
      if (message && !this.terminated) this.onmessage?.({ data: message });
    }
  }
}

let worker: FakeWorker;
let client: Client;
let seen: MarketEvent[];

beforeEach(() => {
  const start = () => (worker = new FakeWorker(10));
  seen = [];
  client = new Client("ws://node/v1/stream", { worker: start });
  client.subscribe({ channels: ["trade"], symbols: ["A"] }, (e) => seen.push(e));
  worker.run();
  FakeSocket.last.hello();
  worker.run();
  const [ask] = FakeSocket.last.take();
  FakeSocket.last.ack(ask!["id"]);
  worker.run();
});

const trade = (seq: number) => ["t", "A", seq, 5, 10, 1, "b", ""];
const say = (from: number, to: number) => {
  for (let seq = from; seq <= to; seq++) FakeSocket.last.say(trade(seq));
};

describe("a worker", () => {
  it("reads, decodes and sends for the client", () => {
    say(1, 3);
    worker.run();
    expect(seen).toMatchObject([1, 2, 3].map((seq) => ({ kind: "trade", seq, time: 5n })));
    client.close();
    expect(worker.terminated).toBe(true);
  });

  it("keeps what a busy page has no time for, and loses none silently", () => {
    say(1, 30);
    expect(worker.toPage).toHaveLength(4);
    worker.run();
    expect(seen).toMatchObject([
      ...[1, 2, 3, 4].map((seq) => ({ seq })),
      { kind: "gap", from: 5, to: 20, reason: "backlog" },
      ...[21, 22, 23, 24, 25, 26, 27, 28, 29, 30].map((seq) => ({ seq })),
    ]);
    client.close();
  });

  it("tells the end after all that came before it", () => {
    say(1, 6);
    FakeSocket.last.end(4408, "slow");
    worker.run();
    expect(seen).toHaveLength(6);
    expect(client.state).toMatchObject({ kind: "waiting", code: 4408, why: "slow (4408)" });
    expect(worker.terminated).toBe(true);
    client.close();
  });

  it("that fails is a connection that fails", () => {
    worker.onerror?.({ message: "no such file" } as ErrorEvent);
    expect(client.state).toMatchObject({ kind: "waiting", why: "the worker failed: no such file" });
    client.close();
  });
});
