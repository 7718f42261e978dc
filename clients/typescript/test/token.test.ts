// Tokens of a real node: let in, turned away, renewed, ended.

import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import WebSocket from "ws";
import { Code, connect, TickcastError, type Client, type ConnectOptions, type State } from "../src/index.js";
import { startNode, type TestNode } from "./node.js";

const secret = "a secret of no less than thirty-two bytes";
const dir = mkdtempSync(join(tmpdir(), "tickcast-"));
const denied = join(dir, "denied");
let node: TestNode;
let client: Client;
let states: State[];

beforeAll(async () => {
  writeFileSync(join(dir, "key"), secret);
  writeFileSync(denied, "");
  const key = ["--jwt-key-file", join(dir, "key"), "--jwt-deny-file", denied];
  node = await startNode("--auth", "jwt", ...key);
});

afterAll(async () => {
  await node.stop();
  rmSync(dir, { recursive: true });
});

beforeEach(() => (states = []));
afterEach(() => {
  client.close();
  vi.useRealTimers();
});

/** A token for AAPL of its own name, that ends in so many seconds. */
function sign(jti: string, seconds = 3600): string {
  const exp = Math.floor(Date.now() / 1000) + seconds;
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ jti, exp, tickcast: { symbols: ["AAPL"] } })}`;
  return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
}

function open(token?: ConnectOptions["token"]): Client {
  client = connect(node.url, { webSocket: WebSocket, ...(token !== undefined && { token }) });
  client.on("state", (state) => states.push(state));
  return client;
}

const is = (kind: State["kind"]) =>
  expect.poll(() => client.state.kind, { timeout: 30_000, interval: 10 }).toBe(kind);
const lives = () => states.filter((s) => s.kind === "live").length;
const ended = () => {
  const { state } = client;
  return state.kind === "closed" ? state.error : undefined;
};

describe("a node that asks for tokens", () => {
  it("shows what the token allows, and nothing else", async () => {
    open(sign("one"));
    const seen: string[] = [];
    for await (const event of client.subscribe({ channels: ["trade"], symbols: ["AAPL", "BTC/USD"] })) {
      seen.push(event.kind === "rejected" ? `${event.symbol} ${event.code}` : event.symbol);
      if (seen.includes("AAPL") && seen.length > 5) break;
    }
    expect(new Set(seen)).toEqual(new Set(["BTC/USD 4403", "AAPL"]));
    expect(states.map((s) => s.kind)).toEqual(["authenticating", "live"]);
  });

  it.each<[string, () => ConnectOptions["token"]]>([
    ["no token", () => undefined],
    ["a token that is none", () => "abc"],
    ["a token that ran out", () => sign("old", -60)],
    ["a function that returns such tokens", () => () => sign("old", -60)],
  ])("ends a client that has %s, and its loops", async (_name, token) => {
    open(token());
    const loop = (async () => {
      for await (const event of client.subscribe({ channels: ["trade"], symbols: ["AAPL"] })) return event;
    })();
    await expect(loop).rejects.toThrow(TickcastError);
    expect(ended()).toMatchObject({ code: Code.unauthenticated });
    expect(lives()).toBe(0);
  });

  // A clock that is an hour ahead: each token is at its end for the client, and good for the node.
  it("takes a token in the place of another, on the same connection", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
    let asked = 0;
    open(() => {
      vi.setSystemTime(Date.now() - (asked > 0 ? 3_600_000 : 0));
      const token = sign(`token ${++asked}`);
      vi.setSystemTime(Date.now() + 3_600_000);
      return token;
    });
    await is("live");
    await expect.poll(() => asked, { timeout: 30_000 }).toBeGreaterThanOrEqual(2);
    for await (const event of client.subscribe({ channels: ["trade"], symbols: ["AAPL"] })) {
      if (event.kind === "trade") break;
    }
    expect(lives()).toBe(1);
  });

  it("ends a connection with its token, and the next one goes on where it was", async () => {
    const tokens = [sign("short", 3), sign("long")];
    open(() => tokens.shift() ?? sign("more"));
    let last: number | undefined;
    let trades = 0;
    for await (const event of client.subscribe({ channels: ["trade"], symbols: ["AAPL"] })) {
      if (event.kind === "snapshot") last = event.last?.seq;
      if (event.kind !== "trade") continue;
      if (last !== undefined) expect(event.seq).toBe(last + 1);
      last = event.seq;
      if (lives() === 2 && ++trades === 20) break;
    }
    expect(states.find((s) => s.kind === "waiting")).toMatchObject({ code: Code.unauthenticated });
  });

  it("ends a client whose token was revoked", async () => {
    const token = sign("revoked");
    let asked = 0;
    open(() => (asked++, token));
    await is("live");
    writeFileSync(denied, "jti:revoked\n");
    await is("closed");
    expect(ended()).toMatchObject({ code: Code.unauthenticated });
    expect(asked).toBe(1 + 3);
  });
});
