import { connect, type MarketEvent, type Trade } from "tickcast";

// Ten minutes of five trades a second; of the busiest symbol, what some 150 kB hold.
const tradesMax = 3_000;
const withinMs = 15_000;

/**
 * Asks for trades from before the page knew of a symbol. A stream cannot be asked for twice on one
 * connection, so this is another one, which resumes some trades back and ends where the page began.
 */
export class Past {
  /** The symbol that is being asked for. */
  asking: string | undefined;
  private leave = () => {};

  constructor(
    private readonly url: string,
    private readonly token: () => string | undefined,
  ) {}

  /**
   * Calls `done` with those before the seq `first`, oldest first; with none where the node does not tell,
   * and not at all where another symbol is asked for meanwhile.
   */
  ask(symbol: string, first: number, done: (trades: Trade[]) => void): void {
    this.leave();
    const token = this.token();
    const client = connect(this.url, token === undefined ? {} : { token });
    const trades: Trade[] = [];
    const timer = setTimeout(() => end([]), withinMs);
    this.asking = symbol;
    this.leave = () => {
      this.leave = () => {};
      this.asking = undefined;
      clearTimeout(timer);
      client.close();
    };
    const end = (had: Trade[]) => {
      this.leave();
      done(had);
    };
    client.on("state", (state) => {
      // A node that refuses one more connection has its reasons: it is not asked twice.
      if (state.kind === "waiting" || (state.kind === "closed" && state.error)) end([]);
    });
    const after = { trade: { [symbol]: Math.max(0, first - 1 - tradesMax) } };
    client.subscribe({ channels: ["trade"], symbols: [symbol], after }, (event) => {
      if (event.kind === "trade" && event.seq < first) trades.push(event);
      if (reached(event) >= first - 1 && this.asking === symbol) end(trades);
    });
  }
}

/** The seq up to which there is nothing more to come. */
function reached(event: MarketEvent<"trade">): number {
  switch (event.kind) {
    case "trade":
      return event.seq;
    case "gap":
    case "aggregate":
      return event.to;
    case "snapshot": // the node could not be asked for what was
    case "rejected":
      return Infinity;
  }
}
