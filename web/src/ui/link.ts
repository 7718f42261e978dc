import { formatBytes, formatClock, formatCount, formatMissed, formatMs } from "../format";
import type { Latency, Notice, Quality } from "../messages";
import { byId, find, setData, setHidden, setText } from "./dom";

const noticesMax = 50;

const hops = ["venue", "feed", "nats", "node"] as const;
const bars = ["upstream", ...hops, "reading", "network", "screen"] as const;

const ways = {
  upstream: [
    "Venue to here",
    "from the event's own time to this page's reading it, less the network: venue, feed, NATS, node, and waiting",
  ],
  venue: ["Venue", "from the event's own time to the feed: by two clocks, so that it may be below zero"],
  feed: ["Feed", "from the feed's taking it to its sending it on"],
  nats: ["NATS", "from the feed to the node, by the clocks of both"],
  node: ["Node", "from the node's taking it to the sockets of those who keep up"],
  reading: ["Reading", "the rest, until this page has read it: waiting in the node, and in this browser"],
  queue: [
    "of it, queued",
    "how long the oldest event waits in the node for this client, as the node last told",
  ],
  network: ["Network", "half of the way to the node and back, the best of the last pings"],
  screen: ["To the screen", "from reading to painting, in this browser"],
  whole: ["Venue to screen", "as this page measures it"],
} as const;
type Way = keyof typeof ways;

const names = {
  events: ["Events", "trades, quotes and all else, a second"],
  messages: ["Messages", "WebSocket messages a second"],
  bytes: ["Data", "bytes a second, before decoding"],
  fresh: ["Symbols with news", "in the last ten seconds"],
  gaps: ["Gaps", "ranges of events that did not come"],
  missed: ["Trades missed", "numbers in those gaps"],
  conflated: ["Conflated", "quotes and bars that a newer one replaced in the node"],
  aggregated: ["Summed up", "trades that came as part of a sum"],
  dropped: ["Dropped", "events that the node gave up for this client"],
  pending: ["Node holds", "bytes that wait in the node for this client"],
} as const;
type Name = keyof typeof names;

/** A p99 is not known of what is measured once, or is a difference. */
interface Middle {
  median: number;
  p99: number | undefined;
}

function middle(median: number | undefined): Middle | undefined {
  return median === undefined ? undefined : { median, p99: undefined };
}

/** How good the connection is, and what happened to it. */
export class LinkView {
  private readonly cells = {} as Record<Name, HTMLElement>;
  private readonly hops = {} as Record<Way, { line: HTMLElement; median: HTMLElement; p99: HTMLElement }>;
  private readonly log = find("#log ol", HTMLElement);

  constructor() {
    const table = find("#hops", HTMLTableSectionElement);
    for (const [way, [label, title]] of Object.entries(ways)) {
      const line = table.insertRow();
      line.dataset["name"] = way;
      line.title = title;
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = label;
      line.append(head);
      this.hops[way as Way] = { line, median: line.insertCell(), p99: line.insertCell() };
    }
    const list = byId("quality");
    for (const [name, [label, title]] of Object.entries(names)) {
      const pair = document.createElement("div");
      pair.dataset["name"] = name;
      pair.title = title;
      const term = document.createElement("dt");
      term.textContent = label;
      const value = document.createElement("dd");
      pair.append(term, value);
      list.append(pair);
      this.cells[name as Name] = value;
    }
  }

  paint(q: Quality, screen: Latency | undefined): void {
    const { cells } = this;
    // A node that tells no hops leaves the way to it in one piece.
    setHidden(this.hops.upstream.line, q.hops !== undefined);
    for (const hop of [...hops, "reading"] as const) setHidden(this.hops[hop].line, q.hops === undefined);
    this.hop("upstream", q.upstream);
    for (const hop of hops) this.hop(hop, q.hops?.[hop]);
    this.hop("reading", middle(q.reading));
    this.hop("queue", middle(q.queueMs));
    this.hop("network", middle(q.network));
    this.hop("screen", screen);
    const medians = [q.upstream?.median, q.network, screen?.median];
    const whole = medians.reduce(
      (sum, ms) => (sum === undefined || ms === undefined ? undefined : sum + ms),
      0,
    );
    this.hop("whole", middle(whole));
    setText(cells.events, `${formatCount(q.eventsPerSecond)}/s`);
    setText(cells.messages, `${formatCount(q.messagesPerSecond)}/s`);
    setText(cells.bytes, `${formatBytes(q.bytesPerSecond)}/s`);
    setText(cells.fresh, `${formatCount(q.fresh)} of ${formatCount(q.priced)}`);
    setText(cells.gaps, formatCount(q.gaps));
    setText(cells.missed, formatMissed(q.missed));
    setText(cells.conflated, formatCount(q.conflated));
    setText(cells.aggregated, formatCount(q.aggregated));
    setText(cells.dropped, formatCount(q.dropped));
    setText(cells.pending, formatBytes(q.pendingBytes));
    setData(cells.pending.parentElement!, "bad", String(q.slow));
    for (const name of ["gaps", "missed", "dropped"] as const) {
      setData(cells[name].parentElement!, "bad", String(q[name] > 0));
    }

    const { hops: told } = q;
    const ms = {
      upstream: told ? undefined : (q.upstream?.median ?? 0),
      venue: told?.venue?.median,
      feed: told?.feed?.median,
      nats: told?.nats?.median,
      node: told?.node?.median,
      reading: q.reading,
      network: q.network ?? 0,
      screen: screen?.median ?? 0,
    };
    const all = Object.values(ms).reduce<number>((sum, part) => sum + Math.max(0, part ?? 0), 0);
    for (const hop of bars) {
      const part = find(`.path [data-hop=${hop}]`, HTMLElement);
      setHidden(part, ms[hop] === undefined);
      // A hop too short to see still has its place.
      part.style.flexGrow = String(Math.max(0.02, (ms[hop] ?? 0) / Math.max(0.001, all)));
    }
  }

  private hop(way: Way, ms: Middle | undefined): void {
    setText(this.hops[way].median, formatMs(ms?.median));
    setText(this.hops[way].p99, ms?.p99 === undefined ? "" : formatMs(ms.p99));
  }

  /** Adds what happened, the newest first. */
  tell(notices: readonly Notice[]): void {
    for (const { timeMs, text, tone } of notices) {
      const line = document.createElement("li");
      line.dataset["tone"] = tone;
      const time = document.createElement("time");
      time.textContent = formatClock(timeMs).slice(0, 8);
      line.append(time, " ", text);
      this.log.prepend(line);
    }
    while (this.log.children.length > noticesMax) this.log.lastElementChild?.remove();
  }
}
