// The library against a real node, over real sockets.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import WebSocket from "ws";
import {
  connect,
  type Client,
  type ConnectOptions,
  type MarketEvent,
  type State,
  type Trade,
} from "../src/index.js";
import { Relay, startNode, type TestNode } from "./node.js";

let node: TestNode;

beforeAll(async () => {
  node = await startNode();
});

afterAll(async () => {
  await node.stop();
});

/** Runs with a client that is closed at the end. */
async function withClient(url: string, run: (client: Client) => Promise<void>, more: ConnectOptions = {}) {
  const client = connect(url, { webSocket: WebSocket, ...more });
  try {
    await run(client);
  } finally {
    client.close();
  }
}

const until = (client: Client, holds: (state: State) => boolean) =>
  new Promise<State>((resolve) => {
    if (holds(client.state)) return resolve(client.state);
    const off = client.on("state", (state) => {
      if (!holds(state)) return;
      off();
      resolve(state);
    });
  });

describe("a real node", () => {
  it("sends snapshots and then every trade", () =>
    withClient(node.url, async (client) => {
      const symbols = ["BTC/USD", "AAPL", "BRK.B"];
      const last = new Map<string, number>();
      let trades = 0;
      for await (const event of client.subscribe({ channels: ["trade"], symbols })) {
        if (event.kind === "snapshot" && event.last) last.set(event.symbol, event.last.seq);
        if (event.kind !== "trade") continue;
        const before = last.get(event.symbol);
        if (before !== undefined) expect(event.seq).toBe(before + 1);
        last.set(event.symbol, event.seq);
        if (++trades === 100) break;
      }
      expect(client.state).toMatchObject({ kind: "live", hello: { protocol: 1, auth: "none" } });
    }));

  it("tells which symbol it does not know", () =>
    withClient(node.url, async (client) => {
      for await (const event of client.subscribe({ channels: ["quote"], symbols: ["NOPE"] })) {
        expect(event).toMatchObject({ kind: "rejected", symbol: "NOPE", code: 4404 });
        break;
      }
    }));

  it("sums trades up, sends bars, and speaks of its clock and of this client", () =>
    withClient(
      node.url,
      async (client) => {
        const stat = new Promise((resolve) => client.on("stat", resolve));
        await until(client, (s) => s.kind === "live");
        const { serverTime, roundTripMs } = await client.ping();
        expect(serverTime).toBeGreaterThan(1_700_000_000_000_000_000n);
        expect(roundTripMs).toBeGreaterThan(0);
        expect(await stat).toMatchObject({ kind: "stat", slow: false });

        const wanted = new Set(["aggregate", "bar", "quote"]);
        const sub = client.subscribe({
          channels: ["trade", "bar", "quote"],
          symbols: "*",
          intervalMs: 200,
          policy: { trade: "aggregate" },
        });
        for await (const event of sub) {
          if (event.kind === "aggregate") expect(event.count).toBe(event.to - event.from + 1);
          wanted.delete(event.kind);
          if (wanted.size === 0) break;
        }
      },
      { statsEveryMs: 50 },
    ));

  it("says goodbye when it is stopped, and how long to stay away", async () => {
    const other = await startNode("--drain", "0s");
    await withClient(other.url, async (client) => {
      await until(client, (s) => s.kind === "live");
      const goodbye = until(client, (s) => s.kind === "waiting");
      await other.stop();
      const state = await goodbye;
      if (state.kind !== "waiting") throw new Error(state.kind);
      expect(state.code).toBe(1012);
      expect(state.until - Date.now()).toBeGreaterThan(500);
    });
  });
});

describe("a link that is cut", () => {
  it("loses nothing that is not told, and doubles nothing", async () => {
    const relay = new Relay(node.port);
    const url = await relay.listen();
    const whole = new Map<number, Trade>(); // by seq, what an undisturbed client saw
    const cut: MarketEvent<"trade">[] = [];
    const symbols = ["BTC/USD"];
    try {
      await withClient(node.url, (beside) =>
        withClient(url, async (client) => {
          beside.subscribe({ channels: ["trade"], symbols }, { trade: (t) => whole.set(t.seq, t) });
          client.subscribe({ channels: ["trade"], symbols }, (event) => cut.push(event));
          for (let cuts = 0; cuts < 3; cuts++) {
            const seen = cut.length;
            await until(client, (s) => s.kind === "live");
            await expect.poll(() => cut.length - seen, { timeout: 20_000 }).toBeGreaterThan(30);
            relay.cut();
            await until(client, (s) => s.kind === "waiting");
          }
          await until(client, (s) => s.kind === "live");
          const seen = cut.length;
          await expect.poll(() => cut.length - seen, { timeout: 20_000 }).toBeGreaterThan(5);
        }),
      );
    } finally {
      await relay.close();
    }

    let last: number | undefined;
    for (const event of cut) {
      if (event.kind === "snapshot") {
        expect(last).toBeUndefined(); // a resumed stream gets none
        last = event.last?.seq;
        continue;
      }
      if (event.kind !== "trade" && event.kind !== "gap") throw new Error(event.kind);
      const [from, to] = event.kind === "gap" ? [event.from, event.to] : [event.seq, event.seq];
      if (last !== undefined) expect(from).toBe(last + 1);
      last = to;
      if (event.kind === "gap") expect(event.reason).toBe("history");
      else if (whole.has(event.seq)) expect(event).toEqual(whole.get(event.seq));
    }
    const compared = cut.filter((e) => e.kind === "trade" && whole.has(e.seq));
    expect(compared.length).toBeGreaterThan(50);
  });
});
