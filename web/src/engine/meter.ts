import type { Stat } from "tickcast";
import type { Quality } from "../messages";
import { Samples } from "../samples";

const rateOverMs = 2_000;
const pingsKept = 8;

/** Measures one connection after another: traffic, losses, and where time goes. Times are in ms. */
export class Meter {
  events = 0;
  private readonly upstream = new Samples();
  private pings: { roundTrip: number; ahead: number }[] = [];
  private traffic: { at: number; events: number; messages: number; bytes: number }[] = [];
  private now = { events: 0, messages: 0, bytes: 0 };
  private stat: Stat | undefined;
  private readonly total = { conflated: 0, dropped: 0, aggregated: 0 };

  batch(events: number, bytes: number): void {
    this.events += events;
    this.now.events += events;
    this.now.messages++;
    this.now.bytes += bytes;
  }

  /** An event of the Unix time `timeMs` was read at `readAt` by this machine's clock. */
  event(timeMs: number, readAt: number): void {
    const best = this.best();
    if (best) this.upstream.add(Math.max(0, readAt + best.ahead - best.roundTrip / 2 - timeMs));
  }

  told(stat: Stat): void {
    this.stat = stat;
    this.total.conflated += stat.conflated;
    this.total.dropped += stat.dropped;
    this.total.aggregated += stat.aggregated;
  }

  /** The node answered a ping of `roundTrip` at `serverMs` by its clock, and the answer came at `readAt`. */
  pong(roundTrip: number, serverMs: number, readAt: number): void {
    const before = this.best();
    this.pings.push({ roundTrip, ahead: serverMs - (readAt - roundTrip / 2) });
    if (this.pings.length > pingsKept) this.pings.shift();
    if (this.best() !== before) this.upstream.clear(); // measured by a worse clock
  }

  /** The connection ended, and with it what is true of it alone. */
  ended(): void {
    this.pings = [];
    this.stat = undefined;
    this.upstream.clear();
  }

  /** How far the node's clock is ahead of this machine's; 0 while that is not known. */
  ahead(): number {
    return this.best()?.ahead ?? 0;
  }

  /** Reads all; the rates are those of the last two seconds. `at` is now. */
  read(at: number): Omit<Quality, "gaps" | "missed" | "fresh" | "priced"> {
    this.traffic.push({ at, ...this.now });
    while (this.traffic.length > 2 && at - this.traffic[1]!.at >= rateOverMs) this.traffic.shift();
    const since = this.traffic[0]!;
    const seconds = Math.max(0.001, (at - since.at) / 1000);
    const best = this.best();
    return {
      ...this.way(),
      queueMs: this.stat?.queueAgeMs,
      network: best && best.roundTrip / 2,
      eventsPerSecond: (this.now.events - since.events) / seconds,
      messagesPerSecond: (this.now.messages - since.messages) / seconds,
      bytesPerSecond: (this.now.bytes - since.bytes) / seconds,
      slow: this.stat?.slow ?? false,
      pendingBytes: this.stat?.pendingBytes ?? 0,
      ...this.total,
    };
  }

  private way(): Pick<Quality, "upstream" | "hops" | "reading"> {
    const upstream = this.upstream.read();
    const told = this.stat?.hops;
    const known = told
      ? [told.venue, told.feed, told.nats, told.node].filter((hop) => hop !== undefined)
      : [];
    if (known.length === 0) return { upstream, hops: undefined, reading: undefined };
    const sum = known.reduce((ms, { median }) => ms + median, 0);
    return { upstream, hops: told, reading: upstream && Math.max(0, upstream.median - sum) };
  }

  // The quickest of the last pings waited least on the way, and so tells most of the way and the clocks.
  private best(): { roundTrip: number; ahead: number } | undefined {
    let best = this.pings[0];
    for (const ping of this.pings) if (ping.roundTrip < best!.roundTrip) best = ping;
    return best;
  }
}
