import type { MarketEvent } from "tickcast";
import type { Sale } from "../messages";

const keptMax = 40;

/** Time and sales of one symbol: its newest trades, and what stands for trades that did not come. */
export class Sales {
  private list: Sale[] = []; // oldest first
  private lastId = 0;

  clear(): void {
    this.list = [];
  }

  /** `now` dates a gap, in Unix ms: the trades that are missing have no time. */
  add(event: MarketEvent, now: number): void {
    switch (event.kind) {
      case "trade":
        this.push("trade", Number(event.time) / 1e6, {
          price: event.price,
          size: event.size,
          side: event.side,
        });
        break;
      case "aggregate":
        this.push("sum", Number(event.lastTime) / 1e6, {
          price: event.close,
          size: event.volume,
          side: "unknown",
          count: event.count,
        });
        break;
      case "gap":
        if (event.channel !== "trade" || event.reason === "reset") break;
        this.push("gap", now, { count: event.to - event.from + 1, reason: event.reason });
        break;
    }
  }

  newest(): Sale[] {
    return this.list.slice(-keptMax).reverse();
  }

  private push(kind: Sale["kind"], timeMs: number, more: Partial<Sale>): void {
    const id = ++this.lastId;
    this.list.push({
      id,
      kind,
      timeMs,
      price: undefined,
      size: undefined,
      side: "unknown",
      count: 1,
      reason: "",
      ...more,
    });
    if (this.list.length > keptMax * 4) this.list = this.list.slice(-keptMax);
  }
}
