import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { FakeSocket } from "../test/fake.js";
import { Client, connect, type ConnectOptions } from "./client.js";
import { TickcastError, type MarketEvent } from "./events.js";
import type { State } from "./link.js";

const url = "ws://node/v1/stream";
let clients: Client[];
let states: State[];

/** A client whose jitter is always the middle. */
function open(options: ConnectOptions = {}): Client {
  const client = new Client(url, { webSocket: FakeSocket, ...options }, () => 0.5);
  clients.push(client);
  client.on("state", (state) => states.push(state));
  return client;
}

const socket = () => FakeSocket.last;
const kinds = () => states.map((s) => s.kind);
const waiting = () => {
  const state = states.at(-1)!;
  if (state.kind !== "waiting") throw new Error(`the state is ${state.kind}`);
  return { ...state, inMs: state.until - Date.now() };
};
/** Lets promises that are settled go on. */
const settled = () => vi.advanceTimersByTimeAsync(0);

beforeEach(() => {
  vi.useFakeTimers();
  FakeSocket.all = [];
  clients = [];
  states = [];
});

afterEach(() => {
  for (const client of clients) client.close();
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe("a connection", () => {
  it("offers the binary subprotocol and is live with hello, not before", () => {
    const client = open();
    expect(client.state.kind).toBe("connecting");
    expect([socket().url, socket().subprotocol, socket().binaryType]).toEqual([
      url,
      "tickcast.v1.msgpack",
      "arraybuffer",
    ]);
    socket().hello();
    expect(client.state).toMatchObject({ kind: "live", hello: { node: "n1", session: "s1" } });
  });

  it.each([
    ["http://node/v1/stream", "ws://node/v1/stream"],
    ["https://node:8443/v1/stream", "wss://node:8443/v1/stream"],
    ["wss://node/v1/stream", "wss://node/v1/stream"],
  ])("to %s dials %s", (asked, dialled) => {
    clients.push(connect(asked, { webSocket: FakeSocket }));
    expect(socket().url).toBe(dialled);
  });

  it("comes again after a close, later each time", () => {
    open();
    const waits: number[] = [];
    for (let i = 0; i < 8; i++) {
      socket().end();
      waits.push(waiting().inMs);
      expect(waiting().why).toBe("closed with code 1006");
      vi.advanceTimersToNextTimer();
      expect(FakeSocket.all.length).toBe(i + 2);
    }
    expect(waits).toEqual([250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
  });

  it("begins with short waits again once it has lasted", () => {
    open();
    socket().end();
    vi.advanceTimersByTime(250);
    socket().hello();
    socket().end(); // did not last: the wait grows
    expect(waiting().inMs).toBe(500);
    vi.advanceTimersByTime(500);
    socket().hello();
    for (let i = 0; i < 5; i++) {
      vi.advanceTimersByTime(3000);
      socket().say(["hb", 1]);
    }
    socket().end();
    expect(waiting().inMs).toBe(250);
  });

  it("is dead after two and a half heartbeats of silence, and a little grace", () => {
    open();
    socket().hello();
    vi.advanceTimersByTime(9_999);
    socket().say(["hb", 1]);
    vi.advanceTimersByTime(10_099);
    expect(kinds()).toEqual(["live"]);
    vi.advanceTimersByTime(1);
    expect(waiting().why).toBe("nothing heard for 10 s");
    expect(socket().closed).toBe(true);
  });

  it("is not dead because the program was busy", () => {
    open();
    socket().hello();
    vi.advanceTimersByTime(10_050); // the timer came first
    socket().say(["hb", 1]); // and then what had waited
    vi.advanceTimersByTime(9_000);
    expect(kinds()).toEqual(["live"]);
  });

  it("does not wait for a hello for ever", () => {
    open();
    vi.advanceTimersByTime(10_100);
    expect(kinds()).toEqual(["waiting"]);
  });

  it("stays away for as long as bye says, and some jitter more", () => {
    open();
    socket().hello();
    socket().say(["bye", 1012, "restarting", 7000]);
    expect(waiting()).toMatchObject({ why: "restarting (1012)", code: 1012, inMs: 7250 });
    vi.advanceTimersByTime(7249);
    expect(FakeSocket.all.length).toBe(1);
    vi.advanceTimersByTime(1);
    expect(FakeSocket.all.length).toBe(2);
  });

  it.each<[string, unknown]>([
    ["a text message", "[]"],
    ["bytes that are no batch", new Uint8Array([0xc1]).buffer],
    ["an empty batch before hello", new Uint8Array([0x90]).buffer],
    ["events before hello", new Uint8Array([0x91, 0x92, 0xa2, 0x68, 0x62, 1]).buffer],
  ])("is dropped for %s", (_name, data) => {
    open();
    socket().onmessage?.({ data });
    expect(kinds()).toEqual(["waiting"]);
    expect(socket().closed).toBe(true);
  });

  it("hears nothing more once it was left", () => {
    const client = open();
    const seen: MarketEvent[] = [];
    client.subscribe({ channels: ["trade"], symbols: ["A"] }, (e) => seen.push(e));
    socket().hello();
    const left = socket();
    const [ask] = left.take();
    left.ack(ask!["id"]);
    client.reconnect();
    left.say(["t", "A", 1, 1, 10, 1, "b", ""]);
    left.end();
    expect(seen).toEqual([]);
    expect(kinds()).toEqual(["live", "connecting"]);
  });

  it("ends for good where the server speaks another protocol", () => {
    const client = open();
    socket().hello({ protocol: 2 });
    expect(client.state).toMatchObject({ kind: "closed", error: { message: /protocol 2/ } });
    expect(() => client.subscribe({ channels: ["trade"], symbols: ["A"] })).toThrow(TickcastError);
  });

  it("counts messages and their bytes, and asks for stat", () => {
    const client = open({ statsEveryMs: 1000 });
    const heard: unknown[] = [];
    client.on("batch", (batch) => heard.push(batch));
    client.on("stat", ({ dropped, slow }) => heard.push({ dropped, slow }));
    socket().hello();
    expect(socket().take()).toEqual([{ op: "stats", id: 1, every_ms: 1000 }]);
    const stat = {
      pending_bytes: 1,
      queue_age_ms: 2,
      conflated: 3,
      dropped: 4,
      aggregated: 5,
      sent: 6,
      slow: true,
    };
    socket().say(["stat", stat]);
    expect(heard.slice(1)).toEqual([
      { dropped: 4, slow: true },
      { events: 1, bytes: expect.any(Number) },
    ]);
  });

  it("measures the way there and back", async () => {
    const client = open();
    await expect(client.ping()).rejects.toThrow("not connected");
    socket().hello();
    const pong = client.ping();
    const [ping] = socket().take();
    vi.advanceTimersByTime(30);
    socket().say(["pong", ping!["id"], 5]);
    expect(await pong).toEqual({ roundTripMs: 30, serverTime: 5n });
    const lost = client.ping();
    socket().end();
    await expect(lost).rejects.toThrow("the connection ended");
  });
});

describe("a token", () => {
  const required = { auth: "required" };
  const tokenUntil = (exp: number) => `h.${btoa(JSON.stringify({ exp })).replace(/=+$/, "")}.s`;

  it("is sent when it is asked for, and nothing is subscribed before it is good", async () => {
    const client = open({ token: "a.b.c" });
    client.subscribe({ channels: ["trade"], symbols: ["A"] }, {});
    socket().hello(required);
    await settled();
    expect(socket().take()).toEqual([{ op: "auth", id: 1, token: "a.b.c" }]);
    expect(kinds()).toEqual(["authenticating"]);
    socket().say(["ack", 1, {}]);
    expect(kinds()).toEqual(["authenticating", "live"]);
    expect(socket().take()).toMatchObject([{ op: "subscribe", symbols: ["A"] }]);
  });

  it("is not sent to a server that asks for none", () => {
    open({ token: "a.b.c" });
    socket().hello();
    expect(socket().take()).toEqual([]);
  });

  it.each<[string, ConnectOptions, (s: FakeSocket) => void]>([
    ["was not given", {}, () => {}],
    ["is refused and cannot be replaced", { token: "a.b.c" }, (s) => s.say(["err", 1, 4401, "expired"])],
    ["ran out and cannot be replaced", { token: "a.b.c" }, (s) => s.say(["bye", 4401, "expired", 0])],
  ])("that %s ends the client", async (_name, options, then) => {
    const client = open(options);
    socket().hello(required);
    await settled();
    then(socket());
    expect(client.state).toMatchObject({ kind: "closed", error: { code: 4401 } });
  });

  it("is fetched anew for each connection, after a refusal too", async () => {
    let n = 0;
    open({ token: () => Promise.resolve(`token ${++n}`) });
    for (const want of ["token 1", "token 2", "token 3"]) {
      socket().hello(required);
      await settled();
      const [auth] = socket().take();
      expect(auth).toMatchObject({ op: "auth", token: want });
      if (n === 1) socket().say(["err", auth!["id"], 4401, "expired"]);
      else socket().say(["ack", auth!["id"], {}], ["bye", 4401, "the token ran out", 0]);
      vi.advanceTimersByTime(waiting().inMs);
    }
  });

  it("is replaced when the program asks for it", async () => {
    let n = 0;
    const client = open({ token: () => `token ${++n}` });
    client.renewToken(); // not live
    socket().hello(required);
    await settled();
    socket().say(["ack", socket().take()[0]!["id"], {}]);
    client.renewToken();
    await settled();
    expect(socket().take()).toMatchObject([{ op: "auth", token: "token 2" }]);
  });

  it("that is refused three times in a row ends the client", async () => {
    const client = open({ token: () => "a.b.c" });
    for (let n = 1; n <= 3; n++) {
      expect(client.state.kind).toBe("connecting");
      socket().hello(required);
      await settled();
      const [auth] = socket().take();
      socket().say(["err", auth!["id"], 4401, "revoked"]);
      if (n < 3) vi.advanceTimersByTime(waiting().inMs);
    }
    expect(client.state).toMatchObject({ kind: "closed", error: { code: 4401, message: "revoked (4401)" } });
  });

  it("that is refused in the place of another leaves that one in force, and is asked for again", async () => {
    const client = open({ token: () => tokenUntil(Date.now() / 1000 + 5) });
    const told: TickcastError[] = [];
    client.on("refused", (error) => told.push(error));
    socket().hello(required);
    await settled();
    socket().say(["ack", socket().take()[0]!["id"], {}]);
    for (let n = 1; n <= 4; n++) {
      await vi.advanceTimersByTimeAsync(5_000);
      const [auth] = socket().take();
      expect(auth).toMatchObject({ op: "auth" });
      socket().say(["err", auth!["id"], 4401, "no"]);
      expect(told).toHaveLength(n);
    }
    expect(told[0]).toMatchObject({ code: 4401 });
    expect(kinds()).toEqual(["authenticating", "live"]);
  });

  it("that cannot be fetched in time is tried for again while the old one lasts", async () => {
    let asked = 0;
    open({
      token: () => (asked++ === 1 ? Promise.reject(new Error("away")) : tokenUntil(Date.now() / 1000 + 5)),
    });
    socket().hello(required);
    await settled();
    socket().say(["ack", socket().take()[0]!["id"], {}]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect([asked, socket().take()]).toEqual([2, []]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect([asked, socket().take().length]).toEqual([3, 1]);
  });

  it("that cannot be fetched is tried for again", async () => {
    open({ token: () => Promise.reject(new Error("issuer away")) });
    socket().hello(required);
    await settled();
    expect(waiting().why).toBe("no token: Error: issuer away");
  });

  it("is replaced before it ends", async () => {
    let lives = 100;
    open({ token: () => tokenUntil(Date.now() / 1000 + lives) });
    socket().hello(required);
    await settled();
    const [first] = socket().take();
    socket().say(["ack", first!["id"], {}]);
    for (const afterMs of [80_000, 160_000]) {
      lives = 200;
      for (let left = afterMs; left > 1; left -= 4_000) {
        expect(socket().take()).toEqual([]);
        await vi.advanceTimersByTimeAsync(Math.min(4_000, left - 1));
        socket().say(["hb", 1]);
      }
      await vi.advanceTimersByTimeAsync(10);
      const [again] = socket().take();
      expect(again).toMatchObject({ op: "auth" });
      socket().say(["ack", again!["id"], {}]);
    }
    expect(kinds()).toEqual(["authenticating", "live"]);
  });
});
