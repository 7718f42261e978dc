// All of the dashboard that is not seen: the client, what it knows of each symbol, and what it measured.

import {
  Code,
  connect,
  type Client,
  type DeliveryOptions,
  type MarketEvent,
  type State,
  type Subscription,
  type TickcastError,
} from "tickcast";
import { formatCount, formatMissed } from "../format";
import {
  portable,
  type BoardView,
  type Frame,
  type Notice,
  type Quality,
  type Status,
  type ToEngine,
} from "../messages";
import { Board } from "./board";
import { Book } from "./book";
import { Chosen } from "./chosen";
import { Meter } from "./meter";
import { symbolNames } from "./names";
import { Pass } from "./pass";
import { Past } from "./past";

const statsEveryMs = 1_000;
const pingEveryMs = 2_000;
const measureEveryMs = 500;
const freshMs = 10_000;
// Ages move on where nothing else does.
const quietFrameMs = 500;
// A resumed stream has sent what it owed by then.
const caughtUpMs = 1_000;
const stallMs = 2_000;
const listAgainMs = 5_000;
const unknownAgainMs = 10_000;

/** How a connection came back after another. */
interface Comeback {
  lostAt: number;
  liveAt: number;
  missedBefore: number;
  /** Trades that happened before it was back. */
  owed: number;
}

export class Engine {
  private readonly book = new Book();
  private readonly board: Board;
  private readonly meter = new Meter();
  private readonly chosen: Chosen;
  private client: Client | undefined;
  private ticks: Subscription<"trade" | "quote"> | undefined;
  private readonly pass = new Pass(() => this.show());
  private unknown: ReturnType<typeof setTimeout> | undefined;

  private waiting = false; // a frame was asked for, and had nothing new to show
  private changed = true;
  private frameAt = 0;
  private readAt = 0; // when the batch under way was read; 0 between two
  private newest = 0;

  private notices: Notice[] = [];
  private lastNotice = 0;
  private measuredAt = -Infinity;
  private noFeed = false;
  private slow = false;
  private live = false;
  private lostAt: number | undefined; // when the last live connection ended, until the next
  private comeback: Comeback | undefined;
  private pricedAt: number | undefined;

  constructor(
    private readonly say: (frame: Frame) => void,
    private readonly url: string,
    starred: string[],
    private view: BoardView,
    private delivery: DeliveryOptions,
  ) {
    this.board = new Board(this.book, starred);
    const past = new Past(url, () => this.pass.token);
    this.chosen = new Chosen(this.book, this.board, past, () => this.show());
    this.open();
    setInterval(() => void this.ping(), pingEveryMs);
    setInterval(() => this.tick(), quietFrameMs);
  }

  handle(message: Exclude<ToEngine, { do: "open" }>): void {
    switch (message.do) {
      case "frame":
        this.waiting = true;
        this.flush();
        return;
      case "view":
        this.look(message.view);
        break;
      case "select":
        this.chosen.select(message.symbol, message.seconds, this.client);
        break;
      case "star":
        this.star(message.symbol, message.on);
        break;
      case "deliver":
        this.delivery = message.delivery;
        this.ticks?.update(message.delivery);
        break;
      case "token":
        this.signIn(message.token);
        break;
      case "slow":
        if (!message.on) this.fullSpeed();
        else if (!this.slow) {
          this.slow = true;
          this.notice("Reading slowly, on purpose", "plain");
          setTimeout(() => this.stall(), 0);
        }
        break;
      case "drop":
        this.notice("Link dropped, on purpose", "plain");
        this.client?.reconnect();
        break;
      case "retry":
        if (this.client?.state.kind === "waiting") this.client.reconnect();
        break;
    }
    this.show();
  }

