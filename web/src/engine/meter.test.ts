import { describe, expect, it } from "vitest";
import { Samples } from "../samples";
import { Meter } from "./meter";

describe("samples", () => {
  it("have a middle and a worst", () => {
    const samples = new Samples();
    expect(samples.read()).toBeUndefined();
    for (let i = 100; i >= 1; i--) samples.add(i);
    expect(samples.read()).toEqual({ median: 50, p99: 99 });
  });

  it("forget the oldest", () => {
    const samples = new Samples();
    for (let i = 0; i < 5000; i++) samples.add(i < 3000 ? 1 : 7);
    expect(samples.read()).toEqual({ median: 7, p99: 7 });
  });
});

const counts = { conflated: 0, dropped: 0, aggregated: 0, sent: 0 };

describe("the meter", () => {
  it("measures rates over two seconds", () => {
    const meter = new Meter();
    meter.read(0);
    for (let at = 500; at <= 4000; at += 500) {
      meter.batch(10, 100);
      meter.batch(10, 100);
      if (at < 4000) meter.read(at);
    }
    expect(meter.read(4000)).toMatchObject({
      eventsPerSecond: 40,
      messagesPerSecond: 4,
      bytesPerSecond: 400,
    });
  });

  it("tells the way of an event from that of a ping, by the node's clock", () => {
    const meter = new Meter();
    meter.event(5, 10); // no clock yet
    expect(meter.read(0).upstream).toBeUndefined();
    meter.pong(20, 1_010, 20); // the node's clock is 1,000 ms ahead, the way 10 ms
    meter.event(1_040, 55); // read at 1,055, sent at 1,045, happened at 1,040
    expect(meter.read(0)).toMatchObject({ network: 10, upstream: { median: 5, p99: 5 } });
  });

  it("trusts the quickest ping, and forgets what a worse one measured", () => {
    const meter = new Meter();
    meter.pong(200, 500, 200);
    meter.event(0, 100);
    meter.pong(2, 301, 302);
    expect(meter.read(0)).toMatchObject({ network: 1, upstream: undefined });
    expect(meter.ahead()).toBe(0);
    meter.ended();
    expect(meter.read(0).network).toBeUndefined();
  });

  it("says what of an event's way the node does not tell", () => {
    const meter = new Meter();
    const hop = (median: number) => ({ median, p99: 10 * median });
    const stat = { kind: "stat", pendingBytes: 0, queueAgeMs: 0, slow: false, ...counts } as const;
    meter.pong(20, 1_010, 20); // the node's clock is 1,000 ms ahead, the way 10 ms
    meter.event(1_000, 50); // sent at 1,040
    expect(meter.read(0)).toMatchObject({ upstream: { median: 40 }, hops: undefined, reading: undefined });
    const hops = { venue: hop(-2), feed: hop(12), nats: undefined, node: hop(5) };
    meter.told({ ...stat, hops });
    expect(meter.read(0)).toMatchObject({ hops, reading: 25 });
    meter.told({ ...stat, hops: { ...hops, nats: hop(100) } }); // of other events, or a slower minute
    expect(meter.read(0)).toMatchObject({ reading: 0 });
  });

  it("sums up what the node tells", () => {
    const meter = new Meter();
    const stat = {
      kind: "stat",
      pendingBytes: 7,
      queueAgeMs: 3,
      slow: true,
      conflated: 1,
      dropped: 2,
      aggregated: 3,
      sent: 4,
      hops: { venue: undefined, feed: undefined, nats: undefined, node: undefined },
    } as const;
    meter.told(stat);
    meter.told(stat);
    const want = { conflated: 2, dropped: 4, aggregated: 6, pendingBytes: 7, queueMs: 3, slow: true };
    expect(meter.read(0)).toMatchObject(want);
  });
});