  private open(): void {
    const client = connect(this.url, {
      statsEveryMs,
      ...(this.pass.token !== undefined && { token: () => this.pass.ask(this.live) }),
    });
    this.client = client;
    client.on("state", (state) => this.stateChanged(state));
    client.on("stat", (stat) => this.meter.told(stat));
    client.on("refused", (error) => this.refused(error));
    client.on("batch", ({ events, bytes }) => {
      this.meter.batch(events, bytes);
      this.readAt = 0;
      this.flush();
    });
    this.ticks = undefined;
    this.subscribe(this.book.seqs());
    this.chosen.askBars(this.client);
  }

  private signIn(token: string): void {
    const awaited = this.pass.give(token, this.live);
    if (!this.live) {
      this.client?.close();
      this.open();
    } else if (!awaited) {
      this.client?.renewToken();
    }
  }

  private refused({ message, code }: TickcastError): void {
    this.notice(`Refused: ${message}`, "bad");
    if (code === Code.unauthenticated && this.live) this.pass.refused(message);
  }

  private subscribe(trade: Record<string, number> = {}): void {
    this.ticks?.close();
    const symbols = this.view.scope === "all" ? "*" : [...this.board.starred];
    this.ticks = this.client?.subscribe(
      { channels: ["trade", "quote"], symbols, after: { trade }, ...this.delivery },
      (event) => this.heard(event),
    );
  }

  /** A symbol that is unknown now may be listed later. */
  private askUnknown(): void {
    this.unknown = undefined;
    if (this.client?.state.kind === "closed" || this.view.scope === "all") return;
    const names = [...this.board.starred].filter(
      (name) => this.book.rows.get(name)?.rejected === Code.unknownSymbol,
    );
    this.ticks?.remove(names);
    this.ticks?.add(names);
    if (names.includes(this.chosen.symbol)) this.chosen.askBars(this.client);
  }

  private heard(event: MarketEvent): void {
    this.changed = true;
    if (event.kind === "rejected" && event.symbol === "*") {
      this.noFeed = event.code === Code.noUpstream;
      return;
    }
    const now = (this.readAt ||= performance.now());
    this.book.apply(event, now, wall(now) + this.meter.ahead());
    if (event.kind !== "rejected") this.noFeed = false;
    else if (event.code === Code.noUpstream) this.noFeed = true;
    else if (event.code === Code.unknownSymbol)
      this.unknown ??= setTimeout(() => this.askUnknown(), unknownAgainMs);
    if (event.symbol === this.chosen.symbol) this.chosen.heard(event, wall(now));
    if (event.kind !== "trade" && event.kind !== "quote") return;
    this.pricedAt = now;
    this.newest = now;
    const { comeback } = this;
    const timeMs = Number(event.time) / 1e6;
    if (!comeback) this.meter.event(timeMs, wall(now));
    else if (event.kind === "trade" && timeMs < wall(comeback.liveAt) + this.meter.ahead()) comeback.owed++;
  }

  private stateChanged(state: State): void {
    const now = performance.now();
    this.changed = true;
    if (state.kind !== "live") {
      if (this.live) this.lostAt = now;
      this.live = false;
      this.pass.ended();
      this.meter.ended();
      if (state.kind !== "waiting") return this.flush();
      this.notice(`Connection lost: ${state.why}`, "bad");
      this.fullSpeed();
      return this.flush();
    }
    this.live = true;
    const { node } = state.hello;
    if (this.lostAt === undefined) {
      this.notice(`Connected to ${node}`, "good");
    } else {
      this.comeback = { lostAt: this.lostAt, liveAt: now, missedBefore: this.book.missed, owed: 0 };
      setTimeout(() => this.cameBack(node), caughtUpMs);
    }
    void this.ping();
    void this.list();
    this.flush();
  }

  private cameBack(node: string): void {
    const { comeback } = this;
    if (!comeback) return;
    this.comeback = undefined;
    const missed = this.book.missed - comeback.missedBefore;
    const after = formatCount(comeback.liveAt - comeback.lostAt);
    const owed = `trades caught up with: ${formatCount(comeback.owed)}`;
    const text = `Resumed on ${node} after ${after} ms; ${owed}, missed: ${formatMissed(missed)}`;
    this.notice(text, missed === 0 ? "good" : "bad");
    this.changed = true;
  }

  private star(symbol: string, on: boolean): void {
    if (on) this.board.starred.add(symbol);
    else this.board.starred.delete(symbol);
    if (!on && this.book.rows.get(symbol)?.rejected !== undefined) this.book.rows.delete(symbol);
    if (this.view.scope !== "starred") return;
    if (on) this.ticks?.add([symbol]);
    else this.ticks?.remove([symbol]);
  }

  private look(view: BoardView): void {
    const { scope } = this.view;
    this.view = view;
    if (view.scope !== scope) this.subscribe();
  }

  private show(): void {
    this.changed = true;
    this.flush();
  }

  private flush(): void {
    if (!this.waiting || !this.changed) return;
    this.waiting = this.changed = false;
    const now = performance.now();
    this.frameAt = now;
    this.say({
      say: "frame",
      query: this.view.query,
      ...this.board.window(this.view, now),
      detail: this.chosen.detail(now),
      status: this.status(now),
      quality: now - this.measuredAt >= measureEveryMs ? this.measure(now) : undefined,
      notices: this.notices.splice(0),
      starred: [...this.board.starred],
      readAt: this.newest && wall(this.newest),
      events: this.meter.events,
    });
    this.newest = 0;
  }

  private status(now: number): Status {
    return {
      state: portable(this.client!.state),
      noFeed: this.noFeed,
      silentSeconds: this.pricedAt === undefined ? undefined : Math.floor((now - this.pricedAt) / 1000),
      slow: this.slow,
      renewal: this.pass.renewal,
    };
  }

  private measure(now: number): Quality {
    this.measuredAt = now;
    let fresh = 0;
    let priced = 0;
    for (const { tradedAt = -Infinity, quotedAt = -Infinity } of this.book.rows.values()) {
      const heardAt = Math.max(tradedAt, quotedAt);
      if (heardAt === -Infinity) continue;
      priced++;
      if (now - heardAt < freshMs) fresh++;
    }
    return { ...this.meter.read(now), gaps: this.book.gaps, missed: this.book.missed, fresh, priced };
  }

  private tick(): void {
    if (performance.now() - this.frameAt >= quietFrameMs - 50) this.changed = true;
    this.flush();
  }

  private async ping(): Promise<void> {
    try {
      const pong = await this.client!.ping();
      this.meter.pong(pong.roundTripMs, Number(pong.serverTime) / 1e6, wall(performance.now()));
    } catch {
      // Not connected, or not any more: the state says so.
    }
  }

  /** A node that has just started learns of symbols bit by bit. */
  private async list(): Promise<void> {
    const { client } = this;
    const known = await symbolNames(this.pass.token);
    if (this.client !== client || client?.state.kind !== "live") return;
    const grew = known.length > this.board.known.length;
    if (known.length > 0) this.board.known = known;
    if (grew || known.length === 0) setTimeout(() => void this.list(), listAgainMs);
  }

  private fullSpeed(): void {
    if (this.slow) this.notice("Reading at full speed again", "plain");
    this.slow = false;
  }

  /** Lets little through between two long stops, until it is told otherwise. */
  private stall(): void {
    if (!this.slow) return;
    const end = performance.now() + stallMs;
    while (performance.now() < end);
    setTimeout(() => this.stall(), 0);
  }

  private notice(text: string, tone: Notice["tone"]): void {
    this.notices.push({ id: ++this.lastNotice, timeMs: Date.now(), text, tone });
    if (this.notices.length > 100) this.notices.shift(); // a page that is not looked at asks for no frames
    this.changed = true;
  }
}

/** A time of this thread's clock as Unix ms. */
function wall(now: number): number {
  return performance.timeOrigin + now;
}
